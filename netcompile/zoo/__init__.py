"""The FCN family and well-known nets as Python specifications. `python -m netcompile.zoo` writes prototxt/ from them.

`catalogue` lists the networks; `trunks`, `heads` and `inputs` are what the family is made of, `classifiers`, `edges`
and `detectors` the others; `find` looks definitions up, `published` weights.
"""
