"""What an error means, told from its codes and words: one table, to which a new phrasing is added as a line.

Statuses alone do not do: hosts report an empty account as 400, 403, 429 or inside a success, and a prompt that is too
long with any status.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

from deepthrift._wire.errors.words import Words

Meaning: TypeAlias = Literal["context", "balance", "other"]


@dataclass(frozen=True, slots=True)
class Cause:
    """One meaning, and how hosts write it."""

    meaning: Meaning
    status: int
    """The status that says it."""
    codes: re.Pattern[str]
    """Of a code, type or reason, in lower case."""
    words: re.Pattern[str]
    """In the message."""
    unless: re.Pattern[str] | None = None
    """Codes or words with which it means something else."""
    statuses: frozenset[int] | None = None
    """The statuses with which it counts, `None` for all."""
    anywhere: bool = False
    """Whether it counts more than the status of the answer."""


def _any(*phrases: str) -> re.Pattern[str]:
    return re.compile("|".join(phrases), re.IGNORECASE)


_RATE: Final = _any(
    r"(tokens|requests)[ -]per[ -](second|minute|hour|day)",
    r"per (minute|day) (quota|limit)",
    r"\b[rt]p[mds]\b",
    r"allocated quota",
    r"#token-limit",
    r"resource_?exhausted",
    r"generativelanguage",
    r"please (try again|retry) in ",
    r"rate limit (reached|exceeded)",
    r"reached the rate limit",
    r"concurren",
    r"throttl",
)
_TOO_LONG: Final = (
    r"(is |are )?(too (long|large)|longer than|exceed(s|ed|ing)?|over|beyond|greater than|超(过|出|长|限))"
)

CAUSES: Final = (
    Cause(
        "context",
        400,
        codes=_any(
            r"context_length_exceeded",
            r"exceed_context_size",
            r"context_?window_?exceeded",
            r"outofcontexterror",
            r"model_max_prompt_tokens_exceeded",
            r"prompt_?too_?long",
            r"context_window_exceeded",
            r"context_length_error",
            r"input_?too_?long",
            r"^1261$",
        ),
        words=_any(
            r"context_length_exceeded",
            r"exceed_context_size",
            r"ContextWindowExceeded",
            r"maximum context length",
            r"maximum (prompt|model|input|sequence) length",
            r"maximum allowed (input |prompt )?length",
            r"exceed(s|ed)? (the |this |your )?((available|max(imum)?|model'?s?|configured) )*context",
            r"longer than the (model'?s )?(maximum )?context",
            r"context (size|length|window) (has been |was )?exceed",
            r"exceeds? (the )?(limit of the )?(model'?s )?(max_?(seq|model|context|input|prompt)_?len)",
            r"(larger|greater|longer|more) than the context (size|length|window)",
            r"tokens\) is too large to process",
            r"input is too large to process",
            r"context the overflows",
            r"exceeds? (the )?max(imum)? context",
            r"`?inputs`? tokens \+ `?max_new_tokens`? must be",
            r"`?inputs`? must have less than \d+ tokens",
            r"prompt (is )?too long",
            r"prompt (tokens?|length|contains \d+ tokens).{0,40}" + _TOO_LONG,
            r"input is too long",
            r"too many (input|prompt) tokens",
            r"exceed(s|ed)? (the )?(model )?token limit",
            r"input (token count|tokens?|length)( \(?[\d,]+( tokens)?\)?)? " + _TOO_LONG,
            r"input length and `?max_tokens`? exceed",
            r"requested token count exceeds",
            r"exceeds? (the )?context limit",
            r"range of input length should be",
            r"total tokens of .{0,30}exceed max message tokens",
            r"length of prompt_tokens .{0,40}must be less than",
            r"reduce the length of (the|your) (messages|input|prompt)",
            r"prompt token count .{0,40}exceeds",
            r"context window (exceeds|limit|of this model)",
            r"(输入|上下文|提示词|prompt).{0,12}(超过|超出|超长|超限|过长)",
        ),
        unless=_any(
            r"\bper[ -](second|minute|min|hour|day)\b",
            r"\b[rt]p[mds]\b",
            r"range of max_tokens",
            r"rate[ _-]?limit",
        ),
        anywhere=True,
    ),
    Cause(
        "balance",
        402,
        codes=_any(
            r"insufficient[_ -]?(user_?)?(balance|credits?|funds)",
            r"not_?enough_?(balance|credits?)",
            r"arrearage",
            r"insufficient_user_quota",
            r"pre_consume_token_quota_failed",
            r"account_?overdue",
            r"overdue_?(error|balance)",
            r"billing_hard_limit",
            r"billing_(disabled|not_active|error)",
            r"credit_?balance",
            r"balance_?(not_?enough|insufficient|exhausted)",
            r"out_?of_?credits?",
            r"credits?_(exhausted|depleted|required)",
            r"budget_exceeded",
            r"payment_?required",
            r"freetieronly",
            r"resourcepackexhausted",
            r"account_?(in_?)?arrears",
            r"inarrears",
            r"outofbalance",
            r"(no_?|low_?)balance",
            r"^1113$",
            r"^code:30001$",
            r"^statuscode:1008$",  # Zhipu, SiliconFlow, MiniMax
        ),
        words=_any(
            r"insufficient (account |user |wallet |credit )?(balance|credits?|funds)",
            r"balance (is |was )?(currently )?(insufficient|not (enough|sufficient)|too low)",
            r"balance (is |was |has been )?(currently )?(used up|exhausted|depleted)",
            r"balance (is |was )?(currently )?(empty|negative|zero|(\W{0,2}0(\.0+)?\b))",
            r"not enough (account )?(balance|credits?|funds|money)",
            r"(out|run out|ran out) of (credits?|funds|balance)",
            r"no (credits?|balance|funds) (left|remaining|available)",
            r"credits? (have |has |are |is )?(been )?(exhausted|depleted|expired|used up|run out)",
            r"(exceeded|used|used up|exhausted) (all )?(of )?(your |the )?((available|monthly|included) )*credits",
            r"requires more credits",
            r"billing hard limit",
            r"(monthly |spending |usage )?spending limit",
            r"account.{0,40}(is |has |in )(an )?(overdue|arrears)",
            r"overdue (balance|payment|bill|invoice)",
            r"in arrears",
            r"account is (not )?in good standing",
            r"not in good standing",
            r"\barrearage\b",
            r"payment required",
            r"requires billing to be enabled",
            r"billing is not (enabled|active)",
            r"account is not active.{0,40}billing",
            r"suspended.{0,60}(balance|billing|payment|invoice|spending)",
            r"quota is not enough",
            r"free tier of the model has been exhausted",
            r"key limit exceeded",
            r"budget has been exceeded",
            r"余额(已)?(不足|不够|为零|耗尽|用尽)",
            r"餘額不足",
            r"欠费",
            r"欠費",
            r"额度(已)?(不足|用尽|用完|耗尽)",
            r"資源包|资源包.{0,12}(不足|用尽|用完|耗尽|已过期)",
        ),
        anywhere=True,
    ),
    Cause(
        "balance",
        402,
        codes=_any(
            r"insufficient_quota",
            r"exceeded_current_quota",
            r"quota_?exhausted",
        ),
        words=_any(
            r"exceeded your current quota",
            r"check your plan and billing",
            r"(please |to )(top[ -]?up|recharge)",
            r"top[ -]?up your",
            r"recharge your",
            r"add (a |your )?(valid )?payment method",
            r"请(先)?充值",
        ),
        unless=_RATE,
        statuses=frozenset({400, 401, 403, 412, 429}),
        anywhere=True,
    ),
    Cause(
        "other",
        401,
        codes=_any(
            r"invalid_?api_?key",
            r"authentication_error",
            r"unauthori[sz]ed",
            r"invalid_?token",
            r"autherror",
        ),
        words=_any(
            r"(invalid|incorrect|wrong|missing|no|expired) (api[ _-]?key|access token|credentials)",
            r"api[ _-]?key (is )?(invalid|incorrect|missing|expired)",
            r"unauthori[sz]ed",
            r"authentication fail",
        ),
    ),
    Cause(
        "other",
        429,
        codes=_any(
            r"rate_?limit",
            r"throttl",
            r"too_?many_?requests",
            r"resource_?exhausted",
            r"errorcode:(4|17|18|19)$",
            r"statuscode:(1002|1039)$",
            r"quota_?exceeded",
        ),
        words=_any(
            r"rate[ _-]?limit",
            r"too many requests",
            r"request limit",
            r"\bqps\b",
            r"throttl",
            r"quota (left|exceeded)",
            r"(tokens|requests) per (minute|day)",
            r"请求(过于|太)?频繁",
            r"限流",
        ),
    ),
    Cause(
        "other",
        503,
        codes=_any(
            r"overload",
            r"unavailable",
            r"server_?busy",
            r"engine_overloaded",
        ),
        words=_any(
            r"overload",
            r"(server|service|model|system|engine) (is )?((currently|too|temporarily) )*(busy|unavailable)",
            r"no (healthy|available) (upstream|channels?|instances?)",
            r"at capacity",
            r"服务(器)?繁忙",
        ),
    ),
    Cause(
        "other",
        404,
        codes=_any(
            r"model_?not_?found",
            r"not_found_error",
            r"no_?such_?model",
        ),
        words=_any(
            r"no such model",
            r"model .{0,120}(does not exist|not found|is not supported)",
            r"no route",
        ),
    ),
    Cause(
        "other",
        403,
        codes=_any(
            r"permission_?(denied|error)",
            r"forbidden",
            r"access_?denied",
        ),
        words=_any(
            r"permission denied",
            r"access denied",
            r"\bforbidden\b",
        ),
    ),
    Cause(
        "other",
        400,
        codes=_any(
            r"invalid_?(request|parameter|argument)",
            r"bad_?request",
            r"validation_error",
        ),
        words=_any(
            r"invalid (request|parameter|argument)",
            r"bad request",
            r"validation error",
        ),
    ),
)
"""In order of precedence. Sources: the hosts' own error pages, and public bug reports."""

