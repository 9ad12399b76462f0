"""Tools that the host runs itself, such as a web search: checked, limited, counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from deepthrift._types.errors import InvalidRequestError, UnsupportedFeature
from deepthrift._types.messages import JSONObject
from deepthrift.hosts import HostProfile, ServerTool
from deepthrift_pricing import Usage, add_requests

MAX_USES: Final = "max_uses"
_MOST: Final = 1000


def is_server_tool(tool: JSONObject) -> bool:
    """Whether the host runs it: it has a type of its own, and no function."""
    return tool.get("type") not in (None, "function") and "function" not in tool


def functions_of(tools: Sequence[JSONObject] | None) -> Sequence[JSONObject] | None:
    """The tools that the caller runs."""
    if not tools or not any(map(is_server_tool, tools)):
        return tools
    return [tool for tool in tools if not is_server_tool(tool)]


def check_server_tool(place: int, tool: JSONObject, profile: HostProfile) -> None:
    """Nothing, if the host has the tool, and its limit can be.

    Raises:
        InvalidRequestError: The limit can't be.
        UnsupportedFeature: The host doesn't have it; the message lists the tools and hosts that there are.
    """
    name = tool.get("type")
    known = profile.server_tools.get(name) if isinstance(name, str) else None
    if known is None:
        raise UnsupportedFeature(
            f"tools[{place}]: {profile.name!r} runs no tool {name!r} itself; {_instead(profile, name)}"
        )
    uses = tool.get(MAX_USES)
    if uses is None:
        return
    if isinstance(uses, bool) or not isinstance(uses, int) or not 1 <= uses <= _MOST:
        raise InvalidRequestError(f"tools[{place}]: max_uses is a whole number from 1 to {_MOST:,}, not {uses!r}")
    if known.max_uses is not None and uses > known.max_uses:
        raise InvalidRequestError(
            f"tools[{place}]: max_uses={uses:,} is above the {known.max_uses:,} that {profile.name!r} allows; lower it"
        )


def _instead(profile: HostProfile, name: object) -> str:
    if profile.server_tools:
        return f"it runs {', '.join(sorted(profile.server_tools))}. Functions of yours have the type 'function'"
    found = [
        f"{each} ({', '.join(sorted(other.server_tools))})"
        for each in HostProfile.names()
        if (other := HostProfile.named(each)).server_tools
    ]
    return f"hosts that run tools are {'; '.join(found) or 'none'}. Functions of yours have the type 'function'"


def request_bounds(tools: Sequence[JSONObject] | None, profile: HostProfile) -> Mapping[str, int]:
    """The most requests of each kind that are reserved."""
    bounds: Mapping[str, int] = {}
    for tool, known in server_tools_of(tools, profile):
        bounds = add_requests(bounds, {known.kind: uses_of(tool, known)})
    return bounds


def on_the_wire(tool: JSONObject, profile: HostProfile) -> JSONObject:
    """A tool as it is sent: a limit that the host doesn't read stays here."""
    known = profile.server_tools.get(str(tool.get("type"))) if is_server_tool(tool) else None
    if known is None or known.sends_max_uses or MAX_USES not in tool:
        return tool
    return {key: value for key, value in tool.items() if key != MAX_USES}


def with_requests(usage: Usage, claim: Usage | None, bounds: Mapping[str, int], *, cites: bool) -> Usage:
    """`usage` with the requests that the host's tools made, as far as the host's claim can be true.

    Where it reports none of what it could do, what was reserved is booked, as an estimate: an upper bound.
    """
    reported = dict(claim.requests) if claim is not None else {}
    if not bounds and not reported:
        return usage
    notes: list[str] = []
    for kind, most in bounds.items():
        count = reported.get(kind)
        if count is None and not reported:
            notes.append(f"the host doesn't report its {kind} requests; the {most} that were reserved are booked")
            reported[kind] = most
        elif count is not None and count > most:
            notes.append(f"the host reports {count} {kind} requests, more than the {most} that were reserved")
    if cites and bounds and not sum(reported.values()):
        kind = next(iter(bounds))
        notes.append("the host reports no requests of its tools, and the answer cites pages; one is booked")
        reported[kind] = 1
    changes: dict[str, object] = {"requests": {kind: count for kind, count in reported.items() if count}}
    if notes:
        estimated = usage.certainty if usage.certainty == "unknown" else "estimated"
        changes |= {"notes": (*usage.notes, *notes), "certainty": estimated}
    return usage.model_copy(update=changes)


def server_tools_of(tools: Sequence[JSONObject] | None, profile: HostProfile) -> list[tuple[JSONObject, ServerTool]]:
    """The tools that the host runs, each with what is known of it."""
    found: list[tuple[JSONObject, ServerTool]] = []
    for tool in tools or ():
        known = profile.server_tools.get(str(tool.get("type"))) if is_server_tool(tool) else None
        if known is not None:
            found.append((tool, known))
    return found


def uses_of(tool: JSONObject, known: ServerTool) -> int:
    uses = tool.get(MAX_USES)
    return cast("int", uses) if uses is not None else known.max_uses or known.assumed_uses
