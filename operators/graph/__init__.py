"""Grids, neighbours, weights and the graph kernel layer."""
