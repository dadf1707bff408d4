"""The statements of a problem, and the problem."""
