"""Derivatives of a field at points: one question (`Request`), many ways to answer it (`DERIVATIVES`)."""

from compiler.derivatives.interface import DERIVATIVES, Backend, Form, Index, Key, Request, answer, order, parts, spell
from compiler.derivatives.layout import Grid, Layout, Scattered, recognise

__all__ = [
    "DERIVATIVES",
    "Backend",
    "Form",
    "Grid",
    "Index",
    "Key",
    "Layout",
    "Request",
    "Scattered",
    "answer",
    "order",
    "parts",
    "recognise",
    "spell",
]
