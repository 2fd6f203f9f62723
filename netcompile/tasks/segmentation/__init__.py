"""Semantic segmentation: a label for every pixel. Prediction, evaluation, and their reports."""
