"""Layers, and the rules by which they act on jets."""
