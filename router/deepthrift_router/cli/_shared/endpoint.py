"""Which endpoint a command asks: from its options, else the environment, else the embedded engine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from deepthrift.shared.urls import shown_url

if TYPE_CHECKING:
    from deepthrift_router.cli._shared.options import EndpointOptions


@dataclass(frozen=True)
class Endpoint:
    """A chosen endpoint. Without `url` and `host` it is the embedded engine."""

    url: str | None = field(default=None, repr=False)
    host: str | None = None
    model: str | None = None
    key: str | None = field(default=None, repr=False)
    key_variable: str | None = None
    """The environment variable that the key came from, if it did."""
    origin: str = ""
    """What the choice came from, for people."""

    @property
    def local(self) -> bool:
        """Whether the embedded engine answers."""
        return self.url is None and self.host is None

    def __str__(self) -> str:
        if self.local:
            return "the embedded engine"
        return f"{shown_url(self.url) if self.url else self.host} ({self.origin})"


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError as error:
        raise click.BadParameter(f"{shown_url(url)!r} is no URL: {error}", param_hint="--url") from None


def resolve(options: EndpointOptions, environment: Mapping[str, str] = os.environ) -> Endpoint:
    """The endpoint that `options` and `environment` choose.

    A key is only ever paired with the endpoint it belongs to: `DEEPSEEK_API_KEY` goes to DeepSeek's own hosts,
    `OPENAI_API_KEY` to `OPENAI_BASE_URL`, `DEEPTHRIFT_API_KEY` to `DEEPTHRIFT_URL` (to any URL if that is not set), and
    the variable named by `--api-key-env` to whatever is asked.

    Raises:
        click.UsageError: The options contradict each other, or the named variable is not set.
        click.BadParameter: The URL is none.
    """
    if options.ask_key and options.api_key_env:
        raise click.UsageError("give the key by --ask-key or --api-key-env, not by both")
    if options.local and (options.url or options.host):
        raise click.UsageError("--local excludes --url and --host")
    model = options.model or environment.get("DEEPTHRIFT_MODEL")
    if options.local or options.host == "local":
        return Endpoint(model=model, origin="--local")
    url, host, origin = _where(options, environment)
    if not url and not host:
        if options.ask_key or options.api_key_env:
            raise click.UsageError("a key is of no use to the embedded engine; name an endpoint with --url or --host")
        return Endpoint(model=model, origin="default")
    if options.ask_key:
        prompted: str = click.prompt("API key", hide_input=True, err=True)
        return Endpoint(url, host, model, prompted, origin=origin)
    variable = _key_variable(options, environment, url, host)
    key = environment.get(variable) or None if variable else None
    return Endpoint(url, host, model, key, variable if key else None, origin)


def _where(options: EndpointOptions, environment: Mapping[str, str]) -> tuple[str | None, str | None, str]:
    if options.url or options.host:
        return options.url, options.host, "--url" if options.url else "--host"
    host = environment.get("DEEPTHRIFT_HOST")
    for name in ("DEEPTHRIFT_URL", "OPENAI_BASE_URL"):
        if environment.get(name):
            return environment[name], host, name
    if host:
        return None, host, "DEEPTHRIFT_HOST"
    if environment.get("DEEPSEEK_API_KEY"):
        return None, "deepseek", "DEEPSEEK_API_KEY"
    return None, None, ""


def _key_variable(
    options: EndpointOptions, environment: Mapping[str, str], url: str | None, host: str | None
) -> str | None:
    """The environment variable whose key belongs to the endpoint, if one does."""
    if options.api_key_env:
        if not environment.get(options.api_key_env):
            raise click.UsageError(f"the environment variable {options.api_key_env}, named for the key, is not set")
        return options.api_key_env
    own = environment.get("DEEPTHRIFT_URL")
    if environment.get("DEEPTHRIFT_API_KEY") and (not own or own == url):
        return "DEEPTHRIFT_API_KEY"
    name = _host_of(url) if url else ""
    if name == "api.deepseek.com" or name.endswith(".deepseek.com") or (url is None and host == "deepseek"):
        return "DEEPSEEK_API_KEY"
    if url and url == environment.get("OPENAI_BASE_URL"):
        return "OPENAI_API_KEY"
    return None
