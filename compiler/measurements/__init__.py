"""Measured values in files: read, checked against the problem that names them, and made functions
of position."""
