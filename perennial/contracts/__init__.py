"""What stages hand to one another: frozen records, and the names of the columns every table shares.

Foreign column names are mapped to these once, in :mod:`perennial.sources`; nothing behind that border
knows what a user calls a product or a day.
"""

from perennial.contracts.data import (
    AVAILABLE_AT,
    ENTITY,
    TARGET,
    TIME,
    Check,
    CheckReport,
    Landing,
    Read,
    RowCounts,
    Severity,
    Snapshot,
    StoredFile,
    TablePin,
)
from perennial.contracts.evaluation import (
    Chart,
    Decision,
    Evaluation,
    Prepared,
    Score,
    Split,
    TestRows,
    Verdict,
    Window,
)
from perennial.contracts.models import (
    Candidate,
    Incumbent,
    ModelBlob,
    ModelVersion,
    Publication,
    Role,
    RoleChange,
    Rung,
    RunRecord,
    Training,
)
from perennial.contracts.plain import to_json, without_nan

__all__ = [
    "AVAILABLE_AT",
    "ENTITY",
    "TARGET",
    "TIME",
    "Candidate",
    "Chart",
    "Check",
    "CheckReport",
    "Decision",
    "Evaluation",
    "Incumbent",
    "Landing",
    "ModelBlob",
    "ModelVersion",
    "Prepared",
    "Publication",
    "Read",
    "Role",
    "RoleChange",
    "RowCounts",
    "RunRecord",
    "Rung",
    "Score",
    "Severity",
    "Snapshot",
    "Split",
    "StoredFile",
    "TablePin",
    "TestRows",
    "Training",
    "Verdict",
    "Window",
    "to_json",
    "without_nan",
]
