"""Taylor jets and the derivatives of activation functions."""
