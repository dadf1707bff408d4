"""From a syntax tree to a problem."""
