"""The cost-quality curve and the reliability diagram, as PNG files and as one self-contained HTML page."""

# matplotlib's own types leave keyword arguments open.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deepthrift.errors import ConfigurationError
from deepthrift_router.evaluation._evaluate import ORACLE, Evaluation, RuleFigures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK: Final = "#1f2933"
_COLOURS: Final = ("#0b6bcb", "#d1495b", "#2e933c", "#edae49", "#7d5ba6", "#00798c", "#8d99ae", "#5c4742")
_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;color:#1f2933;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #cbd2d9;padding:.25rem .6rem;text-align:right}"
    "td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}"
)


def draw_curve(evaluation: Evaluation) -> Figure:
    """Accuracy against the share of thinking calls, or against the cost of a thousand questions where it is known.

    Raises:
        ConfigurationError: matplotlib is not installed; `deepthrift[report]` brings it.
    """
    figure, axes = _canvas()
    priced = all(point.cost is not None for rule in evaluation.rules for point in rule.curve)
    for place, rule in enumerate(evaluation.rules):
        colour = _COLOURS[place % len(_COLOURS)]
        line = ":" if rule.name == ORACLE else "--" if rule.name in ("random", "prompt length") else "-"
        axes.plot(_across(rule, priced=priced), _accuracies(rule), line, color=colour, label=rule.name, linewidth=1.6)
    first = evaluation.rules[0]
    low, high = [point.accuracy.low for point in first.points], [point.accuracy.high for point in first.points]
    if not priced:
        axes.fill_between([point.share for point in first.points], low, high, color=_COLOURS[0], alpha=0.15)
    axes.axhline(evaluation.standard.value, color=_INK, linewidth=0.8, linestyle=":")
    axes.axhline(evaluation.thinking.value, color=_INK, linewidth=0.8, linestyle=":")
    currency = first.curve[0].cost.currency if priced and first.curve[0].cost is not None else ""
    axes.set_xlabel(f"cost of a thousand questions, {currency}" if priced else "share of thinking calls")
    axes.set_ylabel("accuracy")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def draw_reliability(evaluation: Evaluation) -> Figure:
    """Confidence in the standard answer against the share that was right; the area of a point is its count.

    Raises:
        ConfigurationError: matplotlib is not installed; `deepthrift[report]` brings it.
    """
    figure, axes = _canvas()
    bins = evaluation.reliability
    most = max((each.count for each in bins), default=1)
    axes.plot([0, 1], [0, 1], ":", color=_INK, linewidth=0.8)
    axes.plot([each.confidence for each in bins], [each.right for each in bins], "-", color=_COLOURS[0], linewidth=1.2)
    sizes = [20 + 180 * each.count / most for each in bins]
    axes.scatter([each.confidence for each in bins], [each.right for each in bins], s=sizes, color=_COLOURS[0])
    axes.set_xlabel(f"confidence (calibration error {evaluation.calibration_error:.3f})")
    axes.set_ylabel("share that was right")
    return figure


def write_png(evaluation: Evaluation, folder: Path | str) -> tuple[Path, Path]:
    """Writes `curve.png` and `reliability.png` into `folder`; their paths.

    Raises:
        ConfigurationError: matplotlib is not installed, or a file cannot be written.
    """
    paths = Path(folder) / "curve.png", Path(folder) / "reliability.png"
    try:
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        for path, figure in zip(paths, (draw_curve(evaluation), draw_reliability(evaluation)), strict=True):
            figure.savefig(path, dpi=150, metadata={"Software": None})
    except OSError as error:
        raise ConfigurationError(f"{error.filename or folder} cannot be written: {error.strerror or error}") from None
    return paths


def write_html(evaluation: Evaluation, path: Path | str, *, title: str = "Evaluation of the router") -> Path:
    """Writes one page with both drawings inside and all figures in a table; it loads nothing.

    Raises:
        ConfigurationError: matplotlib is not installed, or the file cannot be written.
    """
    curve, diagram = _svg(draw_curve(evaluation)), _svg(draw_reliability(evaluation))
    heads = [f"{point.share:.0%}" for point in evaluation.rules[0].points]
    rows = [_row("th", ["rule", "calls beside thinking", *(f"PGR at {head}" for head in heads), "APGR"])]
    for rule in evaluation.rules:
        cells = [str(point.pgr) if point.pgr is not None else "–" for point in rule.points]
        rows.append(_row("td", [rule.name, rule.calls, *cells, "–" if rule.apgr is None else str(rule.apgr)]))
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in evaluation.notes)
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1>"
        f"<p>{evaluation.rows:,} outcomes of {html.escape(', '.join(evaluation.pairs))}. Accuracy: standard "
        f"{evaluation.standard}, thinking {evaluation.thinking}. PGR is the share of the gain of always thinking that "
        f"is kept; intervals are 95 %, by bootstrap.</p><h2>Cost and quality</h2>{curve}"
        f"<table>{''.join(rows)}</table><h2>Reliability</h2>{diagram}<ul>{notes}</ul></body></html>\n"
    )
    try:
        Path(path).write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror or error}") from None
    return Path(path)


def _canvas() -> tuple[Figure, Axes]:
    """A figure of its own, without the global state of pyplot."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigurationError("drawing needs matplotlib: pip install 'deepthrift[report]'") from None
    figure = Figure(figsize=(7.2, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(visible=True, color="#e4e7eb", linewidth=0.6)
    return figure, axes


def _across(rule: RuleFigures, *, priced: bool) -> Sequence[float]:
    if not priced:
        return [point.share for point in rule.curve]
    return [float(point.cost.amount) for point in rule.curve if point.cost is not None]


def _accuracies(rule: RuleFigures) -> Sequence[float]:
    return [point.accuracy.value for point in rule.curve]


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"
