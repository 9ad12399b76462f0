"""Hosts as data: how each kind of V3.1 endpoint wants to be spoken to."""

from deepthrift.hosts._dialects import Dialect, Switch, switch_for
from deepthrift.hosts._profile import Feature, HostProfile, ModeRules, ReasoningField, Tokenizer, TwoPass

__all__ = [
    "Dialect",
    "Feature",
    "HostProfile",
    "ModeRules",
    "ReasoningField",
    "Switch",
    "Tokenizer",
    "TwoPass",
    "switch_for",
]
