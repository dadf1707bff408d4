"""Declared domains in numbers: signed distances, points, measures."""
