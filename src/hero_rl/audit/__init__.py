"""Before training: how reliable verifier and reward model are, and which rule helps.

read_table   a rollouts file to numbers, in one pass
audit        numbers to findings
write_audit  findings to report.html, figures and numbers.json
"""

from hero_rl.audit.page import write_audit
from hero_rl.audit.run import Audit, audit
from hero_rl.audit.table import Table, read_table

__all__ = ["Audit", "Table", "audit", "read_table", "write_audit"]
