"""The few pieces of HTML that the page is made of. Everything that is not ours is escaped here."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from deepthrift_pricing._values.money import Money

_SIGNS: Final = {"USD": "$", "CNY": "¥"}


def text(value: object) -> str:
    """Any value as text that cannot become markup."""
    return html.escape(str(value))


def money(amount: Money) -> str:
    """An amount as it is, to eight decimals, with at least two: `$0.00120736`, `$12.50`."""
    value = abs(amount.amount.quantize(Decimal("1e-8"))).normalize()
    if -int(value.as_tuple().exponent) < 2:
        value = value.quantize(Decimal("0.01"))
    return f"{'-' if amount.pico < 0 else ''}{_SIGNS[amount.currency]}{value:,f}"


def percent(share: Decimal | float | None) -> str:
    """A share from 0 to 1 as `12.3 %`; a dash where there is none."""
    return "–" if share is None else f"{share * 100:.1f} %"


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = ()) -> str:
    """A table whose cells are given as text; `numbers` are the columns that stand on the right."""

    def kind(column: int) -> str:
        return ' class="number"' if column in numbers else ""

    header = "".join(f'<th scope="col"{kind(column)}>{text(name)}</th>' for column, name in enumerate(head))
    body = "".join(
        "<tr>" + "".join(f"<td{kind(column)}>{text(cell)}</td>" for column, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{text(caption)}"><table>'
        f"<caption>{text(caption)}</caption><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def figure(said: str, wide: str, narrow: str, numbers: str) -> str:
    """A drawing for a desk and one for a phone, what they say in words, and their numbers."""
    return (
        f'<figure><div role="img" aria-label="{text(said)}">'
        f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div></div>'
        f'<figcaption class="quiet">{text(said)}</figcaption>'
        f"<details><summary>The numbers</summary>{numbers}</details></figure>"
    )


def section(anchor: str, title: str, *parts: str) -> str:
    """A part of the page under its heading."""
    return f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{text(title)}</h2>{"".join(parts)}</section>'


def paragraph(said: str, *, kind: str = "") -> str:
    """A paragraph of text."""
    return f"<p{f' class={kind!r}' if kind else ''}>{text(said)}</p>"


def cards(pairs: Iterable[tuple[str, str, str]]) -> str:
    """The key figures: name, value, remark."""
    inner = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(value)}{f'<small>{text(remark)}</small>' if remark else ''}</dd></div>"
        for name, value, remark in pairs
    )
    return f'<dl class="cards">{inner}</dl>'
