"""Reports: the spend from every side, what other ways would have cost, and the provider's bill beside it."""

from deepthrift_pricing.reports._counterfactual import Counterfactual
from deepthrift_pricing.reports._export import Format, export, read_export
from deepthrift_pricing.reports._reconcile import (
    Balance,
    Reconciliation,
    reconcile,
    reconcile_balances,
)
from deepthrift_pricing.reports._report import CacheReport, EscalationReport, Report
from deepthrift_pricing.reports._rows import COLUMNS
from deepthrift_pricing.reports._statistics import bootstrap_mean
from deepthrift_pricing.reports.invoices import Invoice, invoice_total, read_invoice

__all__ = [
    "Balance",
    "COLUMNS",
    "CacheReport",
    "Counterfactual",
    "EscalationReport",
    "Format",
    "Invoice",
    "Reconciliation",
    "Report",
    "bootstrap_mean",
    "export",
    "invoice_total",
    "read_export",
    "read_invoice",
    "reconcile",
    "reconcile_balances",
]
