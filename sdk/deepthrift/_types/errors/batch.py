"""The files, workers or recordings of a batch cannot be used."""

from __future__ import annotations

from deepthrift_pricing.errors import DeepthriftError


class UnmatchedRequest(DeepthriftError, AssertionError):
    """An endpoint of `deepthrift.testing` has no answer for a request, or was not asked for every one it has."""


class BatchError(DeepthriftError):
    """A file of a batch is missing, damaged, in use by another process, or belongs to another batch."""


class ClusterUnavailable(BatchError):
    """The cluster that a batch is to run on cannot be reached, or has no worker left. No further row was sent."""


class WorkerLost(DeepthriftError):
    """A machine of a batch died with the row it was answering. It may be billed, so it is not sent again unasked."""
