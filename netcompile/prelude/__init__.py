"""Functions and classes of emitted modules, which contain copies of their source text.

A layer names them; `netcompile/emit/prelude.py` reads them, and imports none: modules
in here need torch. They use torch, Python's own library, and each other. No name stands
in two of them.
"""
