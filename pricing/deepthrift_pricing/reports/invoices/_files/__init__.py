"""Files of invoices as tables of text."""
