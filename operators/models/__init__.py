"""Whole operators: GINO, FNO, PINN, Transolver."""
