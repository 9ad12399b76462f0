"""Many calls from a file or a list: in the OpenAI batch format, resumable, and nothing paid twice unasked."""

from deepthrift.batch._chatter import Chatter, SyncChatter
from deepthrift.batch._estimate import BatchEstimate, ModeEstimate
from deepthrift.batch._native.wire import NativeBatch, NativeState, RequestCounts
from deepthrift.batch._options import BatchEstimateOptions, BatchFileOptions, BatchOptions
from deepthrift.batch._progress import BatchProgress, BatchSummary
from deepthrift.batch._result import BatchResult, Outcome
from deepthrift.batch._row import BatchRow
from deepthrift.batch._workers import Workers

__all__ = [
    "BatchEstimate",
    "BatchEstimateOptions",
    "BatchFileOptions",
    "BatchOptions",
    "BatchProgress",
    "BatchResult",
    "BatchRow",
    "BatchSummary",
    "Chatter",
    "ModeEstimate",
    "NativeBatch",
    "NativeState",
    "Outcome",
    "RequestCounts",
    "SyncChatter",
    "Workers",
]
