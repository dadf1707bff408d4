"""From a problem to text and LaTeX."""
