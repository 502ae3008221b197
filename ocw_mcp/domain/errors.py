"""The tree of errors. The docstring of each class gives its meaning.

    OcwError
    ├── SettingsError
    ├── TapeError
    ├── FetchError
    ├── SourceUnavailable
    ├── FeedError
    │   └── MarketUnreachable
    ├── VenueRefused
    ├── BookError
    │   └── BookBusy
    ├── JournalError
    │   └── JournalDiverged
    ├── AttachError
    ├── StrategyError
    ├── CannotDecideError
    └── RequestError            (in `requests.py`, with its codes)
    InvariantError

An expected refusal of an order is no error, but a `Refusal`: a value that is returned to the caller.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocw_mcp.domain.causes import Cause


class OcwError(Exception):
    """An error that the user can correct. Its text says what was wrong, what was expected, and what to do."""


class SettingsError(OcwError):
    """A setting or a policy file is invalid. The engine does not start, and the text lists every problem."""


class TapeError(OcwError):
    """A market file is missing, or has another format or invalid values. The engine journals the error and stops."""


class FetchError(OcwError):
    """A file of the exchange's archive cannot be downloaded or stored. An incomplete file never gets its final name."""


class SourceUnavailable(OcwError):  # noqa: N818
    """A source outside of the exchange has no report now. Its last report is shown as stale; nothing waits for it."""


class FeedError(OcwError):
    """A live market cannot be used as it was requested, such as a symbol that it does not list."""


class MarketUnreachable(FeedError):  # noqa: N818
    """A live market does not answer. A new book is not created; an existing book waits and tries again."""

    def __init__(self, text: str = "", until_ms: int | None = None) -> None:
        """`until_ms` is the time (ms) until which the exchange takes no requests, if it named one."""
        self.until_ms = until_ms
        super().__init__(text)


class VenueRefused(OcwError):  # noqa: N818
    """The venue's account cannot be traded with: its key, permissions or settings forbid it. The text names the way."""


class BookError(OcwError):
    """A state directory is read-only, not created by OCW, or belongs to another market. The engine does not start."""


class BookBusy(BookError):  # noqa: N818
    """Another engine uses this state directory. The second engine does not start."""


class JournalError(OcwError):
    """The journal cannot be written, or its digest chain is broken. Meanwhile only reduction orders are sent."""


class JournalDiverged(JournalError):  # noqa: N818
    """A restarted engine repeated its steps with other events than the journal has. The engine stops."""


class AttachError(OcwError):
    """No running engine answers, and none could be started. The text gives the reason, and `code` classifies it."""

    def __init__(self, text: str, code: str = "NO_ENGINE") -> None:
        self.code = code
        super().__init__(text)


class StrategyError(OcwError):
    """A strategy cannot be found or called, or it returned no valid decision. No order follows."""


class CannotDecideError(OcwError):
    """A decider cannot answer a wake. The rules decide in its place, or the wake counts as HOLD, with `cause`."""

    def __init__(self, cause: "Cause") -> None:
        self.cause = cause
        super().__init__(str(cause))


class InvariantError(Exception):
    """Code broke a rule of the project, such as creating a ClearedOrder outside core/risk; it is never caught."""
