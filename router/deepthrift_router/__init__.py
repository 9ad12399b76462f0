"""Which mode of DeepSeek V3.1 answers a question: score, verify, decide, escalate, and say why."""

from deepthrift_router._answers import Answer, AnswerKind, normal_form, parse_answer, same_answer
from deepthrift_router._belief import Belief, Cells
from deepthrift_router._decision import Decision, Evidence, PlanCost, PlanName, RoutePolicy, TokenLength
from deepthrift_router._prior import Prior, Score, Scorer
from deepthrift_router._reply import RoutedReply, Step
from deepthrift_router._router import Amount, ModeRouter
from deepthrift_router._savings import Savings
from deepthrift_router._signals import Validator

__all__ = [
    "Amount",
    "Answer",
    "AnswerKind",
    "Belief",
    "Cells",
    "Decision",
    "Evidence",
    "ModeRouter",
    "PlanCost",
    "PlanName",
    "Prior",
    "RoutePolicy",
    "RoutedReply",
    "Savings",
    "Score",
    "Scorer",
    "Step",
    "TokenLength",
    "Validator",
    "normal_form",
    "parse_answer",
    "same_answer",
]
