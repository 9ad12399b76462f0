"""What follows from the host profiles: the index that is read in their place, the tables of docs/hosts.md, and the
wire fixtures of their tests.

python -m tools.hosts            writes them
python -m tools.hosts --check    only says which of them are out of date
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from deepthrift.hosts import Dialect, Efforts, HostProfile
from deepthrift.hosts._efforts import of_models
from tools.host_fixtures import fixture

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "sdk" / "deepthrift" / "hosts"
INDEX = FOLDER / "index.json"
GOLDEN = ROOT / "tests" / "sdk" / "hosts" / "golden"
PAGE = ROOT / "docs" / "hosts.md"
MARKED = re.compile(r"(<!-- (?P<name>\w+): written by `make hosts` -->\n).*?(<!-- end -->)", re.S)

SWITCHES: dict[Dialect, str] = {
    "ctk_both": "`chat_template_kwargs`: `thinking` and `enable_thinking`",
    "ctk_thinking": "`chat_template_kwargs`: `thinking`",
    "effort": "`reasoning_effort`: `high`, `none`",
    "enable_thinking": "`enable_thinking`",
    "header": "header `X-Enable-Thinking`",
    "model_name": "model's name",
    "model_suffix": "suffix of the model's name",
    "native_think": "`think`",
    "none": "none",
    "reasoning_object": "`reasoning`: `enabled`",
    "thinking_type": "`thinking`: `type`",
    "undocumented": "not documented",
}
CACHED = {
    "none": "not told",
    "prompt_cache_hit_tokens": "`prompt_cache_hit_tokens`",
    "prompt_tokens_details": "`prompt_tokens_details`",
    "unknown": "not known",
}
UNVERIFIED = {
    "address": "the address",
    "cached_tokens": "where cached tokens are told",
    "features": "features",
    "limits": "limits",
    "reasoning": "where reasoning comes back",
    "switch": "the switch",
}


def builtin() -> dict[str, HostProfile]:
    """Every profile in the package, by the name of its file."""
    files = sorted(FOLDER.glob("*.toml"), key=lambda path: path.name.removesuffix(".toml"))
    return {path.name.removesuffix(".toml"): HostProfile.load(path) for path in files}


def index() -> str:
    """What tells the profiles apart, one line each."""
    lines: list[str] = []
    for name, profile in builtin().items():
        entry = {key: list(value) for key in ("url_hosts", "ports", "models") if (value := getattr(profile, key))}
        lines.append(f"{json.dumps(name)}: {json.dumps(entry)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def page() -> str:
    """docs/hosts.md with its tables as the profiles say."""
    tables = {
        "hosts": _hosts, "switches": _switches, "efforts": _efforts, "limits": _limits, "notes": _notes,
    }  # fmt: skip
    return MARKED.sub(
        lambda found: f"{found[1]}\n{_table(tables[found['name']]())}\n{found[3]}", PAGE.read_text("utf-8")
    )


def _table(rows: list[tuple[str, ...]]) -> str:
    head, *rest = rows
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, ("---",) * len(head), *rest])


def _hosts() -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("Profile", "For", "V3.1 is called", "Key from", "Address")]
    for name, each in builtin().items():
        address = f"`{each.base_url}`" if each.base_url else ", ".join(f"port {port}" for port in each.ports)
        address = address or ", ".join(f"`{host}`" for host in each.url_hosts) or "yours"
        models = ", ".join(f"`{model}`" for model in each.models or (each.model or "",))
        key = f"`{each.api_key_env}`" if each.api_key_env else ""
        rows.append((f"`{name}`", each.title, models, key, address))
    return rows


def _switches() -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("Profile", "Switch", "Reasoning in", "Cached tokens in")]
    for name, each in builtin().items():
        reasoning = ", else ".join(f"`{field}`" for field in each.reasoning_fields)
        switch = SWITCHES[each.dialect] if each.two_pass is None else "two passes"
        rows.append((f"`{name}`", switch, reasoning, CACHED[each.cached_tokens]))
    return rows


def _efforts() -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("Profile", "Models", "Levels", "Also", "Default", "Off", "Field", "In tokens")]
    for name, each in builtin().items():
        limit = f"`{each.reasoning_budget_field}`" if each.reasoning_budget_field else ""
        limit = limit or ("first of two passes" if each.two_pass is not None else "")
        rows += [(f"`{name}`", *_levels(table), limit) for table in each.efforts]
        if limit and not each.efforts:
            rows.append((f"`{name}`", "all", "", "", "", "standard mode", "", limit))
    return [*rows, *(("every other", *_levels(table), "") for table in of_models())]


def _levels(table: Efforts) -> tuple[str, ...]:
    off = ", ".join(f"`{level}`" for level in table.off) or ("never" if table.always else "standard mode")
    return (
        ", ".join(f"`{model}`" for model in table.models) or "all",
        ", ".join(f"`{level}`" for level in table.levels) or "none: always on",
        ", ".join(f"`{alias}` is `{level}`" for alias, level in table.aliases.items()),
        f"`{table.default}`" if table.default else "",
        off,
        f"`{table.field}`" if table.levels else "",
    )


def _limits() -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("Profile", "Context", "Most out, standard", "thinking", "Standard can", "Thinking can", "Beside chats")
    ]
    for name, each in builtin().items():
        most = [
            f"{rules.max_tokens_limit:,}" if rules.max_tokens_limit else "" for rules in (each.standard, each.thinking)
        ]
        can = [", ".join(sorted(rules.features)) for rules in (each.standard, each.thinking)]
        rows.append((f"`{name}`", f"{each.context:,}", *most, *can, ", ".join(_beside(each))))
    return rows


def _beside(profile: HostProfile) -> list[str]:
    found = ["balance"] if profile.balance_path is not None else []
    if profile.completions is not None:
        found.append("completions" if profile.completions.fim == "none" else "completions and gaps")
    return [*found, "several answers"] if profile.samples else found


def _notes() -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("Profile", "Unverified", "Note", "Source, read on")]
    for name, each in builtin().items():
        unsure = ", ".join(UNVERIFIED[part] for part in each.unverified)
        source = re.sub(r"https://\S+", lambda found: f"<{found[0]}>", each.source)
        rows.append((f"`{name}`", unsure, each.note.replace("|", "\\|"), f"{source}, {each.checked}"))
    return rows


def derived() -> dict[Path, str]:
    """Every file that follows from the profiles, with its text."""
    fixtures = {
        GOLDEN / f"{name}.json": json.dumps(fixture(profile), indent=1, ensure_ascii=False) + "\n"
        for name, profile in builtin().items()
    }
    return {INDEX: index(), PAGE: page(), **fixtures}


def stale() -> list[Path]:
    """The files that say something else, are missing, or belong to no profile."""
    texts = derived()
    changed = [path for path, text in texts.items() if not path.exists() or path.read_text("utf-8") != text]
    return [*changed, *(path for path in sorted(GOLDEN.glob("*.json")) if path not in texts)]


def main(arguments: list[str]) -> int:
    """Write the files, or check them."""
    texts, paths = derived(), stale()
    for path in paths:
        if "--check" not in arguments and path in texts:
            path.write_text(texts[path], "utf-8")
        elif "--check" not in arguments:
            path.unlink()
        done = (
            "is out of date: run `make hosts`" if "--check" in arguments else "written" if path in texts else "removed"
        )
        print(f"{path.relative_to(ROOT)} {done}")
    return 1 if paths and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
