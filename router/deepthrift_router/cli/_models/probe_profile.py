"""From what a probe found to a profile, and from a profile to TOML."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, cast

from deepthrift.hosts import HostProfile, ModeRules, Switch, Unverified, switch_for
from deepthrift.shared.urls import without_secrets_in
from deepthrift_pricing import Mode, utc_now

if TYPE_CHECKING:
    from deepthrift_router.cli._models.probe_facts import ProbeFacts


def profile_of(base: HostProfile, url: str, model: str, found: ProbeFacts) -> HostProfile:
    """The profile of an endpoint; what was not asked stays as `base` has it."""
    unverified: list[Unverified] = []
    if not found.limits and found.context is None:
        unverified.append("limits")
    if found.reasoning is None and not found.inline:
        unverified.append("reasoning")
    if found.dialect == "undocumented":
        unverified.append("switch")
    rules = {mode: _rules(base, mode, found) for mode in ("standard", "thinking")}
    changes: dict[str, object] = {
        "title": f"{base.title}, as probed",
        "source": "deepthrift doctor --probe",
        "checked": utc_now().date(),
        "note": _note(found),
        "unverified": tuple(unverified),
        "base_url": without_secrets_in(url),
        "url_hosts": (),
        "ports": (),
        "model": switch_for(found.dialect, "standard").model or model,
        "models": (),
        "dialect": found.dialect,
        "two_pass": None,
        "context": found.context or base.context,
        "cached_tokens": found.cached,
        "reasoning_in_text": found.inline,
        "stream_usage": found.stream_usage,
        **rules,
    }
    if found.reasoning is not None:
        changes["reasoning_fields"] = (found.reasoning,)
    return base.model_copy(update=changes)


def _rules(base: HostProfile, mode: Mode, found: ProbeFacts) -> ModeRules:
    limit = found.limits.get(mode)
    context = found.context or base.context
    # A known host's own switch goes with its dialect; the one that was found goes with nothing else.
    own = base.rules(mode).switch if found.dialect == base.dialect else None
    return ModeRules(
        switch=Switch() if found.empty == mode else own,
        max_tokens_limit=None if limit is None else min(limit, context),
        features=frozenset(found.features[mode]),
    )


def _note(found: ProbeFacts) -> str:
    told = f"It runs the {found.default} mode when told nothing."
    match found.dialect:
        case "none":
            return f"{told} None of the documented switches had an effect."
        case "undocumented":
            return f"{told} None of the documented switches stopped it."
        case _:
            return told


def toml_of(profile: HostProfile) -> str:
    """`profile` as TOML that `HostProfile.load` accepts; what is as usual is left out."""
    values: dict[str, object] = profile.model_dump(mode="python", exclude_defaults=True)
    values["dialect"] = profile.dialect
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    tables = {key: cast("Mapping[str, object]", value) for key, value in values.items() if isinstance(value, Mapping)}
    lines = [f"{key} = {_value(value)}" for key, value in plain.items()]
    for key, table in tables.items():
        lines += _table(key, table)
    return "\n".join(lines) + "\n"


def _table(name: str, table: Mapping[str, object]) -> Iterator[str]:
    yield from ("", f"[{name}]")
    for key, value in table.items():
        if value is not None:
            yield f"{_key(key)} = {_value(value)}"


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case date():
            return value.isoformat()
        case Mapping():
            inner = cast("Mapping[str, object]", value)
            return "{" + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in inner.items()) + "}"
        case frozenset() | set():
            return _value(sorted(cast("frozenset[str]", value)))
        case str():
            # JSON's escapes are TOML's, but for the one character that JSON leaves alone.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case Sequence():
            return "[" + ", ".join(_value(each) for each in cast("Sequence[object]", value)) + "]"
        case _:
            return str(value)


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)
