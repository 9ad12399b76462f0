"""What tools that the host runs may cost: their results in the prompt, and a limit where a budget has to hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from deepthrift._call.endpoints.target import Target
from deepthrift._call.prepare.counting import PromptCount
from deepthrift._types.errors import InvalidRequestError
from deepthrift._types.messages import JSONObject
from deepthrift._types.options import Options
from deepthrift._wire.request.server_tools import MAX_USES, server_tools_of, uses_of
from deepthrift.hosts import HostProfile


def check_bounded(target: Target, options: Options) -> None:
    """Nothing, if the uses of server tools are limited, or no budget depends on it.

    Raises:
        InvalidRequestError: Nothing limits them, and a budget has to hold.
    """
    if not options.tools or all(budget.policy == "warn" for budget in target.ledger.budgets):
        return
    for tool, known in server_tools_of(options.tools, target.profile):
        if tool.get(MAX_USES) is None and known.max_uses is None:
            name = tool["type"]
            raise InvalidRequestError(
                f"{target.profile.name!r} states no limit for how often {name!r} runs in one call, so a budget can't "
                f"hold; give one: {{'type': {name!r}, 'max_uses': 5}}"
            )


def with_results(prompt: PromptCount, tools: Sequence[JSONObject] | None, profile: HostProfile) -> PromptCount:
    """`prompt` with the tokens that the results of server tools may add to it: then it is no exact count any more."""
    found = list(server_tools_of(tools, profile))
    if not found:
        return prompt
    extra = sum(known.tokens_per_use * uses_of(tool, known) for tool, known in found)
    return replace(prompt, tokens=prompt.tokens + extra, certainty="estimated")