_QUOTED: Final = re.compile(r"\"[^\"]*\"|“[^”]*”|«[^»]*»|`[^`]*`|(?<!\w)'[^']*'(?!\w)")
_NEAR: Final = 80
_CHANCE: Final = 3
"""Characters around a phrase that a prompt may share with an error by chance."""


def cause_of(words: Words, status: int | None, sent: bytes = b"") -> Cause | None:
    """What an error means beyond its status, `None` if that says all.

    Args:
        words: The host's.
        status: The status of the answer, `None` for an error inside a success that names none.
        sent: The body of the request: words that the host repeats from it mean nothing.
    """
    for cause in CAUSES:
        if not cause.anywhere and status is not None:
            continue
        if cause.statuses is not None and status is not None and status not in cause.statuses:
            continue
        if cause.unless is not None and (
            cause.unless.search(words.message) or any(map(cause.unless.search, words.codes))
        ):
            continue
        if any(map(cause.codes.search, words.codes)) or _says(cause.words, words.message, sent):
            return cause
    return None


def _says(pattern: re.Pattern[str], message: str, sent: bytes) -> bool:
    if not sent:
        message = _QUOTED.sub(lambda quote: "…" if " " in quote[0] else quote[0], message)
        return pattern.search(message) is not None
    said = ""
    for match in pattern.finditer(message):
        said = said or _texts(sent)
        if not _is_echo(message.lower(), match.start(), match.end(), said):
            return True
    return False


def _is_echo(message: str, start: int, end: int, said: str) -> bool:
    """Whether the words around a phrase are the prompt's: a longer stretch of them is in it than chance explains."""
    if message[start:end] not in said:
        return False
    first, last = start, end
    while first > max(0, start - _NEAR) and message[first - 1 : last] in said:
        first -= 1
    while last < min(len(message), end + _NEAR) and message[first : last + 1] in said:
        last += 1
    rest = message[:first] + message[last:]
    whole = sum(map(str.isalnum, rest)) < _CHANCE
    return not whole and (start - first) + (last - end) > _CHANCE


def _texts(sent: bytes) -> str:
    """Every text of a request, in lower case, with single blanks."""
    try:
        value: object = json.loads(sent)
    except (ValueError, RecursionError):
        value = sent.decode("utf-8", "replace")
    return " ".join("\n".join(_strings(value, 0)).lower().split())


def _strings(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth < 30 and isinstance(value, Mapping):
        for each in cast("Mapping[str, object]", value).values():
            yield from _strings(each, depth + 1)
    elif depth < 30 and isinstance(value, list):
        for each in cast("list[object]", value):
            yield from _strings(each, depth + 1)
