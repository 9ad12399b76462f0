"""The figures of the page, drawn by matplotlib as SVG whose colours are the page's own variables."""

# matplotlib's types leave many arguments unknown to a strict checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import importlib
import importlib.util
import io
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, cast

from deepthrift_pricing._values.errors import ConfigurationError
from deepthrift_pricing._values.money import Money
from deepthrift_pricing.reports.page._data import Bar, Burn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from deepthrift_pricing.reports._counterfactual import Counterfactual

WIDE: Final = 7.6
NARROW: Final = 3.7
"""Inches; a figure is drawn for a desk and for a phone, so that its text keeps its size."""
_VARIABLES: Final = ("text", "grid", "standard", "thinking", "hit", "miss", "limit", "other")
_COLOURS: Final = {name: f"#0{number}0{number}0{number}" for number, name in enumerate(_VARIABLES, start=1)}
"""Placeholders that no figure uses otherwise; in the SVG they become `var(--text)` and so on."""
_SETTINGS: Final = {
    "svg.fonttype": "none",
    "font.size": 9,
    "text.color": _COLOURS["text"],
    "axes.labelcolor": _COLOURS["text"],
    "axes.edgecolor": _COLOURS["grid"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": _COLOURS["grid"],
    "grid.linewidth": 0.6,
    "xtick.color": _COLOURS["text"],
    "ytick.color": _COLOURS["text"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
_SIGNS: Final = {"USD": "$", "CNY": "¥"}


def need_matplotlib() -> None:
    """Nothing, if matplotlib is installed.

    Raises:
        ConfigurationError: It is not.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigurationError("the report page needs matplotlib: pip install 'deepthrift[report]'")


def spend_over_time(bars: Sequence[Bar], width: float) -> str:
    """Stacked bars: what each mode cost in each step of time."""

    def draw(axes: Axes) -> None:
        places = range(len(bars))
        standard = [_units(bar.standard) for bar in bars]
        axes.bar(places, standard, color=_COLOURS["standard"], label="standard", width=0.8)
        thinking = [_units(bar.thinking) for bar in bars]
        axes.bar(places, thinking, bottom=standard, color=_COLOURS["thinking"], label="thinking", width=0.8)
        _label_steps(axes, [bar.label for bar in bars], width)
        _label_money(axes, bars[0].standard, vertical=True)
        _legend(axes)

    return _svg("spend", draw, width, 2.5)


def cache_over_time(bars: Sequence[Bar], width: float) -> str:
    """Stacked bars: prompt tokens that the provider had, and those that it had not."""

    def draw(axes: Axes) -> None:
        places = range(len(bars))
        hits = [bar.hit_tokens for bar in bars]
        axes.bar(places, hits, color=_COLOURS["hit"], label="cache hit", width=0.8)
        misses = [bar.miss_tokens for bar in bars]
        axes.bar(places, misses, bottom=hits, color=_COLOURS["miss"], label="cache miss", width=0.8)
        _label_steps(axes, [bar.label for bar in bars], width)
        axes.yaxis.set_major_formatter(_format(_short))
        _legend(axes)

    return _svg("cache", draw, width, 2.5)


def other_ways(others: Sequence[Counterfactual], spent: Money, width: float) -> str:
    """Level bars with their 95 % intervals: what was spent, and what the other ways would have cost."""
    known = [(other.name, other.cost, other.low, other.high) for other in others if other.cost is not None]
    rows = [("really spent", spent, None, None), *known]

    def draw(axes: Axes) -> None:
        places = list(range(len(rows)))
        costs = [_units(cost) for _, cost, _, _ in rows]
        colours = [_COLOURS["standard"], *[_COLOURS["other"]] * len(known)]
        axes.barh(places, costs, color=colours, height=0.62)
        for place, (_, cost, low, high) in zip(places, rows, strict=True):
            if low is not None and high is not None and low != high:
                below, above = _units(cost) - _units(low), _units(high) - _units(cost)
                axes.errorbar(
                    _units(cost), place, xerr=[[below], [above]], color=_COLOURS["text"], capsize=3, linewidth=1.2
                )
        axes.set_yticks(places, [name for name, *_ in rows])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")
        _label_money(axes, spent, vertical=False, ticks=5 if width > NARROW else 3)

    return _svg("others", draw, width, 0.7 + 0.34 * len(rows))


def burn_down(burn: Burn, until: datetime, number: int, width: float) -> str:
    """A budget's window: the spend so far as steps, the limit, and where the present pace leads."""

    def draw(axes: Axes) -> None:
        dates = cast("Any", importlib.import_module("matplotlib.dates"))  # most of it has no types
        status = burn.status
        start = status.window_start or (burn.points[0][0] if burn.points else until)
        moments = [dates.date2num(moment) for moment in (start, *(moment for moment, _ in burn.points), until)]
        spent = [0.0, *(_units(amount) for _, amount in burn.points)]
        axes.step(moments, [*spent, spent[-1]], where="post", color=_COLOURS["standard"], linewidth=1.8, label="spent")
        limit = _units(status.limit)
        axes.axhline(limit, color=_COLOURS["limit"], linewidth=1.4, linestyle="--", label="limit")
        if burn.ends is not None and spent[-1]:
            axes.plot(
                [dates.date2num(until), dates.date2num(burn.ends)],
                [spent[-1], limit],
                color=_COLOURS["thinking"],
                linewidth=1.4,
                linestyle=":",
                label="at this pace",
            )
        if status.window_end is not None and not status.budget.rolls:
            axes.set_xlim(dates.date2num(start), dates.date2num(status.window_end))
        axes.set_ylim(0, max(limit, spent[-1]) * 1.08 or 1)
        axes.xaxis.set_major_locator(locator := dates.AutoDateLocator(maxticks=7 if width > NARROW else 4))
        axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
        _label_money(axes, status.limit, vertical=True)
        _legend(axes)

    return _svg(f"budget{number}", draw, width, 2.3)


def _svg(name: str, draw: Callable[[Axes], None], width: float, height: float) -> str:
    """One figure; ids are its own, so that several can stand on one page."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    prefix = f"{name}-{round(width * 10)}-"
    with rc_context(cast("Any", {**_SETTINGS, "svg.hashsalt": prefix})):  # its keys are literals of one release
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure.subplots())
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = re.sub(r'(url\(#|href="#)', rf"\1{prefix}", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = text.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
    for variable, colour in _COLOURS.items():
        text = text.replace(colour, f"var(--{variable})")
    return text.strip()


def _units(amount: Money) -> float:
    """For drawing only; the tables carry the exact amounts."""
    return float(amount.amount)


def _legend(axes: Axes) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0, handlelength=1.2)


def _label_steps(axes: Axes, labels: Sequence[str], width: float) -> None:
    """As many labels as fit, without the part that all of them share."""
    most = 8 if width > NARROW else 4
    stride = max(1, -(-len(labels) // most))
    shown = labels[::stride]
    year = {label[:4] for label in labels}
    if len(year) == 1:
        shown = [label[5:] for label in shown]
    axes.set_xticks(range(0, len(labels), stride), shown)
    axes.set_xlim(-0.6, max(len(labels), 2) - 0.4)


def _label_money(axes: Axes, like: Money, *, vertical: bool, ticks: int = 5) -> None:
    from matplotlib.ticker import MaxNLocator

    sign = _SIGNS[like.currency]
    axis = axes.yaxis if vertical else axes.xaxis
    axis.set_major_locator(MaxNLocator(nbins=ticks))
    axis.set_major_formatter(_format(lambda value: f"{sign}{value:.6f}".rstrip("0").rstrip(".")))


def _format(text: Callable[[float], str]) -> Callable[[float, object], str]:
    return lambda value, _: text(value)


def _short(count: float) -> str:
    """Token counts: `950`, `12k`, `3.4M`."""
    for size, mark in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.1f}".rstrip("0").rstrip(".") + mark
    return f"{count:.0f}"
