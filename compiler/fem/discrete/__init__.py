"""The discrete problem: spaces, kernels, assembly, constraints."""
