"""Golden encodings and prompts, made with Hugging Face's tokenizer and DeepSeek's own chat template.

    python -m tests.support.token_goldens

writes `tests/pricing/tokens/goldens.json`, from which the fast tests run without a download.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from random import Random
from typing import Final, TypedDict

from deepthrift_pricing import Mode
from tests.support import v31_reference
from tests.support.conversations import TEXTS, conversations
from tests.support.corpus import documents

PATH: Final = Path(__file__).parents[1] / "pricing/tokens/goldens.json"
END: Final = "<｜end▁of▁sentence｜>"

TRICKY: Final = (
    *TEXTS, *"\x00\x1c\x7f\x85\xa0", "\u200b", "\u200d", "\ufeff", "\ufe0f", "\u0301", "\u3000", "\u3040",
    "\u3097", "\u309b", "\u30fb", "龥", "龦", "Hello, world!", "你好，世界", "1234567890", "1 23 456 7890", "٣٤٥٦٧",
    "①②③④", "1½²3", "〇一二三", "  x", "   x", " \tx", "\t x", "  1", "   中", "  !", "  \n  x", "\n\n\nx",
    "x\n\n\n", "\r\n\r\n", " \r \n ", "\x0bx", " \u3000 x", "a\u0301e\u0301", " \u0301", "\u0301a", "\u200da",
    "\u200d\u200da", "\u200d\u200d\u200d", "a\u200db", "\ufeffabc", "\x00\x00a", "ゔゕゖ゛゜ゝゞゟ",
    "゠ァヺ・ーヽヾヿ", "・・", "あ・い", "\u3040あ", "\u3040\u3040あ", "\u3040\u3040", "あ\u3040い", "中\u3097文",
    "中文abc", "abc中文", "中1文", "中 文", " 中", "中！文", "中文。\n\n", "「中文」", "漢字かなカナ", "don't",
    "I'M", "'s", "!important", "@user", "#tag", "$100", "100%", "a.b.c", "..a", "...a", "... a", "-->", "=>\n\n",
    "!\r\n x", "snake_case", "camelCase", "CONSTANT_NAME", "https://example.org/a?b=c&d=e#f", "user@example.org",
    "C:\\path\\to", "👩🏽‍🚀", "🇫🇷🇩🇪", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "😀😀😀", "e\u0301\u0302\u0303", "\U0001f469\u200d\U0001f4bb",
    "𝕬𝖇𝖈", "ﬁ", "Ǆ", "ß", "İi̇", " " * 127, " " * 128, " " * 129, " " * 200, "\n" * 70, "\t" * 70, "=" * 130,
    "a" * 200, "中" * 40, "🙂" * 20, "-" * 81 + "\n", "\ud7ff\ue000", "\U0010ffff", "\U000e0001",
    "\ufffd\ufffe\uffff", "\u2028\u2029", "ক্ষ", "ภาษาไทย", "नमस्ते", "مرحبا", "שלום",
)  # fmt: skip


class PromptGolden(TypedDict):
    """A conversation, and the prompt that DeepSeek's template makes of it."""

    messages: list[dict[str, object]]
    mode: Mode
    prompt: str


class Goldens(TypedDict):
    """What the file holds."""

    texts: list[tuple[str, list[int]]]
    prompts: list[PromptGolden]


def texts() -> Iterator[str]:
    """Tricky strings, long runs, then pieces of every kind of generated text."""
    yield from TRICKY
    # Long runs are encoded in blocks of 64.
    for unit, length, after in product(" \t\u3000\u200d\u3040", (63, 65, 66, 67, 130), ("", "x", "あ", "!")):
        yield f"a{unit * length}{after}"
    random = Random(7)
    of_kind: dict[str, int] = {}
    for kind, text in documents(0.45, seed=7):
        if kind in ("source code", "prose") or of_kind.setdefault(kind, 0) >= 40:
            continue
        of_kind[kind] += 1
        start = random.randrange(max(1, len(text) - 60))
        yield text[start : start + random.randint(1, 60)]


def official_prompt(messages: list[dict[str, object]], mode: Mode, *, prefix: bool) -> str:
    """DeepSeek's template's prompt; without its end token for a prefix, which the model is to go on from."""
    template = v31_reference.chat_template()
    thinking = mode == "thinking"
    prompt = v31_reference.render(template, messages=messages, thinking=thinking, add_generation_prompt=True)
    return prompt.removesuffix(END) if prefix else prompt


def build() -> Goldens:
    """All goldens."""
    encode = v31_reference.tokenizer().encode
    plain = [text for text in dict.fromkeys(texts()) if not _reads_like_a_special_token(text)]
    return {
        "texts": [(text, encode(text, add_special_tokens=False).ids) for text in plain],
        "prompts": [
            {
                "messages": made.messages,
                "mode": made.mode,
                "prompt": official_prompt(made.messages, made.mode, prefix=made.prefix),
            }
            for made in conversations(60, seed=7)
            if made.tools is None
        ],
    }


def load() -> Goldens:
    """The goldens in the file."""
    goldens: Goldens = json.loads(PATH.read_text("ascii"))
    return goldens


def _reads_like_a_special_token(text: str) -> bool:
    return any(token.content in text for token in v31_reference.tokenizer().get_added_tokens_decoder().values())


if __name__ == "__main__":
    made = build()
    lines = [
        '{"texts": [',
        ",\n".join(map(json.dumps, made["texts"])),
        '],\n"prompts": [',
        ",\n".join(map(json.dumps, made["prompts"])),
        "]}\n",
    ]
    PATH.write_text("\n".join(lines), "ascii")
    print(f"{PATH}: {len(made['texts'])} texts, {len(made['prompts'])} prompts")
