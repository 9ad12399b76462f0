"""What `deepthrift calibrate` does."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deepthrift_router.cli._shared.output import table

if TYPE_CHECKING:
    from deepthrift_router import Answered, RouterStore, Setting
    from deepthrift_router.cli._shared.output import Output


def calibrate_now(
    data: Sequence[Path],
    store_path: Path,
    folder: Path,
    output: Output,
    *,
    samples: int,
    cross_checks: Sequence[str],
    max_quality_loss: float | None,
    dry_run: bool,
) -> None:
    """Fit, write and tell; the promise, too, where a bound was asked for."""
    from deepthrift.errors import NoLift
    from deepthrift_router import RouterStore, SettingsFolder, calibrate

    settings = SettingsFolder(folder)
    current = settings.current()
    with contextlib.closing(RouterStore(store_path if store_path.exists() else ":memory:")) as store:
        change = store.change_known()
        if change is not None:
            output.note(change.only_later)
        kept = store.rows(labelled=True, since=None if change is None else change.at)
        rows = [*kept, *_recorded(data, store, samples, cross_checks)]
        try:
            with output.working("fitting", elsewhere=False):
                setting = calibrate(rows, current)
        except NoLift:
            if max_quality_loss is not None:
                _promise(rows, current, max_quality_loss, output)
            raise
        if not dry_run:
            settings.write(setting)
    promise = None if max_quality_loss is None else _control(setting.gains, max_quality_loss)
    if output.as_json:
        told = setting.model_dump(mode="json", exclude={"gains"})
        changed = None if change is None else {"at": change.at, "news": change.news}
        output.document({"written": not dry_run, "setting": told, "promise": promise, "model_changed": changed})
        return
    lift = setting.lift
    output.print(f"{'Would write' if dry_run else 'Wrote'} setting {setting.version}", style="bold")
    output.print(
        f"{setting.labels} labels of {setting.questions} questions; log loss {lift.before:.3f} before, "
        f"{lift.after:.3f} after, out of fold: saved {lift.mean:.3f}, 95 % interval {lift.low:.3f} to {lift.high:.3f}"
    )
    output.print(f"fitted: base rates, {', '.join(setting.signals) or 'no signal'}")
    if promise is not None:
        output.print(str(promise["reason"]))
    if not dry_run:
        output.note(f"in force in {folder}; deepthrift calibrate --rollback goes back")


def _recorded(data: Sequence[Path], store: RouterStore, samples: int, checks: Sequence[str]) -> list[Answered]:
    from deepthrift_router.evaluation import read_outcomes
    from deepthrift_router.labels import label_recorded

    found = (label_recorded(outcome, store, samples=samples, checks=checks) for outcome in read_outcomes(*data))
    return [row for row in found if row is not None]


def _promise(rows: Sequence[Answered], current: Setting | None, loss: float, output: Output) -> None:
    """What the setting in force can promise on these labels, when there is no better one."""
    if current is not None:
        return
    gains = [(row.gain, int(row.kept_right or False), int(row.thinking_right or False)) for row in rows]
    output.note(f"the shipped setting: {_control(gains, loss)['reason']}")


def _control(gains: Sequence[tuple[float, int, int]], loss: float) -> dict[str, object]:
    from deepthrift_router._learn.risk_control import LabelledCall, control_quality_loss

    calls = [LabelledCall(gain, bool(kept), bool(thinking)) for gain, kept, thinking in gains]
    control = control_quality_loss(calls, loss)
    return {**control.model_dump(mode="json"), "reason": control.reason}


def list_settings(folder: Path, output: Output) -> None:
    """Every version with its lift, and which is in force."""
    from deepthrift_router import SettingsFolder

    settings = SettingsFolder(folder)
    current = settings.current()
    found = [settings.read(version) for version in settings.versions()]
    if output.as_json:
        rows = [{**each.model_dump(mode="json", exclude={"gains", "signals"})} for each in found]
        output.document({"current": None if current is None else current.version, "settings": rows})
        return
    if not found:
        output.print("no setting yet; the shipped one is in force")
        return
    shown = table("version", "labels", "base", "log loss saved", "", right=("labels", "log loss saved"))
    for each in found:
        mark = "in force" if current is not None and each.version == current.version else ""
        shown.add_row(each.version, str(each.labels), each.base, f"{each.lift.mean:+.3f}", mark)
    output.print(shown)
    if current is None:
        output.print("the shipped setting is in force")


def go_back(folder: Path, version: str | None, output: Output) -> None:
    """Put an earlier version in force."""
    from deepthrift_router import SettingsFolder

    setting = SettingsFolder(folder).rollback(version)
    name = "shipped" if setting is None else setting.version
    if output.as_json:
        output.document({"current": None if setting is None else setting.version})
    else:
        output.print(f"in force: {name}")
