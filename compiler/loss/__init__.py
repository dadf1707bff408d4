"""The physics loss: compiled terms, hard conditions and block-wise gradients."""
