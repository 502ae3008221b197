"""Errors, one small tree.

    OcwError                    an error that the user can correct; its text is one sentence; no action is half done
    ├── SettingsError           a setting or policy is invalid: the engine does not start
    ├── TapeError               a market file is invalid: the run stops at that point
    ├── FetchError              the public archive cannot be read: fetched files stay, and the command can be repeated
    ├── BookError               a state directory cannot be used: the engine does not start
    │   └── BookBusy            another engine uses the state directory
    ├── JournalError            the journal cannot be written or is inconsistent: no entry is sent
    │   └── JournalDiverged     a resumed run differs from its journal: the engine stops
    ├── AttachError             a client cannot attach to an engine: the caller gets the reason
    ├── StrategyError           a strategy is not callable, or returned no valid decision: no order follows
    ├── CannotDecideError       a decider cannot answer a wake: the rules decide, or everything is held
    └── RequestError            a request names an unknown object (in `requests.py`, with its codes): no action follows
    InvariantError              a programming error against a rule of the project: never caught

An expected refusal of an order is not an error. It is a `Refusal`, a value that is returned to the caller.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocw_mcp.domain.causes import Cause


class OcwError(Exception):
    """An error that the user can correct. Its text is one sentence: what was wrong, what was expected, what to do."""


class SettingsError(OcwError):
    """A setting or a policy file is invalid. The engine does not start, and the text lists every problem."""


class TapeError(OcwError):
    """A market file is missing, of another format, or has impossible values. The engine stops after journaling."""


class FetchError(OcwError):
    """A file of the public archive cannot be downloaded or stored. No incomplete file keeps the final name."""


class BookError(OcwError):
    """A state directory is not one of OCW, is read-only, or belongs to another market. The engine does not start."""


class BookBusy(BookError):  # noqa: N818
    """Another engine uses this state directory. The second engine does not start."""


class JournalError(OcwError):
    """The journal cannot be written, or its digest chain is broken.

    Recorded events stay in memory, and the write is retried for some time. No entry is sent meanwhile.
    """


class JournalDiverged(JournalError):  # noqa: N818
    """After a restart the engine did not repeat the events of the journal. It stops and changes nothing."""


class AttachError(OcwError):
    """No served engine answers, and none could be started. The text gives the reason, and `code` classifies it."""

    def __init__(self, text: str, code: str = "NO_ENGINE") -> None:
        self.code = code
        super().__init__(text)


class StrategyError(OcwError):
    """A strategy cannot be found or called, or it returned something that is no decision; nothing is sent for it."""


class CannotDecideError(OcwError):
    """A decider cannot answer a wake; the journal stores the cause."""

    def __init__(self, cause: "Cause") -> None:
        self.cause = cause
        super().__init__(str(cause))


class InvariantError(Exception):
    """Code broke a rule of the project, such as creating a ClearedOrder outside core/risk. It is never caught."""
