"""Which endpoint is asked, and which key goes there."""

from __future__ import annotations

import click
import pytest

from deepthrift_router.cli._shared.endpoint import Endpoint, resolve
from deepthrift_router.cli._shared.options import EndpointOptions

DEEPSEEK = {"DEEPSEEK_API_KEY": "sk-deepseek"}
OPENAI = {"OPENAI_BASE_URL": "http://proxy/v1", "OPENAI_API_KEY": "sk-openai"}
OWN = {"DEEPTHRIFT_URL": "http://gpu/v1", "DEEPTHRIFT_API_KEY": "own-key", "DEEPTHRIFT_MODEL": "v31"}


def chosen(environment: dict[str, str], **options: object) -> tuple[str | None, str | None, str | None]:
    endpoint = resolve(EndpointOptions(**options), environment)  # type: ignore[arg-type]
    return endpoint.url, endpoint.host, endpoint.key


def test_nothing_said_means_the_embedded_engine() -> None:
    assert resolve(EndpointOptions(), {}).local
    assert resolve(EndpointOptions(local=True), {**OWN, **DEEPSEEK}).local
    assert resolve(EndpointOptions(host="local"), DEEPSEEK).local


def test_the_environment_in_order() -> None:
    assert chosen({**OWN, **OPENAI, **DEEPSEEK}) == ("http://gpu/v1", None, "own-key")
    assert chosen({**OPENAI, **DEEPSEEK}) == ("http://proxy/v1", None, "sk-openai")
    assert chosen(DEEPSEEK) == (None, "deepseek", "sk-deepseek")
    assert resolve(EndpointOptions(), OWN).model == "v31"
    assert resolve(EndpointOptions(model="other"), OWN).model == "other"


def test_a_key_goes_only_where_it_belongs() -> None:
    everything = {**OWN, **OPENAI, **DEEPSEEK}
    assert chosen(everything, url="http://elsewhere/v1")[2] is None
    assert chosen(everything, url="https://api.deepseek.com")[2] == "sk-deepseek"
    assert chosen(everything, url="https://api.deepseek.com.evil.example/v1")[2] is None
    assert chosen(everything, url="https://notdeepseek.com/v1")[2] is None
    assert chosen(everything, url="http://gpu/v1")[2] == "own-key"
    assert chosen(everything, url="http://proxy/v1")[2] == "sk-openai"
    assert chosen({"DEEPTHRIFT_API_KEY": "own-key"}, url="http://elsewhere/v1")[2] == "own-key"


def test_a_named_variable_holds_the_key() -> None:
    assert chosen({"MY_KEY": "mine", **OWN}, url="http://x/v1", api_key_env="MY_KEY")[2] == "mine"
    with pytest.raises(click.UsageError, match="MY_KEY, named for the key, is not set"):
        chosen({}, url="http://x/v1", api_key_env="MY_KEY")


def test_a_prompted_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click, "prompt", lambda text, **how: "typed" if how["hide_input"] else "shown")
    assert chosen(OWN, url="http://x/v1", ask_key=True)[2] == "typed"


def test_contradictions_are_usage_errors() -> None:
    with pytest.raises(click.UsageError, match="--local excludes"):
        chosen({}, url="http://x/v1", local=True)
    with pytest.raises(click.UsageError, match="of no use"):
        chosen({}, ask_key=True)


def test_a_key_is_never_shown() -> None:
    endpoint = Endpoint(url="http://x/v1", key="sk-secret", origin="--url")
    assert "sk-secret" not in repr(endpoint)
    assert "sk-secret" not in str(endpoint)
    assert str(Endpoint(url="http://me:pass@box:8000/v1", origin="--url")) == "http://box:8000/v1 (--url)"
