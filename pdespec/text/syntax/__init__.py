"""Text to syntax tree and back, with the words of the language."""
