"""The store of a book: its journal in SQLite, the state directory around it, and views of both.

sqlite-utils imports numpy and pandas if they are installed. OCW does not need them, and the import would take a third
of the time of `ocw status`, so both are hidden while sqlite-utils is imported.
"""

import sys

_HIDDEN = [name for name in ("numpy", "pandas") if name not in sys.modules]
for _name in _HIDDEN:
    sys.modules[_name] = None  # type: ignore[assignment]  # documented by Python for this purpose
try:
    import sqlite_utils  # noqa: F401 - imported here, before any module of the store does
finally:
    for _name in _HIDDEN:
        del sys.modules[_name]
