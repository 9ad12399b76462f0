"""A large text corpus of many kinds, made on the spot: what is installed with this Python, and generated text, by seed.

Generated text is meant to be hard for a tokenizer: real words of all scripts (taken from the vocabulary itself), runs
of white space, marks, digits and punctuation next to each other, joiners, controls, unassigned code points.
"""

from __future__ import annotations

import json
import site
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Final, TypeAlias

from deepthrift_pricing.tokens import vocabulary

Document: TypeAlias = tuple[str, str]
"""A kind and a text."""

WHITE: Final = " \t\n\r\x0b\x0c\x85\xa0\u1680\u2003\u2028\u2029\u202f\u205f\u3000"
NUMBERS: Final = "0123456789٣५①Ⅷ²½〇"
KANA_AND_HAN: Final = "中文字漢語ひらがなカタカナ・ーァ゛゜\u3040\u3097゠、。！？「」龥龦一"
LETTERS: Final = "abcXYZéßжюñαΩאبहिไทย한글"
PUNCTUATION: Final = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~–—…“”«»€©™"
INVISIBLE: Final = "\u200b\u200c\u200d\ufeff\u0300\u0301\u20e3\ufe0f\x00\x07\x1b\x1c\x7f\ue000\U000e0001"
EMOJI: Final = "😀❤👩🏽🚀🇫🇷☕🏴"
CONTEXTS: Final = (
    "{}", "a{}", "{}a", " {}", "{} ", "  {}  ", "a{}b", "1{}2", "中{}文", "!{}!", "\n{}\n", "{0}{0}", "{0}{0}{0}",
    " {0} {0}", "・{}", "{}\u0301", "\u200d{}", "{}\r\n", "\t{}x", "'{}s",
)  # fmt: skip
UNIFORM: Final = (
    range(0x3400, 0x4DC0), range(0x4E40, 0x9F80), range(0xAC40, 0xD780), range(0xE010, 0xF900), range(0x17000, 0x18B00),
    range(0x20010, 0x323B0),
)  # fmt: skip
"""Large blocks whose members behave alike."""


def documents(megabytes: float, *, seed: int = 0) -> Iterator[Document]:
    """Documents of all kinds, about `megabytes` million bytes of UTF-8 altogether, in equal shares."""
    kinds: dict[str, Callable[[Random], Iterator[str]]] = {
        "source code": _source_code,
        "prose": _prose,
        "words of one script": _one_script,
        "random tokens": _random_tokens,
        "mixed characters": _mixed_characters,
        "any characters": _any_characters,
        "runs": _runs,
        "data": _data,
        "gibberish": _gibberish,
    }
    share = megabytes * 1e6 / len(kinds)
    for name, make in kinds.items():
        size = 0
        for text in make(Random(f"{seed} {name}")):
            yield name, text
            size += len(text.encode())
            if size >= share:
                break


def every_code_point() -> Iterator[str]:
    """Code points in many contexts: all that can be text, but for samples of the large uniform blocks and planes."""
    for code in range(0x110000):
        is_surrogate = 0xD800 <= code < 0xE000
        is_alike = any(code in block for block in UNIFORM)
        if is_surrogate or (is_alike and code % 97) or (code > 0x32400 and code % 4099):
            continue
        contexts = CONTEXTS if code < 0x3400 else CONTEXTS[:10]
        yield from (context.format(chr(code)) for context in contexts)


def _source_code(random: Random) -> Iterator[str]:
    return _installed(random, "*.py")


def _prose(random: Random) -> Iterator[str]:
    """Descriptions and licences of packages, and help: mostly English, with some Markdown."""
    return _installed(random, "METADATA", "LICENSE*", "*.md", "*.rst", "*.txt")


def _installed(random: Random, *patterns: str) -> Iterator[str]:
    roots = [Path(sysconfig.get_paths()["stdlib"]), *map(Path, site.getsitepackages())]
    files = sorted({path for root in roots for pattern in patterns for path in root.rglob(pattern) if path.is_file()})
    while files:
        random.shuffle(files)
        for path in files:
            try:
                yield path.read_text("utf-8")
            except (OSError, UnicodeDecodeError):
                continue


def _words() -> list[str]:
    texts = (token.decode("utf-8", "replace") for token in vocabulary().tokens)
    return [text for text in texts if "\ufffd" not in text]


def _one_script(random: Random) -> Iterator[str]:
    blocks = {
        "Latin": (0x41, 0x24F), "Greek": (0x370, 0x3FF), "Cyrillic": (0x400, 0x4FF), "Hebrew": (0x590, 0x5FF),
        "Arabic": (0x600, 0x6FF), "Devanagari": (0x900, 0x97F), "Thai": (0xE00, 0xE7F), "kana": (0x3040, 0x30FF),
        "Han": (0x4E00, 0x9FA5), "Hangul": (0xAC00, 0xD7A3),
    }  # fmt: skip
    by_script: dict[str, list[str]] = {script: [] for script in blocks}
    for word in _words():
        for script, (first, last) in blocks.items():
            if word.strip() and all(first <= ord(character) <= last for character in word.strip()):
                by_script[script].append(word)
    scripts = [words for words in by_script.values() if len(words) > 20]
    while True:
        words = random.choice(scripts)
        ends = random.choice((". ", "。", ", ", "? ", "\n", "\n\n", "；"))
        yield "".join(
            "".join(random.choices(words, k=random.randint(2, 15))) + random.choice((ends, " ", ""))
            for _ in range(random.randint(20, 120))
        )


def _random_tokens(random: Random) -> Iterator[str]:
    words = _words()
    while True:
        yield "".join(random.choices(words, k=random.randint(2, 400)))


def _mixed_characters(random: Random) -> Iterator[str]:
    pools = (WHITE, NUMBERS, KANA_AND_HAN, LETTERS, PUNCTUATION, INVISIBLE, EMOJI)
    while True:
        yield "".join(random.choice(random.choice(pools)) for _ in range(random.randint(1, 200)))


def _any_characters(random: Random) -> Iterator[str]:
    blocks = [range(0x3000), range(0x3000, 0x3100), range(0x4E00, 0xA000), range(0xD800), range(0x1F300, 0x1FB00)]
    blocks += [range(0xE000, 0x20000), range(0x20000, 0x110000)]
    while True:
        yield "".join(chr(random.choice(random.choice(blocks))) for _ in range(random.randint(1, 120)))


def _runs(random: Random) -> Iterator[str]:
    characters = " \n\t.-=*#_a1中あ\u3000é🙂\u200d\r"
    while True:
        yield "".join(random.choice(characters) * random.randint(1, 60) for _ in range(random.randint(1, 30)))


def _data(random: Random) -> Iterator[str]:
    words = [word.strip() for word in _words() if word.strip().isalnum()]

    def value() -> float | int | str | None:
        return random.choice((random.random(), random.randrange(10**9), random.choice(words), None))

    while True:
        rows = [{random.choice(words): value() for _ in range(4)} for _ in range(random.randint(1, 20))]
        yield "\n".join("| " + " | ".join(map(str, row.values())) + " |" for row in rows)
        yield json.dumps(rows, ensure_ascii=random.random() < 0.5, indent=random.choice((None, 1, 2, 4)))


def _gibberish(random: Random) -> Iterator[str]:
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    while True:
        words = ("".join(random.choices(letters, k=random.randint(1, 60))) for _ in range(random.randint(1, 40)))
        yield " ".join(random.choice((word, word.upper(), word.title())) for word in words)
