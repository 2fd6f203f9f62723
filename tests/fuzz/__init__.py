"""Random nets over all layer types, checked against the plain NumPy oracles; `python -m tests.fuzz` runs many."""
