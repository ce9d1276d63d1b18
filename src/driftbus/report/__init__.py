"""The report of a replay: one file that shows what would have been said and asked, when and why.

record = Record("production.yaml", truth)
replay(…, watch=record.step)
document = report(record, About(…), truth, beside=None)
"""

from driftbus.report.comparison import differences
from driftbus.report.page import About, Beside, report
from driftbus.report.record import Record
from driftbus.report.truth import Truth, read_truth

__all__ = ["About", "Beside", "Record", "Truth", "differences", "read_truth", "report"]
