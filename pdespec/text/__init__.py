"""The text form of the language: `parse` and `load` read it, `printer` writes it."""

from pdespec.text.front import load, parse

__all__ = ["load", "parse"]
