"""For your own tests: an endpoint of V3.1 that follows a script, and a recorder of real ones. No network needed."""

from deepthrift._types.errors import UnmatchedRequest
from deepthrift.testing._mock import MockTransport, Script
from deepthrift.testing._recorder import Recorder
from deepthrift.testing._replies import MockBehaviour, MockDisconnect, MockError, MockReply
from deepthrift.testing._sent import SentRequest

__all__ = [
    "MockBehaviour",
    "MockDisconnect",
    "MockError",
    "MockReply",
    "MockTransport",
    "Recorder",
    "Script",
    "SentRequest",
    "UnmatchedRequest",
]
