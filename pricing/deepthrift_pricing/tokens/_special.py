"""V3.1's added tokens: text and id (`tokenizer.json` of deepseek-ai/DeepSeek-V3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

BEGIN: Final = "<｜begin▁of▁sentence｜>"
END: Final = "<｜end▁of▁sentence｜>"
PAD: Final = "<｜▁pad▁｜>"
SEARCH_BEGIN: Final = "<｜search▁begin｜>"
SEARCH_END: Final = "<｜search▁end｜>"
THINK_BEGIN: Final = "<think>"
THINK_END: Final = "</think>"
FIM_HOLE: Final = "<｜fim▁hole｜>"
FIM_BEGIN: Final = "<｜fim▁begin｜>"
FIM_END: Final = "<｜fim▁end｜>"
USER: Final = "<｜User｜>"
ASSISTANT: Final = "<｜Assistant｜>"
END_OF_TURN: Final = "<|EOT|>"
TOOL_CALLS_BEGIN: Final = "<｜tool▁calls▁begin｜>"
TOOL_CALLS_END: Final = "<｜tool▁calls▁end｜>"
TOOL_CALL_BEGIN: Final = "<｜tool▁call▁begin｜>"
TOOL_CALL_END: Final = "<｜tool▁call▁end｜>"
TOOL_OUTPUTS_BEGIN: Final = "<｜tool▁outputs▁begin｜>"
TOOL_OUTPUTS_END: Final = "<｜tool▁outputs▁end｜>"
TOOL_OUTPUT_BEGIN: Final = "<｜tool▁output▁begin｜>"
TOOL_OUTPUT_END: Final = "<｜tool▁output▁end｜>"
TOOL_SEP: Final = "<｜tool▁sep｜>"

FIRST_PLACEHOLDER: Final = 128_000
PLACEHOLDERS: Final = 796

_NAMED: Final = (
    SEARCH_BEGIN, SEARCH_END, THINK_BEGIN, THINK_END, FIM_HOLE, FIM_BEGIN, FIM_END, USER, ASSISTANT, END_OF_TURN,
    TOOL_CALLS_BEGIN, TOOL_CALLS_END, TOOL_CALL_BEGIN, TOOL_CALL_END, TOOL_OUTPUTS_BEGIN, TOOL_OUTPUTS_END,
    TOOL_OUTPUT_BEGIN, TOOL_OUTPUT_END, TOOL_SEP,
)  # fmt: skip

NAMED_TOKENS: Final[Mapping[str, int]] = MappingProxyType(
    {BEGIN: 0, END: 1, PAD: 2} | {text: FIRST_PLACEHOLDER + PLACEHOLDERS + i for i, text in enumerate(_NAMED)}
)
"""The added tokens that mean something."""

SPECIAL_TOKENS: Final[Mapping[str, int]] = MappingProxyType(
    {**NAMED_TOKENS, **{f"<｜place▁holder▁no▁{i}｜>": FIRST_PLACEHOLDER + i for i in range(PLACEHOLDERS)}}
)
"""All 818 added tokens of V3.1 with their ids, placeholders included."""
