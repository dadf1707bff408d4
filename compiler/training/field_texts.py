"""What the fields of a record of options mean, read from where they are declared: the only place
that says it. No torch here."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any


def field_texts(record: Any) -> dict[str, str]:
    """By field of a dataclass, the string below its declaration, in one line."""
    (declared,) = ast.parse(textwrap.dedent(inspect.getsource(record))).body
    body = getattr(declared, "body", [])
    return {
        node.target.id: " ".join(str(text.value.value).split())
        for node, text in zip(body, body[1:], strict=False)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }
