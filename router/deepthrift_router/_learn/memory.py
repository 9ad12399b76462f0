"""What a router remembers and what follows from it: labels, the setting in force, thresholds that keep a promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from deepthrift.errors import LedgerError, NotEnoughLabels
from deepthrift_router._belief.belief import Belief
from deepthrift_router._belief.evidence import TIER
from deepthrift_router._belief.likelihoods import Likelihoods
from deepthrift_router._belief.posterior import posterior
from deepthrift_router._belief.prior import Scorer
from deepthrift_router._decide.preferences import Preferences
from deepthrift_router._decide.route_plan import RoutePlan
from deepthrift_router._decide.share import ShareControl
from deepthrift_router._evidence.call_check import CallCheck
from deepthrift_router._evidence.own_checks import Check, signal_of
from deepthrift_router._learn.answered import Answered, LabelSource, answered, process_of
from deepthrift_router._learn.risk_control import LabelledCall, RiskControl, control_quality_loss
from deepthrift_router._learn.setting import Setting, SettingsFolder
from deepthrift_router._learn.store import RouterStore
from deepthrift_router._record.changes import Change
from deepthrift_router._record.reply import RoutedReply

_RECENT = 500
_LABELS = 5_000
_CONTROLS = 64
_ALWAYS = -1.0
"""A threshold that every gain reaches."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold on the gain, and what it promises, in words."""

    gain: float
    promise: str
    suspended: bool = False
    """The promise waits for labels of another model than it was made for; until then, every answer is thought about."""


