from .page import ReportFacts, write_report

__all__ = [
    "ReportFacts",
    "write_report",
]
