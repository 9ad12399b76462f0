"""Text on a terminal: wrapped at words, without control sequences; in a pipe exactly as it came."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from deepthrift_router.cli._answers.text import Flow, clean, hanging


def flowed(fragments: list[str], *, width: int = 20, terminal: bool = True) -> str:
    """What a console of that width shows."""
    console = Console(file=io.StringIO(), width=width, height=25, force_terminal=terminal, color_system=None)
    flow = Flow(console)
    for fragment in fragments:
        flow.write(fragment)
    flow.finish()
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_lines_break_between_words() -> None:
    assert flowed(["The quick bro", "wn fox jumps over the lazy dog."]) == (
        "The quick brown fox\njumps over the lazy\ndog.\n"
    )


def test_a_pipe_gets_what_the_model_wrote() -> None:
    assert flowed(["a  b ", "\x1b[31mc\n"], terminal=False) == "a  b \x1b[31mc\n"
    assert flowed(["no newline"], terminal=False) == "no newline\n"


def test_control_sequences_do_not_reach_a_terminal() -> None:
    assert flowed(["\x1b]0;title\x07ok\x1b[2J"]) == "]0;titleok[2J\n"
    assert clean("a\tb\nc\x9b\x7f") == "a\tb\nc"


def test_markup_of_the_console_is_text() -> None:
    assert flowed(["[bold]x[/bold]", " [red]"], width=40) == "[bold]x[/bold] [red]\n"


@given(st.lists(st.text(st.sampled_from("ab .\n\t早é"), max_size=12), max_size=12), st.integers(8, 40))
def test_no_word_is_lost_or_broken_however_the_text_is_cut(fragments: list[str], width: int) -> None:
    words = "".join(fragments).split()
    shown = flowed(fragments, width=width)
    assert "".join(shown.split()) == "".join(words)
    if all(cell_len(word) <= width for word in words):
        assert shown.split() == words
        assert all(cell_len(line) <= width for line in shown.splitlines())


@given(
    st.lists(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1), min_size=1),
    st.integers(20, 90),
    st.integers(1, 6),
)
def test_a_long_indented_line_goes_on_further_in(words: list[str], width: int, indent: int) -> None:
    console = Console(file=io.StringIO(), width=width, height=25, force_terminal=True, color_system=None)
    line = " " * indent + " ".join(words)
    first, *further = hanging(line, console).split("\n")
    assert "".join([first, *further]).replace(" ", "") == "".join(words)
    assert first.startswith(" " * indent)
    assert all(part.startswith(" " * (indent + 2)) for part in further)
    assert all(cell_len(part) <= width for part in (first, *further))
    if cell_len(line) <= width:
        assert (first, further) == (line, [])
