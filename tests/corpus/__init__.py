"""Checks over a corpus of prototxts as found in the wild, where it lies beside the checkout."""
