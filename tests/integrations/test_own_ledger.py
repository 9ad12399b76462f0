"""Which file an application's budgets are kept in, where it names no ledger."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest

from deepthrift.errors import ConfigurationError, LedgerUnavailable
from deepthrift_pricing import Budget
from deepthrift_router.compat import OpenAI
from deepthrift_router.compat._own_ledger import own_ledger
from tests.support.doors import prices

BUDGETS = [Budget("1", per="day")]


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPTHRIFT_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("DEEPTHRIFT_LEDGER", raising=False)


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The main module, as `python -c` makes it."""
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    monkeypatch.delitem(sys.modules, "__mp_main__", raising=False)
    return module


def file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def place(main: ModuleType, monkeypatch: pytest.MonkeyPatch, here: Path, script: Path | None = None) -> Path:
    """The ledger of a program that is started in `here`."""
    here.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(here)
    if script is not None:
        main.__file__ = str(file(script))
    elif hasattr(main, "__file__"):
        del main.__file__
    return own_ledger()


def test_it_is_named_after_the_project_and_nobody_else_has_it(
    main: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file(tmp_path / "shop" / "pyproject.toml")
    file(tmp_path / "twin" / "shop" / "pyproject.toml")
    ours = place(main, monkeypatch, tmp_path / "shop")
    assert ours.name.startswith("shop-")
    assert ours.parent == tmp_path / "data" / "applications"
    assert place(main, monkeypatch, tmp_path / "shop" / "src" / "web") == ours
    assert place(main, monkeypatch, tmp_path / "shop", tmp_path / "shop" / "src" / "main.py") == ours
    twin = place(main, monkeypatch, tmp_path / "twin" / "shop")
    assert twin.name.startswith("shop-")
    assert twin != ours
    assert place(main, monkeypatch, tmp_path / "plain a") != place(main, monkeypatch, tmp_path / "plain b")


def test_a_script_is_the_same_application_from_cron_and_systemd(
    main: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    script = tmp_path / "srv" / "shop" / "main.py"
    ours = place(main, monkeypatch, script.parent, script)
    for here in (Path("/"), tmp_path / "home", Path(tempfile.gettempdir()), tmp_path / "srv"):
        assert place(main, monkeypatch, here, script) == ours
    assert place(main, monkeypatch, tmp_path / "elsewhere", script) != ours
    assert place(main, monkeypatch, script.parent, script.parent / "other.py") == ours


def test_a_process_of_multiprocessing_is_its_parents_application(
    main: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "shop" / "main.py"
    ours = place(main, monkeypatch, tmp_path / "elsewhere", script)
    worker = ModuleType("__mp_main__")
    worker.__file__ = str(script)
    monkeypatch.setitem(sys.modules, "__mp_main__", worker)
    assert place(main, monkeypatch, tmp_path / "elsewhere") == ours


def test_an_installed_program_says_nothing_of_the_application(
    main: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours = place(main, monkeypatch, tmp_path / "shop")
    server = tmp_path / "venv" / "lib" / "site-packages" / "uvicorn" / "__main__.py"
    assert place(main, monkeypatch, tmp_path / "shop", server) == ours


def test_where_no_application_can_be_told_a_ledger_is_asked_for(
    main: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match="ledger="):
        place(main, monkeypatch, Path("/"))


def test_a_folder_that_cannot_be_made_is_an_error_that_names_the_ways_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DEEPTHRIFT_HOME", str(file(tmp_path / "a file")))
    with pytest.raises(LedgerUnavailable, match="memory:"):
        OpenAI(base_url="http://127.0.0.1:9/v1", host="vllm", prices=prices(), budgets=BUDGETS)


def test_only_budgets_without_a_ledger_make_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    options = {"base_url": "http://127.0.0.1:9/v1", "host": "vllm", "prices": prices()}
    for given in ({}, {"budgets": BUDGETS, "ledger": "memory:"}):
        with OpenAI(**options, **given) as client:  # type: ignore[arg-type]
            assert client.ledger.url == "memory:"
    monkeypatch.setenv("DEEPTHRIFT_LEDGER", "memory:")
    with OpenAI(**options, budgets=BUDGETS) as client:  # type: ignore[arg-type]
        assert client.ledger.url == "memory:"
    assert not (tmp_path / "data").exists()
    monkeypatch.delenv("DEEPTHRIFT_LEDGER")
    with (
        pytest.warns(UserWarning, match="every process of this application") as caught,
        OpenAI(**options, budgets=BUDGETS) as client,  # type: ignore[arg-type]
    ):
        assert Path(client.ledger.url).parent == tmp_path / "data" / "applications"
    assert caught[0].filename == __file__
