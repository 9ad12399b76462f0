"""What a router learns of its answers: labels, what audits say, and settings that fit the user's own traffic."""

from __future__ import annotations

from pathlib import Path

from deepthrift.errors import NoLift, NotEnoughLabels
from deepthrift_router._changes import Change
from deepthrift_router._estimates import AuditReport, report_of
from deepthrift_router._memory import Memory
from deepthrift_router._reasons import sentences
from deepthrift_router._reply import RoutedReply
from deepthrift_router._setting import Setting, SettingsFolder
from deepthrift_router._store import RouterStore


class Learning:
    """Learning from the answers that the store remembers."""

    _memory: Memory
    _store: RouterStore

    def _latest_change(self) -> Change | None:
        """The latest change of the model behind the name, if there was one."""
        return None

    def feedback(self, reply: RoutedReply | str, *, correct: bool) -> bool:
        """Say whether an answer was right: the reply, or its `group_id`. Whether the store knew the answer.

        Where the store knows of both modes' answers and they are the same, or differ while this one is right, the label
        holds for both.
        """
        group_id = reply if isinstance(reply, str) else reply.group_id
        return self._memory.label(group_id, correct, "feedback") is not None

    def audit(self, *, limit: int | None = 20_000) -> AuditReport:
        """What audits and labels say so far: quality, savings and regret with 95 % intervals, and what has drifted.

        Args:
            limit: The latest answers that count; `None`: all that the store keeps.
        """
        rows = self._store.rows(limit=limit)
        change = self._latest_change()
        if change is None:
            return report_of(rows)
        since = [row for row in rows if row.at >= change.at]
        labels = sum(row.labelled for row in since)
        told = f"{change.news} since {change.when}; {len(since)} answers and {labels} labels are from after it"
        return report_of(rows).model_copy(update={"model_changed": told})

    def calibrate(self, folder: SettingsFolder | Path | str | None = None) -> Setting:
        """A setting fitted on the labelled answers of the store, if it is better out of fold than the one in force.

        It is written into `folder` and put in force there; this router stays as it is, for its answers must not change
        under its user's feet. Without `folder` nothing is written. Where another model answers by now, only labels from
        after the change count.

        Raises:
            NotEnoughLabels: There are fewer than 100 labelled answers.
            NoLift: It is no better than the setting in force.
            ConfigurationError: It cannot be written.
        """
        from deepthrift_router._calibrate import calibrate

        change = self._latest_change()
        rows = self._store.rows(labelled=True, since=None if change is None else change.at)
        try:
            setting = calibrate(rows, self._memory.setting)
        except (NoLift, NotEnoughLabels) as error:
            if change is not None:
                error.message += f" {sentences(change.only_later)}"
            raise
        if folder is not None:
            (folder if isinstance(folder, SettingsFolder) else SettingsFolder(folder)).write(setting)
        return setting
