"""Evaluation of trained runs against reference solutions."""
