"""Streams in every order that endpoints of V3.1 are known to send, as hypothesis strategies."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

PROMPT, COMPLETION = 11, 40
USAGE = {"prompt_tokens": PROMPT, "completion_tokens": COMPLETION, "total_tokens": PROMPT + COMPLETION}

NOISE = [
    b": keep-alive\n\n",
    b": OPENROUTER PROCESSING\n\n",
    b"\n",
    b"\r\n",
    b"data:\n\n",
    b"data: :\n\n",
    b"event: message\nid: 7\nretry: 10\n\n",
]
"""What keeps a connection alive, and fields that say nothing of the answer."""

# No "<", so that nothing looks like a tag or a mark of tools; surrogates cannot be sent at all.
WORDS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="<｜▁"), min_size=1, max_size=8)
PIECES = st.lists(WORDS, min_size=1, max_size=6)


@dataclass(frozen=True)
class Sent:
    """A stream, and what it says."""

    data: bytes
    text: str
    reasoning: str | None
    calls: tuple[tuple[str, str], ...]
    finish: str
    usage: bool
    done: bool


@st.composite
def streams(draw: st.DrawFn, *, mode: str) -> Sent:
    """One stream: reasoning first, then text, then tool calls, in pieces and with noise between them."""
    reasoning = draw(PIECES) if mode == "thinking" else []
    text = draw(PIECES)
    field = draw(st.sampled_from(["reasoning_content", "reasoning", "both", "inline"])) if reasoning else ""
    calls = draw(st.lists(st.tuples(st.sampled_from(["look", "add"]), PIECES), max_size=2)) if not reasoning else []
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": draw(st.sampled_from(["", None]))}]
    said = "".join(text)
    if field == "inline":
        contents, said = [*reasoning, "</think>", *text], said.lstrip()
    else:
        contents = list(text)
        deltas += [_thought(field, piece, draw(st.booleans())) for piece in reasoning]
        if reasoning and draw(st.booleans()):
            deltas[-1]["content"] = contents.pop(0)  # one chunk with both
    deltas += [{"content": piece, **draw(st.sampled_from([{}, {"reasoning_content": None}]))} for piece in contents]
    for index, (name, arguments) in enumerate(calls):
        deltas.append({"tool_calls": [{"index": index, "id": f"c{index}", "function": {"name": name}}]})
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in arguments]
    finish = "tool_calls" if calls else draw(st.sampled_from(["stop", "length", "insufficient_system_resource"]))
    place = draw(st.sampled_from(["own chunk", "last chunk", "every chunk", "absent"]))
    rest = {"usage": USAGE} if place == "every chunk" else draw(st.sampled_from([{}, {"usage": None}]))
    chunks = [_chunk([{"index": 0, "delta": delta, "finish_reason": None}], rest) for delta in deltas]
    chunks.append(
        _chunk(
            [{"index": 0, "delta": {}, "finish_reason": finish}],
            {"usage": USAGE} if place in ("last chunk", "every chunk") else rest,
        )
    )
    if place == "own chunk":
        chunks.append(_chunk([], {"usage": USAGE}))
    done = draw(st.booleans())
    end = draw(st.sampled_from([b"\n\n", b"\r\n\r\n"]))
    space = draw(st.sampled_from([b" ", b""]))
    events = [b"data:" + space + chunk + end for chunk in chunks] + ([b"data: [DONE]" + end] if done else [])
    noise = st.lists(st.sampled_from(NOISE), max_size=2).map(b"".join)
    return Sent(
        data=b"".join(draw(noise) + event for event in events),
        text=said,
        reasoning="".join(reasoning) or None,
        calls=tuple((name, "".join(arguments)) for name, arguments in calls),
        finish=finish,
        usage=place != "absent",
        done=done,
    )


def _thought(field: str, piece: str, null: bool) -> dict[str, Any]:
    names = ("reasoning_content", "reasoning") if field == "both" else (field,)
    return {**dict.fromkeys(names, piece), **({"content": None} if null else {})}


def _chunk(choices: list[Any], rest: dict[str, Any]) -> bytes:
    body = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": choices, **rest}
    return json.dumps(body, ensure_ascii=False).encode()


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """`data` in pieces, cut at `places`."""
    marks = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(marks)]
