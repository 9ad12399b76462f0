"""Invoices and usage exports of providers and clouds."""

from deepthrift_pricing.reports.invoices._invoice import Invoice, invoice_total, read_invoice

__all__ = ["Invoice", "invoice_total", "read_invoice"]
