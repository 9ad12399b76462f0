"""From what the user said to where requests go."""

from __future__ import annotations

import os
from pathlib import Path

import httpx

from deepthrift._call.endpoints.endpoint import Endpoint
from deepthrift._call.endpoints.target import Shared, Target
from deepthrift._types.errors import ConfigurationError
from deepthrift._util.secrets import shown_url, url_secrets
from deepthrift._wire.errors.failures import without_secrets
from deepthrift.hosts import HostProfile
from deepthrift_pricing import PriceBook


def target_of(endpoint: Endpoint, prices: PriceBook, shared: Shared) -> Target:
    """The target that an endpoint's settings and the environment describe.

    Raises:
        ConfigurationError: The URL, the host or the model does not fit.
    """
    model, host = endpoint.model, endpoint.host
    profile = _named(host, model) if isinstance(host, str) else host
    url = endpoint.base_url
    trusted = False
    if url is None:
        url = profile.base_url if profile is not None else None
    if url is None and (profile is None or profile.name == "openai"):
        url = os.environ.get("OPENAI_BASE_URL") or None
        trusted = url is not None
    if url is None:
        raise ConfigurationError("give the endpoint's URL, such as 'http://gpu-box:8000/v1', or host='deepseek'")
    parsed = _checked_url(url)
    profile = profile or HostProfile.for_url(url, model=model)
    key = endpoint.api_key
    if key is None:
        key = key_from_environment(profile, url, trusted=trusted)
    if key is not None and not (key.isascii() and key.isprintable()):
        raise ConfigurationError("api_key holds characters that no header can carry; was it pasted with a line break?")
    name = model or profile.model
    if name is None:
        raise ConfigurationError(f"give the model's name: the host {profile.name!r} has none of its own")
    fixed = {mode: profile.switch(mode).model for mode in ("standard", "thinking")}
    if model is not None and all(fixed.values()) and model not in fixed.values():
        raise ConfigurationError(
            f"{profile.name!r} tells the mode by the model's name ({fixed['standard']!r}, {fixed['thinking']!r}), so "
            f"model={model!r} cannot be sent; leave it out, or name another host"
        )
    where = str(parsed).rstrip("/")
    return Target(endpoint, url=where, profile=profile, model=name, key=key, prices=prices, shared=shared)


def key_from_environment(profile: HostProfile, url: str, *, trusted: bool = False) -> str | None:
    """The key in the host's own variable, which goes to the host's own addresses only, unless the URL is trusted."""
    if profile.api_key_env is None or not (trusted or profile.owns(url)):
        return None
    return os.environ.get(profile.api_key_env) or None


def _named(host: str, model: str | None) -> HostProfile:
    """The profile `host`; where the host has one of its own for `model`, that one."""
    profile = HostProfile.named(host)
    if host == profile.name and model is not None and profile.base_url is not None:
        other = HostProfile.for_url(profile.base_url, model=model)
        if other.name == host:
            return other
    return profile


def _checked_url(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        said = without_secrets(str(error), *url_secrets(str(url)))
        raise ConfigurationError(f"{shown_url(str(url))!r} is not a URL: {said}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigurationError(
            f"{shown_url(url)!r} is not a URL that can be called; write it as 'http://gpu-box:8000/v1'"
        )
    if parsed.userinfo:
        raise ConfigurationError("the URL holds a user or password; pass api_key=… or headers={…} instead")
    return parsed


def price_book(prices: PriceBook | str | Path | None) -> PriceBook:
    """The prices that the user meant.

    Raises:
        ConfigurationError: There is no such profile.
        PriceDataError: The file is wrong.
    """
    if prices is None:
        return PriceBook.builtin()
    if isinstance(prices, PriceBook):
        return prices
    if not isinstance(prices, str | Path):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(
            f"prices is a PriceBook, the name of a profile or a file of prices, not {type(prices).__name__}"
        )
    if isinstance(prices, Path) or prices.endswith(".toml"):
        return PriceBook.load(prices)
    return PriceBook.named(prices)
