"""Labels of the user's own: collecting outcomes of both modes, grading them, and judging the router on them live."""

from deepthrift_router.labels._collect import Collected, Collector
from deepthrift_router.labels._graders import LiveGraderName, ReferenceGrader
from deepthrift_router.labels._live import Contestant, LiveEvaluation, LiveReport, LiveResult
from deepthrift_router.labels._prompts import read_prompts
from deepthrift_router.labels._recorded import label_recorded

__all__ = [
    "Collected",
    "Collector",
    "Contestant",
    "LiveEvaluation",
    "LiveGraderName",
    "LiveReport",
    "LiveResult",
    "ReferenceGrader",
    "label_recorded",
    "read_prompts",
]
