"""Whole operators: GINO, FNO, DeepONet, PINN, Transolver."""
