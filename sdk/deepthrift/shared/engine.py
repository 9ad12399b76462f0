"""The embedded engine: its plan, its log, and what an hour of it costs."""

from __future__ import annotations

from deepthrift.local._engine.measure import check_hour, price_file
from deepthrift.local._engine.planned import planned_profile
from deepthrift.local._process.logfile import LogFile

__all__ = [
    "LogFile",
    "check_hour",
    "planned_profile",
    "price_file",
]
