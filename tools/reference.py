"""Write the pages that follow from the code: the public names, the command line and the error tree.

python tools/reference.py            writes docs/reference.md, docs/cli.md, docs/errors.md, the tables of docs/hosts.md
                                     and the index of the host profiles
python tools/reference.py --check    only says which of them are out of date
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import itertools
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click

DOCS = Path(__file__).resolve().parent.parent / "docs"
HOSTS = DOCS.parent / "sdk" / "deepthrift" / "hosts"
PACKAGES = ("deepthrift", "deepthrift_router", "deepthrift_pricing")
NOT_A_SURFACE = ("deepthrift_router.cli", "deepthrift.shared", "deepthrift_pricing.shared")
"""Reached through the command, or meant for the other packages of this distribution."""


def public_modules() -> Iterator[str]:
    """The packages and every submodule whose dotted name has no private part."""
    for package in PACKAGES:
        yield package
        for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            private = any(part.startswith("_") for part in found.name.split("."))
            if not private and not found.name.startswith(NOT_A_SURFACE):
                yield found.name


def modules() -> Iterator[tuple[str, ModuleType | None]]:
    """The same, loaded; `None` for one whose extra is not installed."""
    from deepthrift.errors import MissingExtra

    for name in public_modules():
        try:
            yield name, importlib.import_module(name)
        except MissingExtra:
            yield name, None


def first_paragraph(text: str | None) -> str:
    """The first paragraph of a docstring, on one line, safe inside a table."""
    return inspect.cleandoc(text or "").partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def first_sentence(text: str | None) -> str:
    """The first sentence of a docstring, on one line, safe inside a table."""
    return re.split(r"(?<=[.!?])\s+(?=[A-Z`])", first_paragraph(text))[0]


def assigned_name(statement: ast.stmt) -> str | None:
    """The name that a plain or annotated assignment gives a value to."""
    if isinstance(statement, ast.AnnAssign):
        targets: list[ast.expr] = [statement.target]
    else:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
    return targets[0].id if len(targets) == 1 and isinstance(targets[0], ast.Name) else None


@functools.cache
def attribute_docstrings(package: str) -> dict[str, str]:
    """The strings right below top-level assignments of a package's modules, by the name assigned to."""
    found: dict[str, str] = {}
    for path in sorted(Path(importlib.import_module(package).__path__[0]).rglob("*.py")):
        for statement, following in itertools.pairwise(ast.parse(path.read_text("utf-8")).body):
            name = assigned_name(statement)
            match following:
                case ast.Expr(value=ast.Constant(value=str() as text)) if name is not None:
                    found.setdefault(name, text)
                case _:
                    pass
    return found


def attribute_docstring(module: str, name: str) -> str:
    """What is written below the assignment of a public name, looked for in its own package first."""
    own = module.partition(".")[0]
    packages = sorted(PACKAGES, key=lambda package: package != own)
    return next((text for package in packages if (text := attribute_docstrings(package).get(name))), "")


def describe(module: str, name: str) -> str:
    """One sentence on a public name."""
    value: object = getattr(importlib.import_module(module), name)
    own = inspect.isclass(value) or inspect.isfunction(value) or inspect.ismodule(value)
    return first_sentence(inspect.getdoc(value)) if own else first_paragraph(attribute_docstring(module, name))


def kept_section(module: str) -> list[str]:
    """The part of the page as it is, for a module that cannot be loaded here."""
    _, mark, after = (DOCS / "reference.md").read_text("utf-8").partition(f"## `{module}`\n")
    return f"{mark}{after.partition(chr(10) + '## ')[0]}".rstrip().splitlines()


