"""Which mode of DeepSeek V3.1 answers a question: score, verify, decide, escalate, and say why."""

from deepthrift_router._answers.answers import Answer, AnswerKind, normal_form, parse_answer, same_answer
from deepthrift_router._belief.belief import Belief, Cells
from deepthrift_router._belief.evidence import Evidence
from deepthrift_router._belief.prior import Prior, Score, Scorer
from deepthrift_router._decide.ladder import Tier
from deepthrift_router._decide.preferences import Amount, Preferences, RouteOptions
from deepthrift_router._door.parsing import RoutedParsed
from deepthrift_router._door.router import ModeRouter
from deepthrift_router._door.settings import RouterSettings
from deepthrift_router._door.stream import AsyncRoutedStream, RoutedStream
from deepthrift_router._evidence.own_checks import Check, CheckResult, CheckVerdict
from deepthrift_router._evidence.sandbox import Sandbox, SandboxResult
from deepthrift_router._evidence.validators import Fits, Matches, PassesTests, Validator, Verdict
from deepthrift_router._evidence.watch import PartialValidator
from deepthrift_router._learn.answered import Answered
from deepthrift_router._learn.audits import Grader
from deepthrift_router._learn.calibrate import calibrate
from deepthrift_router._learn.estimates import AuditReport, Figure
from deepthrift_router._learn.setting import Lift, PriorShift, Setting, SettingsFolder
from deepthrift_router._learn.store import RouterStore
from deepthrift_router._record.decision import Decision, PlanCost, PlanName, RoutePolicy, TokenLength
from deepthrift_router._record.presenter import Escalated, RoutedEvent, StreamMode
from deepthrift_router._record.reply import RoutedReply, Step
from deepthrift_router._record.savings import Savings

__all__ = [
    "Amount",
    "Answer",
    "AnswerKind",
    "Answered",
    "AsyncRoutedStream",
    "AuditReport",
    "Belief",
    "Cells",
    "Check",
    "CheckResult",
    "CheckVerdict",
    "Decision",
    "Escalated",
    "Evidence",
    "Figure",
    "Fits",
    "Grader",
    "Lift",
    "Matches",
    "ModeRouter",
    "PartialValidator",
    "PassesTests",
    "PlanCost",
    "PlanName",
    "Preferences",
    "Prior",
    "PriorShift",
    "RouteOptions",
    "RoutePolicy",
    "RoutedEvent",
    "RoutedParsed",
    "RoutedReply",
    "RoutedStream",
    "RouterSettings",
    "RouterStore",
    "Sandbox",
    "SandboxResult",
    "Savings",
    "Score",
    "Scorer",
    "Setting",
    "SettingsFolder",
    "Step",
    "StreamMode",
    "Tier",
    "TokenLength",
    "Validator",
    "Verdict",
    "calibrate",
    "normal_form",
    "parse_answer",
    "same_answer",
]