class Memory:
    """The store, the setting in force and the shadow, and the thresholds that they lead to."""

    def __init__(
        self,
        store: RouterStore,
        setting: Setting | None,
        shadow: Setting | None,
        max_samples: int,
        checks: Sequence[CallCheck] = (),
        own_checks: Sequence[Check] = (),
        *,
        own_scorer: bool,
    ) -> None:
        self.store = store
        self.setting = setting
        self.shadow = shadow
        self.likelihoods = Likelihoods.builtin() if setting is None else setting.likelihoods()
        weighed = [check for check in checks if self.likelihoods.table(check.name, check.condition or "any")]
        bought = [f"{each.name} {each.condition or ''}".strip() for each in weighed]
        self.process = process_of(max_samples, [*bought, *map(signal_of, own_checks)])
        # Scores of another scorer are other scores: what was learned under one says nothing of the other.
        version = "shipped" if setting is None else setting.version
        self.version = f"{version}+own scorer" if own_scorer else version
        self._shares: dict[float, ShareControl] = {}
        self._controls: dict[tuple[float, datetime | None, int], RiskControl] = {}
        self._confirmed: tuple[datetime, int, str | None] | None = None
        self._noted: Change | None = None
        self._shadow_likelihoods = None if shadow is None else shadow.likelihoods()

    def threshold(self, preferences: Preferences, change: Change | None = None) -> Threshold | None:
        """The threshold that meets a preference, or `None` where none was stated.

        After a `change` of the model, labels from before it say nothing of what answers now. A bound on the quality
        lost is kept by thinking about every answer, until audits and labels from after it bear a threshold out.

        Raises:
            NotEnoughLabels: There are too few labels for `max_quality_loss`.
        """
        if preferences.max_quality_loss is not None:
            control = self.control(preferences.max_quality_loss)
            if control.threshold is not None and change is not None:
                lately = self.control(preferences.max_quality_loss, change.at)
                if lately.threshold is None:
                    told = f"the promise is suspended and every answer is thought about: {lately.reason}"
                    return Threshold(_ALWAYS, told, suspended=True)
                control = lately
            if control.threshold is None:
                needed = None if control.more_labels is None else control.labels + control.more_labels
                raise NotEnoughLabels(
                    f"{control.reason}; label answers with feedback(), audits and a grader, or `deepthrift collect`",
                    labels=control.labels,
                    needed=needed,
                )
            return Threshold(control.threshold, control.reason)
        if preferences.target_share is not None:
            share = self.share(preferences.target_share)
            so_far = "" if share.share is None else f" ({share.share:.0%} of {share.answers} so far)"
            return Threshold(share.threshold, f"{share.target:.0%} of the answers are to be escalated{so_far}")
        return None

    def control(self, max_loss: float, since: datetime | None = None) -> RiskControl:
        """The threshold for a bound on the quality lost, worked out afresh when there are more labels.

        With `since`, only labels from that moment on count.
        """
        count = self.store.count_labelled(self.version, since)
        found = self._controls.get((max_loss, since, count))
        if found is None:
            found = control_quality_loss(self._labels(since), max_loss)
            kept = {key: value for key, value in self._controls.items() if key[1] != since or key[2] == count}
            self._controls = {**kept, (max_loss, since, count): found} if len(kept) < _CONTROLS else {}
        return found

    def unconfirmed(self, change: Change) -> str | None:
        """Why the setting in force is not confirmed since the model changed; `None` where it is, or there is none."""
        setting = self.setting
        if setting is None or setting.made >= change.at:
            return None
        count = self.store.count_labelled(self.version, change.at)
        if self._confirmed is None or self._confirmed[:2] != (change.at, count):
            from deepthrift_router._learn.calibrate import doubt_of

            rows = self.store.rows(setting=self.version, labelled=True, since=change.at, limit=_LABELS)
            self._confirmed = change.at, count, doubt_of(rows, setting)
        doubt = self._confirmed[2]
        return None if doubt is None else f"the setting {setting.version} was calibrated before and {doubt}"

    def suspensions(self, change: Change | None, threshold: Threshold | None) -> list[str]:
        """What the router no longer promises since the model has changed, in words."""
        if change is None:
            return []
        found = [threshold.promise] if threshold is not None and threshold.suspended else []
        if (doubt := self.unconfirmed(change)) is not None:
            found.append(doubt)
        return [f"{change.news} since {change.when}; {each}" for each in found]

    def share(self, target: float) -> ShareControl:
        """The control of a target share, begun from the gains on record."""
        found = self._shares.get(target)
        if found is None:
            rows = self.store.rows(limit=_RECENT, setting=self.version)
            gains = [row.gain for row in rows if row.process == self.process]
            found = self._shares[target] = ShareControl(target, gains)
        return found

    def _labels(self, since: datetime | None = None) -> list[LabelledCall]:
        """Labelled answers whose evidence was bought as it will be: the same for each, whatever it said."""
        rows = self.store.rows(limit=_LABELS, setting=self.version, labelled=True, since=since)
        calls = [
            LabelledCall(row.gain, bool(row.kept_right), bool(row.thinking_right))
            for row in rows
            if row.process == self.process
        ]
        setting = self.setting
        if setting is not None and self.process == setting.process and (since is None or setting.made >= since):
            calls += [LabelledCall(gain, bool(kept), bool(think)) for gain, kept, think in setting.gains]
        return calls

    def remember(
        self, reply: RoutedReply, route_plan: RoutePlan, scorer: Scorer, change: Change | None = None
    ) -> RoutedReply:
        """Keep what is known of `reply`; a store that cannot be written is a warning, and never costs the answer."""
        shadow = self.shadow_action(reply, route_plan, scorer)
        if shadow is not None:
            reply = reply.model_copy(update={"decision": reply.decision.model_copy(update={"shadow": shadow})})
        threshold = route_plan.preference.threshold
        process = self.process if threshold is not None and route_plan.plan == "cascade" else "auto"
        base = route_plan.score
        if self.setting is not None and self.setting.prior is not None:
            base = scorer.score(route_plan.request.messages)
        row = answered(
            reply,
            base,
            question=self.store.hash_of(route_plan.request.question),
            process=process,
            shadow=shadow,
            last=route_plan.last,
        )
        try:
            self.store.add(row)
            if change is not None and change != self._noted:
                self.store.note_change(change)
                self._noted = change
        except LedgerError as error:
            told = f"the router's store could not be written: {error.message}"
            return reply.model_copy(update={"warnings": (*reply.warnings, told)})
        return reply

    def shadow_action(self, reply: RoutedReply, route_plan: RoutePlan, scorer: Scorer) -> str | None:
        """What the shadow setting would have done on the same evidence; `None` without one."""
        if self.shadow is None or self._shadow_likelihoods is None:
            return None
        score = self.shadow.scorer(scorer).score(route_plan.request.messages)
        seen = [
            (item.signal, item.condition, item.outcome)
            for item in reply.decision.evidence
            if not item.signal.startswith(TIER)
        ]
        belief = posterior(Belief(score.cells), score.weight, seen, self._shadow_likelihoods)
        if not route_plan.tiers:
            return "accept"
        if route_plan.preference.threshold is not None:
            return "escalate" if belief.gain >= route_plan.preference.threshold else "accept"
        pays = float(route_plan.value.pico) * belief.gain > route_plan.price_of(route_plan.top or route_plan.tiers[0])
        return "escalate" if pays else "accept"

    def label(self, group_id: str, right: bool, source: LabelSource) -> Answered | None:
        """Note whether the answer that was given is right."""
        return self.store.change(group_id, lambda row: row.with_verdict(right, source))


def read_setting(settings: Setting | SettingsFolder | Path | str | None) -> Setting | None:
    """A setting as the user names it: itself, its file, or the folder whose current one is in force.

    Raises:
        ConfigurationError: It cannot be read.
    """
    if settings is None or isinstance(settings, Setting):
        return settings
    if isinstance(settings, SettingsFolder):
        return settings.current()
    path = Path(settings)
    return SettingsFolder(path).current() if path.is_dir() or path.suffix != ".json" else Setting.read(path)
