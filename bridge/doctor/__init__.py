"""``bridge doctor``: everything that can be wrong, and what to do for each.

``findings`` has what a check says, ``checks`` the checks themselves, ``examination`` runs them.
"""

from bridge.doctor.examination import examine
from bridge.doctor.findings import Finding

__all__ = ["Finding", "examine"]
