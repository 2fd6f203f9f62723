"""The FCN family as Python specifications. `python -m netcompile.zoo` writes prototxt/ from them.

`catalogue` lists the networks, `trunks`, `heads` and `inputs` are what they are made of, and `find` looks
definitions up.
"""
