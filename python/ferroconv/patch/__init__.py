"""SciPy's filters, run by ferroconv in code that stays as it is.

`patch_scipy` puts ferroconv's functions where SciPy's are: in scipy.signal and scipy.ndimage, and wherever else a
module holds one of them. ``python -m ferroconv.patch script.py`` does it for a whole script.

Which functions there are, and which of their calls are still SciPy's, `ferroconv.patch._rules` says. SciPy is
imported when it is patched, not before.
"""

from ferroconv.patch._ledger import Report, Row
from ferroconv.patch._patch import Patch, patch_scipy, report, unpatch_scipy

__all__ = ["Patch", "Report", "Row", "patch_scipy", "report", "unpatch_scipy"]
