"""What the packages export: sorted, importable, complete and documented."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.support.extras import import_module
from tools.reference import attribute_docstring, public_modules

ROOTS = ("deepthrift", "deepthrift_pricing", "deepthrift_router")


MODULES = sorted(public_modules())


@pytest.fixture(params=MODULES)
def module(request: pytest.FixtureRequest) -> ModuleType:
    return import_module(request.param)


def test_all_is_sorted_and_importable(module: ModuleType) -> None:
    names = module.__all__
    assert list(names) == sorted(set(names))
    missing = [name for name in names if not hasattr(module, name)]
    assert not missing


def test_nothing_public_is_left_out_of_all(module: ModuleType) -> None:
    """A name without an underscore that is ours is exported or is private: there is no third kind."""
    ours = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and (value.__module__ or "").split(".")[0] in ROOTS
        and (value.__module__ == module.__name__ or hasattr(module, "__path__"))
    }
    assert ours - set(module.__all__) == set()


def test_module_has_a_docstring(module: ModuleType) -> None:
    assert inspect.cleandoc(module.__doc__ or "")


def lacks_docstring(value: object) -> bool:
    own = getattr(value, "__doc__", None) if not inspect.isclass(value) else value.__dict__.get("__doc__")
    if not own:
        return True
    # dataclasses write "Name(field, …)" when there is no docstring
    return inspect.isclass(value) and str(own).startswith(f"{value.__name__}(")


def undocumented_members(owner: type) -> Iterator[str]:
    """Public functions and properties that a class of ours defines itself without saying what they do."""
    for name, member in vars(owner).items():
        if name.startswith("_"):
            continue
        function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        function = function.fget if isinstance(function, property) else function
        if inspect.isfunction(function) and function.__module__.split(".")[0] in ROOTS:
            documented = any(
                vars(base).get(name) is not None and inspect.getdoc(vars(base)[name]) for base in owner.mro()
            )
            if not documented:
                yield f"{owner.__name__}.{name}"


def test_every_public_name_is_documented(module: ModuleType) -> None:
    missing: list[str] = []
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            if lacks_docstring(value):
                missing.append(name)
            if inspect.isclass(value):
                missing.extend(undocumented_members(value))
        elif not inspect.ismodule(value) and not attribute_docstring(module.__name__, name):
            missing.append(name)
    assert not missing


def test_exported_names_come_from_our_packages(module: ModuleType) -> None:
    foreign = [
        name
        for name in module.__all__
        if (home := getattr(getattr(module, name), "__module__", None)) is not None
        and inspect.isclass(getattr(module, name))
        and home.split(".")[0] not in ROOTS
    ]
    assert not foreign
