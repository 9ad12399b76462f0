"""Print the lowest versions that pyproject.toml allows, as a pip constraints file.

    python tools/lowest.py > lowest.txt && pip install ".[local,cli]" -c lowest.txt
    python tools/lowest.py hub langchain > lowest.txt && pip install ".[hub,langchain]" -c lowest.txt

Only what the package itself asks for is pinned: its dependencies and those of its extras, not what these ask for. The
extras for other frameworks and for the hub have a run of their own, for those ask for newer versions of what the core
needs.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def lowest(requirements: Iterable[str]) -> Iterator[str]:
    """Each requirement at its lower bound, such as `httpx==0.28`.

    Raises:
        ValueError: A requirement has no lower bound, so nobody knows what it is meant to work with.
    """
    for text in requirements:
        requirement = Requirement(text)
        if canonicalize_name(requirement.name) == "deepthrift":
            continue
        bounds = [part.version for part in requirement.specifier if part.operator in (">=", "~=", "==")]
        if len(bounds) != 1:
            raise ValueError(f"{text!r} needs exactly one lower bound")
        yield f"{requirement.name}=={bounds[0]}"


APART = ("hub", "langchain", "openai", "pydantic-ai")


def constraints(wanted: Iterable[str] = ()) -> list[str]:
    """The constraints of some extras, or of the project and all its extras but those apart, sorted."""
    project = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    if wanted:
        return sorted(set(lowest(text for name in wanted for text in extras[name])))
    kept = [text for name, texts in extras.items() if name not in APART for text in texts]
    return sorted(set(lowest([*project["dependencies"], *kept])))


if __name__ == "__main__":
    sys.stdout.write("\n".join(constraints(sys.argv[1:])) + "\n")
