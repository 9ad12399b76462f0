"""Exact cost accounting for DeepSeek V3.1 calls: tokens, prices, money, a ledger and budgets that hold."""

from deepthrift_pricing._attempt import Attempt, AttemptRequest, Purpose, Status, new_id, utc_now
from deepthrift_pricing._cost import Cost
from deepthrift_pricing._money import Currency, Money
from deepthrift_pricing._usage import Certainty, Mode, Usage, least_certain

__all__ = [
    "Attempt",
    "AttemptRequest",
    "Certainty",
    "Cost",
    "Currency",
    "Mode",
    "Money",
    "Purpose",
    "Status",
    "Usage",
    "least_certain",
    "new_id",
    "utc_now",
]
