"""A trained run as a product: answers to new inputs, and the files they are read from."""
