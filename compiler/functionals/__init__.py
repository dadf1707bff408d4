"""Declared outputs: integrals and values of a field, and their errors."""
