"""Two endpoints side by side on the same prompts: a migration, a new chip, a quantisation."""

from deepthrift.compare._agreement import Agree, same_text
from deepthrift.compare._compare import compare
from deepthrift.compare._pair import Pair
from deepthrift.compare._prompts import read_prompts
from deepthrift.compare._report import Agreement, Comparison, CostDifference, Difference, SideReport
from deepthrift.compare._sync import compare_sync

__all__ = [
    "Agree",
    "Agreement",
    "Comparison",
    "CostDifference",
    "Difference",
    "Pair",
    "SideReport",
    "compare",
    "compare_sync",
    "read_prompts",
    "same_text",
]
