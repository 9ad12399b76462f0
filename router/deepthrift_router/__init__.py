"""Which mode of DeepSeek V3.1 answers a question: score, verify, decide, escalate, and say why."""

from deepthrift_router._answered import Answered
from deepthrift_router._answers import Answer, AnswerKind, normal_form, parse_answer, same_answer
from deepthrift_router._audits import Grader
from deepthrift_router._belief import Belief, Cells
from deepthrift_router._calibrate import calibrate
from deepthrift_router._checks import CheckName
from deepthrift_router._decision import Decision, Evidence, PlanCost, PlanName, RoutePolicy, TokenLength
from deepthrift_router._estimates import AuditReport, Figure
from deepthrift_router._parsing import RoutedParsed
from deepthrift_router._preferences import Amount, Preferences, RouteOptions
from deepthrift_router._prior import Prior, Score, Scorer
from deepthrift_router._reply import RoutedReply, Step
from deepthrift_router._router import ModeRouter
from deepthrift_router._sandbox import Sandbox, SandboxResult
from deepthrift_router._savings import Savings
from deepthrift_router._setting import Lift, PriorShift, Setting, SettingsFolder
from deepthrift_router._store import RouterStore
from deepthrift_router._stream import AsyncRoutedStream, RoutedStream
from deepthrift_router._telling import Escalated, RoutedEvent, StreamMode
from deepthrift_router._validators import Fits, Matches, PassesTests, Validator, Verdict
from deepthrift_router._watch import PartialValidator

__all__ = [
    "Amount",
    "Answer",
    "AnswerKind",
    "Answered",
    "AsyncRoutedStream",
    "AuditReport",
    "Belief",
    "Cells",
    "CheckName",
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
    "TokenLength",
    "Validator",
    "Verdict",
    "calibrate",
    "normal_form",
    "parse_answer",
    "same_answer",
]
