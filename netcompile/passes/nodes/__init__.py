"""Layers that no prototxt has: passes put them into a graph."""
