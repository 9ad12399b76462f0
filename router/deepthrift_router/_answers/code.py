"""A normal form of source code: layout, comments and docstrings do not count."""

from __future__ import annotations

import ast
import re
from typing import Final

_LONGEST: Final = 20_000
_COMMENT = re.compile(r"(?://|#)[^\n]*|/\*.*?\*/", re.DOTALL)


def code_form(source: str, language: str) -> str:
    """The normal form of `source`: Python by its syntax tree, anything else by its text without comments and layout."""
    if language.casefold() in ("python", "py", "python3") and len(source) <= _LONGEST:
        try:
            tree = ast.parse(source)
            _drop_docstrings(tree)
            return ast.dump(tree)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            pass
    return "".join(_COMMENT.sub("", source).split())


def _drop_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and len(node.body) > 1:
                node.body = node.body[1:]
