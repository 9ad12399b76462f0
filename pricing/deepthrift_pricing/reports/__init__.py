"""Reports: the spend from every side, what other ways would have cost, and the provider's bill beside it."""

from deepthrift_pricing.reports._counterfactual import Counterfactual
from deepthrift_pricing.reports._export import Format, export, read_export
from deepthrift_pricing.reports._reconcile import (
    Balance,
    Reconciliation,
    invoice_total,
    reconcile,
    reconcile_balances,
)
from deepthrift_pricing.reports._report import CacheReport, EscalationReport, Report
from deepthrift_pricing.reports._rows import COLUMNS
from deepthrift_pricing.reports._statistics import bootstrap_mean

__all__ = [
    "Balance",
    "COLUMNS",
    "CacheReport",
    "Counterfactual",
    "EscalationReport",
    "Format",
    "Reconciliation",
    "Report",
    "bootstrap_mean",
    "export",
    "invoice_total",
    "read_export",
    "reconcile",
    "reconcile_balances",
]
