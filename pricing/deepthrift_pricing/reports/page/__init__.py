"""The report as one self-contained page: figures as SVG with their numbers beside them, no script, no request."""

from deepthrift_pricing.reports.page._page import report_page, write_page

__all__ = ["report_page", "write_page"]
