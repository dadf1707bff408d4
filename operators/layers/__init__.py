"""Layers, and how a jet passes through each."""
