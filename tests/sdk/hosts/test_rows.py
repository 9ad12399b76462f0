"""Every packaged host, row by row: what it is sent, what comes back from it, and what its profile claims."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import resources

import pytest

from deepthrift import AsyncClient, Reply
from deepthrift.errors import InvalidRequestError
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Mode, PriceBook
from tests.sdk.hosts.rows import ROWS, Row
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import prices
from tools.host_fixtures import MODES

BUILTIN = PriceBook.builtin()
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.host)


@each_row
def test_limits_and_addresses(row: Row) -> None:
    profile = HostProfile.named(row.host)
    assert profile.context == row.context
    assert tuple(profile.rules(mode).max_tokens_limit for mode in MODES) == row.limits
    for rules in (profile.standard, profile.thinking):
        assert 1_024 <= (rules.max_tokens_limit or 1_024) <= profile.context <= 2**20
    for url in row.urls:
        assert HostProfile.for_url(url, model=profile.model) is profile
        assert HostProfile.for_url("https://evil.example/?" + url).name == "openai"
    if profile.base_url is not None:
        assert profile.owns(profile.base_url)
        assert HostProfile.for_url(profile.base_url, model=profile.model) is profile
    if profile.api_key_env is not None:
        assert profile.url_hosts, "a key goes to the host's own addresses only"


@each_row
async def test_both_modes_come_back_as_asked(row: Row) -> None:
    """Against a server that reads this host's switch only, reports as this host does, and else runs its default."""
    answer = Answer("Paris.", "France is asked for.", cache_hit=3, reasoning_field=row.reasoning, usage_shape=row.usage)
    dialect = row.dialect or "native-none"
    async with BillServer(answer, dialect=dialect, default_mode=row.default) as server:  # type: ignore[arg-type]
        replies = {mode: await _ask(server, row.host, mode) for mode in MODES}
        asked = [request.mode_asked for request in server.requests]
    standard, thinking = replies["standard"], replies["thinking"]
    assert standard.text == thinking.text == "Paris."
    assert standard.mode == "standard"
    assert standard.reasoning is None
    if row.dialect is None:
        assert asked == [None, None]
        assert thinking.mode == "standard"
        assert any("documents no switch" in warning for warning in thinking.warnings)
        assert any("no reasoning came back" in warning for warning in thinking.warnings)
    else:
        # A suffix, and a host that is off when told nothing, have no explicit off form.
        explicit = row.default == "thinking" or row.dialect == "model-name"
        assert asked == ["standard" if explicit else None, "thinking"]
        assert thinking.mode == "thinking"
        assert thinking.reasoning == "France is asked for."
    if HostProfile.named(row.host).cached_tokens != "none":
        assert thinking.usage.cache_hit_tokens == 3


async def _ask(server: BillServer, host: str, mode: Mode) -> Reply:
    async with AsyncClient(server.url, host=host, prices=prices(), api_key="key") as client:
        return await client.chat("Which city is the capital of France?", mode=mode, max_tokens=64)


async def test_a_limit_is_told_before_anything_is_sent() -> None:
    for row in ROWS:
        async with AsyncClient("http://127.0.0.1:9/v1", host=HostProfile.named(row.host), prices=prices()) as client:
            for mode, limit in zip(MODES, row.limits, strict=True):
                if limit is not None:
                    with pytest.raises(InvalidRequestError, match="above the limit"):
                        await client.chat("Hi", mode=mode, max_tokens=limit + 1)


def test_every_price_has_a_host_and_every_price_is_reachable() -> None:
    """A price file's host is a profile, and each of its models of V3.1 is one that the profile names."""
    folder = resources.files("deepthrift_pricing.data.prices")
    files = [entry for entry in folder.iterdir() if entry.name.endswith(".toml")]
    assert len(files) >= 20
    for entry in files:
        data = tomllib.loads(entry.read_text(encoding="utf-8"))
        profile = HostProfile.named(data["host"])
        assert profile.name == data["host"] == entry.name.removesuffix(".toml")
        current = {model for row in data["price"] for model in row["models"]}
        assert {profile.model_for(mode, profile.model or "") for mode in MODES} <= current


@each_row
def test_prices_are_of_the_right_magnitude(row: Row) -> None:
    """Off by a factor of 100,000 is a mistake that others have made."""
    profile = HostProfile.named(row.host)
    for price in BUILTIN.rows:
        if price.host == profile.name and price.currency == "USD":
            assert 0 < price.cache_miss < 10
            assert 0 < price.completion < 20
            assert (price.cache_hit or 0) <= price.cache_miss <= price.completion


def test_two_forms_of_one_host_share_its_bill() -> None:
    then, now = HostProfile.named("deepseek"), HostProfile.named("deepseek-v4")
    assert then.name == now.name == "deepseek"
    assert HostProfile.for_url("https://api.deepseek.com") is then
    assert HostProfile.for_url("https://api.deepseek.com", model="deepseek-v4-pro") is now
    assert (then.history, now.history) == ("strip", "keep")
    assert "tools" in now.thinking.features, "V4 calls tools in both modes"


@pytest.mark.parametrize(
    ("host", "model", "context"),
    [
        ("deepseek", None, 131072),
        ("deepseek", "deepseek-reasoner", 131072),
        ("deepseek", "deepseek-v4-pro", 1048576),
        ("deepseek-v4", None, 1048576),
        ("deepseek-v4", "deepseek-chat", 1048576),
        (None, "deepseek-v4-flash", 1048576),
        (None, None, 131072),
    ],
)
async def test_the_model_tells_which_form(host: str | None, model: str | None, context: int) -> None:
    async with AsyncClient("https://api.deepseek.com", host=host, model=model) as client:
        assert client.host.context == context


def test_what_is_doubtful_is_told() -> None:
    for name in HostProfile.names():
        profile = HostProfile.named(name)
        if profile.dialect == "undocumented":
            assert "switch" in profile.unverified
            assert "No switch" in profile.note or "no switch" in profile.note
        if profile.unverified:
            assert profile.note, f"{name} says what is doubtful"
        if profile.cached_tokens == "unknown":
            assert "cached_tokens" in profile.unverified


def test_one_profile_is_read_at_a_time() -> None:
    """Neither the import nor a look-up by URL reads the thirty others."""
    program = """
import builtins, io, pathlib
read = []
def noted(path, *rest, _open=io.open, **more):
    read.append(str(path)); return _open(path, *rest, **more)
io.open = builtins.open = noted
from deepthrift.hosts import HostProfile
assert not [path for path in read if "hosts" in path and not path.endswith((".py", ".pyc"))], read
HostProfile.for_url("https://api.novita.ai/openai/v1")
print(sorted(pathlib.Path(path).name for path in read if path.endswith((".toml", ".json"))))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "['index.json', 'novita.toml']", done.stdout + done.stderr
