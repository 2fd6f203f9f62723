"""Measurements: ``python -m bench`` runs them all; see docs/performance.md for what they say."""
