"""The answer inside a reply, in a normal form, so that two replies can be compared by what they say."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal, TypeAlias, cast

from deepthrift_router._answers.code import code_form
from deepthrift_router._answers.quantities import Quantity, parse_quantity
from deepthrift_router._answers.wording import plain_text, question_of, tokens_of
from deepthrift_router._answers.words import words

AnswerKind: TypeAlias = Literal["number", "choice", "boolean", "date", "data", "sequence", "code", "text"]
"""What an answer turned out to be. `data` is JSON or a Python literal, `sequence` a row or grid of numbers."""

_OPEN_ENDED: Final = 60
"""Words from which a reply without a marked answer counts as open text, which has no normal form."""
_LONGEST: Final = 40_000

_TAG_END = re.compile("</answer>", re.IGNORECASE)
_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_MARKED = re.compile(
    r"\n(?:[^\S\n]|[>#*_])*(?:(?:so|thus|therefore|hence),?\s+)?(?:the\s+)?(?:final\s+|correct\s+)?answer(?:\s+is)?\s*[*_]*\s*[:=]?"
    r"[*_]*[ \t]*(?P<rest>.*)",
    re.IGNORECASE,
)
_INLINE = re.compile(r"(?:final|correct|the)\s+answer\s+is[:\s]+(?P<rest>[^\n]+)", re.IGNORECASE)
_FENCE = re.compile(r"```([\w+-]*)[ \t]*\n(.*?)```", re.DOTALL)
_CHOICE = re.compile(r"(?:option|choice|answer)?\s*[(\[]?([A-Ja-j])[)\].:]?(?:\s+(?P<body>\S.*))?", re.DOTALL)
_BOXED = "\\boxed{"
_FILLERS: Final = words(
    """a an the is are was were be been it its this that there here so thus therefore hence of to in on at and answer
    final correct result equals would will i think we get about approximately has have had do does did"""
)
_NEGATIONS: Final = words("not no never none neither nor cannot isn't aren't doesn't don't won't can't false")
_BOOLEANS: Final = {"yes": True, "true": True, "correct": True, "no": False, "false": False, "incorrect": False}
_MONTH_NAMES: Final = """january jan;february feb;march mar;april apr;may;june jun;july jul;august aug;
september sep sept;october oct;november nov;december dec"""
_MONTHS: Final = {
    name: number for number, names in enumerate(_MONTH_NAMES.split(";"), start=1) for name in names.split()
}
_DATE_YMD = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})")
_DATE_DMY = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?\s+(?:of\s+)?([a-z]+)\.?,?\s+(\d{4})")
_DATE_MDY = re.compile(r"([a-z]+)\.?\s+(\d{1,2})(?:st|nd|rd|th)?,?\s+(\d{4})")
_WEEKDAY = re.compile(r"^(?:mon|tues|wednes|thurs|fri|satur|sun)day,?\s+")


@dataclass(frozen=True, slots=True)
class Answer:
    """One parsed answer. Compare two with `same_answer`."""

    kind: AnswerKind
    form: str
    """The normal form; equal forms of one kind are equal answers."""
    core: tuple[str, ...] = ()
    """The words that the question did not already contain, in order; empty where that says nothing."""
    echo: tuple[str, ...] = ()
    """The question's own words that the answer repeats, in order."""
    sentence: bool = False
    negations: int = 0
    quantity: Quantity | None = None


def parse_answer(text: str, question: str = "") -> Answer | None:
    """The answer that `text` gives to `question`, or `None` when it is open prose without one.

    Looks at `<answer>` tags, `\\boxed{}`, a JSON object's `answer`, "the answer is", one code block, and else takes a
    short reply as a whole. A reply that was cut off must not be passed: it has no answer.
    """
    text = text.strip()
    if not text or len(text) > _LONGEST:
        return None
    found = _final_part(text)
    return None if found is None else normal_form(found, question)


def final_text(text: str) -> str | None:
    """The part of a reply that is its answer, as it stands there, or `None` when it is open prose."""
    text = text.strip()
    return None if not text or len(text) > _LONGEST else _final_part(text)


def same_answer(a: Answer, b: Answer) -> bool:
    """Whether two answers to the same question say the same."""
    if a.kind == b.kind and a.form == b.form:
        return True
    if a.quantity is not None and b.quantity is not None:
        return a.quantity.same(b.quantity)
    if "text" not in (a.kind, b.kind) or {a.kind, b.kind} & {"code", "data", "date"}:
        return False
    if not a.core or a.core != b.core or a.negations != b.negations or not (a.sentence or b.sentence):
        return False
    # "Amy is taller than Bob" is not "Bob is taller than Amy": what is repeated must be repeated in the same order,
    # unless one side repeats nothing or the new word is a single number.
    single_number = len(a.core) == 1 and a.core[0][0].isdigit()
    return a.echo == b.echo or not a.echo or not b.echo or single_number


