"""Samples with their points, and operators fitted to them."""