def reference_page() -> str:
    """Every public name of every public module."""
    lines = [
        "# Reference",
        "",
        "Every public name, written by `make docs` and checked by a test; anything that is not here is private. The",
        "docstrings have the rest: `help(deepthrift.AsyncClient)`.",
    ]
    for module, loaded in modules():
        if loaded is None:
            lines += ["", *kept_section(module)]
            continue
        lines += ["", f"## `{module}`", "", first_sentence(loaded.__doc__), "", "| Name | What it is |", "|---|---|"]
        lines += [f"| `{name}` | {describe(module, name)} |" for name in loaded.__all__]
    return "\n".join(lines) + "\n"


def help_of(command: click.Command, path: str, parent: click.Context | None = None) -> Iterator[str]:
    """The help text of a command and of all commands below it."""
    settings: dict[str, Any] = {**command.context_settings, "terminal_width": 100, "max_content_width": 100}
    context = click.Context(command, parent=parent, info_name=path.rpartition(" ")[2], **settings)
    text = re.sub(r"[ \t]+$", "", command.get_help(context), flags=re.M)
    yield from ["", f"## {path}", "", "```text", text, "```"]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from help_of(child, f"{path} {name}", context)


def cli_page() -> str:
    """The help of every command."""
    from deepthrift_router.cli._app import cli

    head = [
        "# Command line",
        "",
        "`deepthrift[cli]` brings the command. This page is its own help, written by `make docs`.",
    ]
    return "\n".join([*head, *help_of(cli, "deepthrift")]) + "\n"


def subclasses(error: type[BaseException], depth: int = 0) -> Iterator[tuple[int, type[BaseException]]]:
    """The tree below an error, depth first, in order of definition."""
    yield depth, error
    for child in error.__subclasses__():
        if child.__bases__[0] is error and child.__module__.startswith(PACKAGES):
            yield from subclasses(child, depth + 1)


def errors_page() -> str:
    """The error tree with what each error means."""
    list(modules())  # a module may define errors of its own
    from deepthrift import errors

    lines = [
        "# Errors",
        "",
        "Every error that Deepthrift raises on purpose is a `DeepthriftError`; import them from `deepthrift.errors`.",
        "Each one carries `message` (what happened and what to do next), `request` (host, model, mode, token counts;",
        "never content or keys), `attempt_ids` (rows of the ledger) and `spend` (what those attempts cost).",
        "This page is written by `make docs`.",
        "",
        "```text",
    ]
    tree = [(depth, error) for depth, error in subclasses(errors.DeepthriftError) if error.__name__ in errors.__all__]
    lines += [f"{'    ' * depth}{error.__name__}" for depth, error in tree]
    lines += ["```", "", "| Error | Also a | Meaning |", "|---|---|---|"]
    for _, error in tree:
        also = ", ".join(f"`{base.__name__}`" for base in error.__bases__[1:] if base.__module__ == "builtins")
        lines.append(f"| `{error.__name__}` | {also} | {first_paragraph(error.__doc__)} |")
    return "\n".join(lines) + "\n"


def hosts_page() -> str:
    """docs/hosts.md with its tables as the profiles say."""
    text: str = importlib.import_module("tools.hosts").page()
    return text


def hosts_index() -> str:
    """What tells the host profiles apart, read in place of them all."""
    text: str = importlib.import_module("tools.hosts").index()
    return text


PAGES = {"reference.md": reference_page, "cli.md": cli_page, "errors.md": errors_page, "hosts.md": hosts_page}
FILES = {**{DOCS / name: make for name, make in PAGES.items()}, HOSTS / "index.json": hosts_index}


def main(arguments: list[str]) -> int:
    """Write the pages, or check them."""
    stale = 0
    for path, make in FILES.items():
        text = make()
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale = 1
        if "--check" not in arguments:
            path.write_text(text, "utf-8")
        print(f"{path.name} {'is out of date: run `make docs`' if '--check' in arguments else 'written'}")
    return stale if "--check" in arguments else 0


if __name__ == "__main__":
    sys.path.insert(0, str(DOCS.parent))
    sys.exit(main(sys.argv[1:]))