def normal_form(answer: str, question: str = "") -> Answer | None:
    """The normal form of an answer that was already taken out of its reply; `None` when nothing is left of it."""
    fenced = _FENCE.fullmatch(answer.strip())
    if fenced is not None and fenced[1].casefold() not in ("", "text", "json"):
        return Answer("code", code_form(fenced[2], fenced[1]))
    plain = plain_text(fenced[2] if fenced is not None else answer)
    if not plain:
        return None
    tokens = tokens_of(plain)
    if not tokens:
        return Answer("text", plain)
    asked = question_of(question)
    wordy = all(token[0].isalnum() for token in tokens)
    presenter = [token for token in tokens if token not in _FILLERS and token not in _NEGATIONS]
    core = tuple(token for token in presenter if token not in asked) if wordy else ()
    echo = tuple(token for token in presenter if token in asked)
    sentence = wordy and any(token in _FILLERS for token in tokens)
    negations = sum(token in _NEGATIONS or token.endswith("n't") for token in tokens)
    low = plain.casefold()
    if low in _BOOLEANS:
        return Answer("boolean", str(_BOOLEANS[low]), (low,))
    if plain[0] in "[{(":
        data = _data_form(plain)
        if data is not None:
            return Answer("data", data)
    choice = _choice(plain, question)
    if choice is not None:
        return Answer("choice", choice, (choice.casefold(),))
    day = _day(low)
    if day is not None:
        return Answer("date", day.isoformat())
    quantity = parse_quantity(low)
    if quantity is not None:
        form = f"{quantity.value} {quantity.unit}".strip()
        return Answer("number", form, core or tuple(tokens), echo, sentence, negations, quantity)
    numbers = sum(token[0].isdigit() for token in tokens)
    kind: AnswerKind = "sequence" if numbers > 1 and numbers == sum(token.isalnum() for token in tokens) else "text"
    return Answer(kind, " ".join(tokens), core, echo, sentence, negations)


def _final_part(text: str) -> str | None:
    ends = [found.end() for found in _TAG_END.finditer(text)]
    # Only up to the last end: tags that are never ended would each be looked through to the end of the text.
    if ends and (tagged := _TAGGED.findall(text[: ends[-1]])):
        return str(tagged[-1])
    boxed = _boxed(text)
    if boxed is not None:
        return boxed
    answer = _answer_of_json(text)
    if answer is not None:
        return answer
    marked = _marked(text)
    if marked is not None:
        return marked
    fences = _FENCE.findall(text)
    if fences:
        return f"```{fences[-1][0]}\n{fences[-1][1]}```"
    words = len(re.findall(r"[^\W\d_]{2,}", text))
    return text if words <= _OPEN_ENDED else None


def _boxed(text: str) -> str | None:
    start = text.rfind(_BOXED)
    if start < 0:
        return None
    depth, begin = 1, start + len(_BOXED)
    for position in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[begin:position]
    return None


def _answer_of_json(text: str) -> str | None:
    blocks = [body for language, body in _FENCE.findall(text) if language.casefold() in ("", "json")]
    for block in (*reversed(blocks), text):
        if not block.lstrip().startswith(("{", "[")):
            continue
        try:
            value: object = json.loads(block)
        except (ValueError, RecursionError):
            continue
        fields = cast("Mapping[str, object]", value if isinstance(value, dict) else {})
        for key in ("answer", "final_answer", "result"):
            if key in fields:
                inner = fields[key]
                return inner if isinstance(inner, str) else json.dumps(inner)
        return str(block)
    return None


def _marked(text: str) -> str | None:
    text = f"\n{text}"
    places = [found for found in _MARKED.finditer(text) if _is_marker(found[0])] or list(_INLINE.finditer(text))
    if not places:
        return None
    last = places[-1]
    rest = last["rest"].strip().strip("*_ ")
    if rest:
        return rest
    following = text[last.end() :].strip()
    return following.split("\n\n")[0] if following else None


def _is_marker(line: str) -> bool:
    """`Answer` alone, or followed by a colon or `is`; not a sentence that merely begins with "The answer depends"."""
    return re.search(r"answer(?:\s+is|\s*[*_]*\s*[:=]|\s*[*_]*\s*$)", line, re.IGNORECASE) is not None


def _data_form(text: str) -> str | None:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            return None
    try:
        return _canonical(value)
    except (RecursionError, ValueError):  # too deep, or a number too long to be written
        return None


def _canonical(value: object) -> str:
    if isinstance(value, Mapping):
        fields = cast("Mapping[object, object]", value)
        pairs = sorted((_canonical(key), _canonical(item)) for key, item in fields.items())
        return "{" + ",".join(f"{key}:{item}" for key, item in pairs) + "}"
    if isinstance(value, (set, frozenset)):
        return "<" + ",".join(sorted(_canonical(item) for item in cast("frozenset[object]", value))) + ">"
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return "[" + ",".join(_canonical(item) for item in cast("Sequence[object]", value)) + "]"
    if isinstance(value, str):
        return json.dumps(" ".join(value.casefold().split()), ensure_ascii=False)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return repr(value)


def _choice(plain: str, question: str) -> str | None:
    options = question_of(question).options
    found = _CHOICE.fullmatch(plain)
    if len(options) < 2:
        # Without options to choose from, only a bare capital letter can be a choice.
        return plain.strip("()[]") if re.fullmatch(r"[(\[]?[A-J][)\]]?", plain) else None
    if found is not None and found[1].upper() in options and (found["body"] is None or plain[found.end(1)] in ")].:"):
        return found[1].upper()
    wanted = tokens_of(plain_text(plain))
    return next((letter for letter, body in options.items() if body == wanted), None)


def _day(low: str) -> date | None:
    low = _WEEKDAY.sub("", low)
    if found := _DATE_YMD.fullmatch(low):
        year, month, day = int(found[1]), int(found[2]), int(found[3])
    elif (found := _DATE_DMY.fullmatch(low)) and found[2] in _MONTHS:
        year, month, day = int(found[3]), _MONTHS[found[2]], int(found[1])
    elif (found := _DATE_MDY.fullmatch(low)) and found[1] in _MONTHS:
        year, month, day = int(found[3]), _MONTHS[found[1]], int(found[2])
    else:
        return None
    try:
        return date(year, month, day)
    except ValueError:
        return None
