"""Hosts as data: how each kind of V3.1 endpoint wants to be spoken to."""

from deepthrift.hosts._answers import AnswerForm
from deepthrift.hosts._dialects import Dialect, Switch, switch_for
from deepthrift.hosts._efforts import Efforts
from deepthrift.hosts._profile import (
    BatchRules,
    CachedTokens,
    Completions,
    Feature,
    HostProfile,
    ModeRules,
    PrefixForm,
    ReasoningField,
    Tokenizer,
    TwoPass,
    Unverified,
)
from deepthrift.hosts._service import ServerTool, ServiceTier

__all__ = [
    "AnswerForm",
    "BatchRules",
    "CachedTokens",
    "Completions",
    "Dialect",
    "Efforts",
    "Feature",
    "HostProfile",
    "ModeRules",
    "PrefixForm",
    "ReasoningField",
    "ServerTool",
    "ServiceTier",
    "Switch",
    "Tokenizer",
    "TwoPass",
    "Unverified",
    "switch_for",
]
