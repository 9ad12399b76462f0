"""Exact cost accounting for DeepSeek V3.1 calls: tokens, prices, money, a ledger and budgets that hold."""

from deepthrift_pricing._attempt import Attempt, AttemptRequest, Identity, Purpose, Status, new_id, utc_now
from deepthrift_pricing._budget import Budget, BudgetStatus, Per, Policy
from deepthrift_pricing._cost import Cost
from deepthrift_pricing._estimate import Estimate, estimate_cost
from deepthrift_pricing._hardware import Machine, Weights, known_machines, known_weights
from deepthrift_pricing._identities import ModelIdentity
from deepthrift_pricing._ledger import Ledger
from deepthrift_pricing._ledger_bookings import Refit
from deepthrift_pricing._money import Currency, Money
from deepthrift_pricing._plan import HostedOption, Load, MachineOption, Plan, make_plan
from deepthrift_pricing._prefix import PrefixPrediction, PrefixTrace, PrefixTracker
from deepthrift_pricing._price import DecidedBy, Price
from deepthrift_pricing._price_amounts import Bracket
from deepthrift_pricing._price_book import PriceBook
from deepthrift_pricing._price_calendar import EndingCalendar
from deepthrift_pricing._price_explain import PriceExplanation
from deepthrift_pricing._refusal_counts import RefusalRow
from deepthrift_pricing._spend import SpendRow
from deepthrift_pricing._usage import Certainty, Mode, Usage, add_requests, least_certain
from deepthrift_pricing._usage_parse import parse_usage

__all__ = [
    "Attempt",
    "AttemptRequest",
    "Bracket",
    "Budget",
    "BudgetStatus",
    "Certainty",
    "Cost",
    "Currency",
    "DecidedBy",
    "EndingCalendar",
    "Estimate",
    "HostedOption",
    "Identity",
    "Ledger",
    "Load",
    "Machine",
    "MachineOption",
    "Mode",
    "ModelIdentity",
    "Money",
    "Per",
    "Plan",
    "Policy",
    "PrefixPrediction",
    "PrefixTrace",
    "PrefixTracker",
    "Price",
    "PriceBook",
    "PriceExplanation",
    "Purpose",
    "Refit",
    "RefusalRow",
    "SpendRow",
    "Status",
    "Usage",
    "Weights",
    "add_requests",
    "estimate_cost",
    "known_machines",
    "known_weights",
    "least_certain",
    "make_plan",
    "new_id",
    "parse_usage",
    "utc_now",
]
