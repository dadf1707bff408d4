"""Shapes of the language that one module defines. Every module of this folder is loaded."""

import importlib
import pkgutil

for _each in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_each.name}")
