"""Recorded outcomes: reading them, grading them, replaying the router's decisions on them, and the figures of merit."""

from deepthrift_router._learn.estimates import calibration_error
from deepthrift_router._learn.risk_control import LabelledCall, RiskControl, control_quality_loss
from deepthrift_router.evaluation._drawing import draw_curve, draw_reliability, write_html, write_png
from deepthrift_router.evaluation._end_to_end import Replayed, decide_offline, route_outcomes
from deepthrift_router.evaluation._evaluate import Evaluation, RuleFigures, SharePoint, evaluate
from deepthrift_router.evaluation._graders import (
    ChoiceGrader,
    CodeGrader,
    ExactGrader,
    Grader,
    GraderName,
    Judge,
    JudgeGrader,
    NumericGrader,
    RegexGrader,
    grade_outcomes,
    grader_named,
)
from deepthrift_router.evaluation._judged import Judged, OfflineDecision, decide, judge
from deepthrift_router.evaluation._ladder_rows import LadderRow, read_ladder
from deepthrift_router.evaluation._metrics import (
    Interval,
    ReliabilityBin,
    area_under_roc,
    reliability,
)
from deepthrift_router.evaluation._outcomes import Extra, Outcome, read_outcomes, write_outcomes
from deepthrift_router.evaluation._replay_server import ReplayServer

__all__ = [
    "ChoiceGrader",
    "CodeGrader",
    "Evaluation",
    "ExactGrader",
    "Extra",
    "Grader",
    "GraderName",
    "Interval",
    "Judge",
    "JudgeGrader",
    "Judged",
    "LabelledCall",
    "LadderRow",
    "NumericGrader",
    "OfflineDecision",
    "Outcome",
    "RegexGrader",
    "ReliabilityBin",
    "ReplayServer",
    "Replayed",
    "RiskControl",
    "RuleFigures",
    "SharePoint",
    "area_under_roc",
    "calibration_error",
    "control_quality_loss",
    "decide",
    "decide_offline",
    "draw_curve",
    "draw_reliability",
    "evaluate",
    "grade_outcomes",
    "grader_named",
    "judge",
    "read_ladder",
    "read_outcomes",
    "reliability",
    "route_outcomes",
    "write_html",
    "write_outcomes",
    "write_png",
]
