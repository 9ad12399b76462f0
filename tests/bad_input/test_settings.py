"""A wrong setting is refused when the client, the ledger or the price book is made."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from deepthrift import AsyncClient, Client
from deepthrift.errors import ConfigurationError, DeepthriftError, LedgerError, LedgerUnavailable, PriceDataError
from deepthrift_pricing import Budget, Ledger, Money, PriceBook
from tests.support.doors import prices, settings

SETTINGS: dict[str, dict[str, Any]] = {
    "unknown host": {"host": "my-host"},
    "unknown URL scheme": {"base_url": "ftp://127.0.0.1/v1"},
    "no URL scheme": {"base_url": "127.0.0.1:8000/v1"},
    "empty URL": {"base_url": ""},
    "URL without a host": {"base_url": "http:///v1"},
    "no URL and no host": {"base_url": None, "host": None},
    "timeout of zero": {"timeout": 0},
    "negative timeout": {"timeout": -1.0},
    "timeout that is no number": {"timeout": math.nan},
    "negative idle_timeout": {"idle_timeout": -1.0},
    "negative deadline": {"deadline": -1.0},
    "negative max_retries": {"max_retries": -1},
    "negative budget_wait": {"budget_wait": -1.0},
    "unknown on_mode_mismatch": {"on_mode_mismatch": "shout"},
    "a line break in the key": {"api_key": "key\r\nX-Evil: 1"},
    "a key that is not ASCII": {"api_key": "ключ"},
    "unknown price profile": {"prices": "cheapest"},
    "prices that are a number": {"prices": 0.28},
    "tags that are not text": {"tags": {"team": 7}},
}


@pytest.mark.parametrize("case", SETTINGS)
async def test_a_client_with_a_wrong_setting_is_not_made(case: str) -> None:
    options = settings("http://127.0.0.1:9/v1", **SETTINGS[case])
    for kind in (AsyncClient, Client):
        with pytest.raises(ConfigurationError) as refused:
            kind(**options)
        assert str(refused.value).strip()
        assert "X-Evil" not in str(refused.value)


def test_the_message_for_an_unknown_host_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"llama\.cpp.*vllm"):
        AsyncClient(**settings("http://127.0.0.1:9/v1", host="my-host"))


@pytest.mark.parametrize("url", ["", "sqlite:", "mysql://x/y", "https://example.com/spend.db"])
def test_a_ledger_with_an_unknown_url_is_not_opened(url: str) -> None:
    with pytest.raises(ConfigurationError, match="sqlite"):
        Ledger.open(url)


def test_a_ledger_in_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="missing"):
        Ledger.open(f"sqlite:///{tmp_path / 'missing' / 'spend.db'}")


def test_a_ledger_that_is_another_kind_of_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "spend.db"
    path.write_bytes(b"my holiday photographs" * 500)
    with pytest.raises(LedgerError):
        Ledger.open(f"sqlite:///{path}")
    assert path.read_bytes() == b"my holiday photographs" * 500


def test_a_ledger_that_is_somebody_elses_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "spend.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE attempts (what TEXT)")
        database.execute("INSERT INTO attempts VALUES ('mine')")
        database.commit()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="another path"):
        Ledger.open(f"sqlite:///{path}")
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["spend.db"]


@pytest.mark.parametrize("limit", ["-1", "much", "", "nan", "1e-13", 0.1])
def test_a_budget_with_an_impossible_limit(limit: Any) -> None:
    with pytest.raises(ConfigurationError):
        Budget(limit, per="day")


@pytest.mark.parametrize(
    "settings",
    [{"per": "fortnight"}, {"per": "day", "zone": "Mars/Base"}, {"per": "day", "policy": "pray"}],
    ids=["per", "zone", "policy"],
)
def test_a_budget_with_an_impossible_setting(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Budget("1", **settings)


def test_money_is_never_a_binary_float() -> None:
    with pytest.raises(ConfigurationError, match=r"'0\.1'"):
        Money.of(0.1)  # type: ignore[arg-type]


PRICE_FILES = {
    "not TOML": "[[price]\n",
    "no rows": "title = 'mine'\n",
    "a negative price": '[[price]]\nid = "a"\ncache_miss = "-1"\ncompletion = "1"\nchecked = 2026-11-01\n',
    "a price per token": '[[price]]\nid = "a"\ncache_miss = "0.00000028"\ncompletion = "1"\nchecked = 2026-11-01\n',
    "no completion price": '[[price]]\nid = "a"\ncache_miss = "1"\nchecked = 2026-11-01\n',
    "a hit dearer than a miss": (
        '[[price]]\nid = "a"\ncache_miss = "1"\ncache_hit = "2"\ncompletion = "1"\nchecked = 2026-11-01\n'
    ),
}


@pytest.mark.parametrize("case", PRICE_FILES)
def test_a_price_file_with_a_mistake(case: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(PRICE_FILES[case])
    with pytest.raises(PriceDataError, match=r"prices\.toml"):
        PriceBook.load(path)


def test_a_price_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(PriceDataError, match=r"nowhere\.toml"):
        PriceBook.load(tmp_path / "nowhere.toml")


def test_a_price_profile_that_is_unknown_names_the_known_ones() -> None:
    with pytest.raises(DeepthriftError, match="brief"):
        PriceBook.named("cheapest")
    assert prices() is not None
