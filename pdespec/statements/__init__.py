"""What a problem states, and the problem."""
