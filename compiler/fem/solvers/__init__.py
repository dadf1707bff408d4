"""Nonlinear solvers and time stepping."""
