"""Exact cost accounting for DeepSeek V3.1 calls: tokens, prices, money, a ledger and budgets that hold."""

from deepthrift_pricing._estimate.estimate import Estimate, estimate_cost
from deepthrift_pricing._estimate.prefix import PrefixPrediction, PrefixTrace, PrefixTracker
from deepthrift_pricing._ledger.bookings import Refit
from deepthrift_pricing._ledger.counts.refusal_counts import RefusalRow
from deepthrift_pricing._ledger.ledger import Ledger
from deepthrift_pricing._ledger.rows.identities import ModelIdentity
from deepthrift_pricing._ledger.spend import SpendRow
from deepthrift_pricing._prices.amounts import Bracket
from deepthrift_pricing._prices.book import PriceBook
from deepthrift_pricing._prices.calendar import EndingCalendar
from deepthrift_pricing._prices.explain import PriceExplanation
from deepthrift_pricing._prices.hardware import Machine, Weights, known_machines, known_weights
from deepthrift_pricing._prices.plan import HostedOption, Load, MachineOption, Plan, make_plan
from deepthrift_pricing._prices.price import DecidedBy, Price
from deepthrift_pricing._values.attempt import Attempt, AttemptRequest, Identity, Purpose, Status, new_id, utc_now
from deepthrift_pricing._values.budget import Budget, BudgetStatus, Per, Policy
from deepthrift_pricing._values.cost import Cost
from deepthrift_pricing._values.money import Currency, Money
from deepthrift_pricing._values.usage import Certainty, Mode, Usage, add_requests, least_certain
from deepthrift_pricing._values.usage_parse import parse_usage

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
