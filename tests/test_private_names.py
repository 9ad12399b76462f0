"""No package reaches into another's private names: neither by an import nor by an attribute.

What the packages of this distribution share is in `deepthrift_pricing.shared` and `deepthrift.shared`.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES: Final = {
    "deepthrift_pricing": ROOT / "pricing/deepthrift_pricing",
    "deepthrift": ROOT / "sdk/deepthrift",
    "deepthrift_router": ROOT / "router/deepthrift_router",
}

OF_LIBRARIES: Final = frozenset({"_transport"})
"""Private attributes of asyncio's processes, read where there is no other way."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_imports(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Private modules and names of our other packages that are imported, at run time, for types or by name."""
    for node in ast.walk(tree):
        names: list[str] = []
        match node:
            case ast.ImportFrom(module=str() as module):
                names = [f"{module}.{alias.name}" for alias in node.names]
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.Call(args=[ast.Constant(value=str() as name), *_]) if "import" in ast.unparse(node.func):
                names = [name]
            case _:
                pass
        for name in names:
            root, *parts = name.split(".")
            if root in PACKAGES and root != package and any(is_private(part) for part in parts):
                yield node.lineno, name


def defined_in(tree: ast.AST) -> Iterator[str]:
    """The private names that a file defines: functions, classes, variables and attributes."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Attribute(attr=name, ctx=ast.Store()) | ast.Name(id=name, ctx=ast.Store()):
                yield name
            case _:
                pass


@functools.cache
def private_names(package: str) -> frozenset[str]:
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGES[package].rglob("*.py"))
    return frozenset(name for tree in trees for name in defined_in(tree) if is_private(name))


def foreign_attributes(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Private attributes that another of our packages defines, and the package itself doesn't."""
    others = frozenset[str]().union(*(private_names(each) for each in PACKAGES if each != package))
    foreign = others - private_names(package) - OF_LIBRARIES
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(attr=name) if name in foreign:
                yield node.lineno, ast.unparse(node)
            case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=str() as name), *_]) if (
                name in foreign
            ):
                yield node.lineno, ast.unparse(node)
            case _:
                pass


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_use_public_names_of_each_other(package: str) -> None:
    problems: list[str] = []
    for path in sorted(PACKAGES[package].rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for line, name in (*private_imports(tree, package), *foreign_attributes(tree, package)):
            problems.append(f"{path.relative_to(ROOT)}:{line}: {name}")
    assert not problems, "private names of another package; share them in its `shared`:\n" + "\n".join(problems)


@pytest.mark.parametrize(
    "code",
    [
        "from deepthrift_pricing._values.zone import zone_of",
        "from deepthrift.local.models import _registry",
        "import deepthrift._util.home",
        "if TYPE_CHECKING:\n    from deepthrift._call.stream import AsyncStream",
        "def late():\n    from deepthrift._util.home import home",
        "importlib.import_module('deepthrift._client.client')",
    ],
)
def test_each_way_of_importing_is_found(code: str) -> None:
    assert list(private_imports(ast.parse(code), "deepthrift_router"))


@pytest.mark.parametrize("code", ["client._session.bound(options)", "getattr(client, '_session')", "x = a.b._session"])
def test_each_way_of_reaching_in_is_found(code: str) -> None:
    assert list(foreign_attributes(ast.parse(code), "deepthrift_router"))


@pytest.mark.parametrize(
    "code", ["from deepthrift.shared.files import home", "from deepthrift_router._door.router import ModeRouter"]
)
def test_public_and_own_names_are_fine(code: str) -> None:
    assert not list(private_imports(ast.parse(code), "deepthrift_router"))
