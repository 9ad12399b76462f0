"""Alerts: thresholds, forecasts, anomalies and balances, each told once, to people or to programs."""

from deepthrift_pricing.alerts._alert import Alert, Kind, Severity
from deepthrift_pricing.alerts._changes import ModelChanged
from deepthrift_pricing.alerts._monitor import DEFAULT_RULES, AlertMonitor
from deepthrift_pricing.alerts._rules import Anomaly, Forecast, NoBalance, Rule, Threshold, exhaustion
from deepthrift_pricing.alerts._sinks import (
    AppriseSink,
    CallbackSink,
    LoggingSink,
    Sink,
    WebhookSink,
    verify_signature,
)

__all__ = [
    "Alert",
    "AlertMonitor",
    "Anomaly",
    "AppriseSink",
    "CallbackSink",
    "DEFAULT_RULES",
    "Forecast",
    "Kind",
    "LoggingSink",
    "ModelChanged",
    "NoBalance",
    "Rule",
    "Severity",
    "Sink",
    "Threshold",
    "WebhookSink",
    "exhaustion",
    "verify_signature",
]
