"""Colours of the pictures."""

from __future__ import annotations

BLUE, RED, GREY = "#2563a8", "#c2452d", "#6b7280"
