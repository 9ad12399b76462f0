"""Invoices and usage exports of providers and clouds."""

from deepthrift_pricing.reports.invoices._amounts import DecimalMark
from deepthrift_pricing.reports.invoices._invoice import Invoice, invoice_total, read_invoice

__all__ = ["DecimalMark", "Invoice", "invoice_total", "read_invoice"]
