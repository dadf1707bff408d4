"""Random params and input functions, in numbers, and points with weights."""
