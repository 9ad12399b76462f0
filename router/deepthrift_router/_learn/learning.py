"""What a router learns of its answers: labels, what audits say, and settings that fit the user's own traffic."""

from __future__ import annotations

from pathlib import Path

from deepthrift_router._learn.estimates import AuditReport, report_of
from deepthrift_router._learn.memory import Memory
from deepthrift_router._learn.setting import Setting, SettingsFolder
from deepthrift_router._learn.store import RouterStore
from deepthrift_router._record.reply import RoutedReply


class Learning:
    """Learning from the answers that the store remembers."""

    _memory: Memory
    _store: RouterStore

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
        return report_of(self._store.rows(limit=limit))

    def calibrate(self, folder: SettingsFolder | Path | str | None = None) -> Setting:
        """A setting fitted on the labelled answers of the store, if it is better out of fold than the one in force.

        It is written into `folder` and put in force there; this router stays as it is, for its answers must not change
        under its user's feet. Without `folder` nothing is written.

        Raises:
            NotEnoughLabels: There are fewer than 100 labelled answers.
            NoLift: It is no better than the setting in force.
            ConfigurationError: It cannot be written.
        """
        from deepthrift_router._learn.calibrate import calibrate

        setting = calibrate(self._store.rows(labelled=True), self._memory.setting)
        if folder is not None:
            (folder if isinstance(folder, SettingsFolder) else SettingsFolder(folder)).write(setting)
        return setting
