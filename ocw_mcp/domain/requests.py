"""The errors of a caller's request."""

from ocw_mcp.domain.errors import OcwError
from ocw_mcp.domain.explained import Explained
from ocw_mcp.domain.time import day_begins


class RequestCode(Explained):
    """Why a request cannot be answered."""

    BAD_ARGUMENTS = "BAD_ARGUMENTS", "an argument is missing, misspelt, of the wrong type, or out of bounds"
    UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL", "this engine does not follow that symbol"
    UNKNOWN_TIMEFRAME = "UNKNOWN_TIMEFRAME", "candles of that length are not built here"
    UNKNOWN_ID = "UNKNOWN_ID", "the book has no wake, order or refusal with that id"
    BAD_DAY = "BAD_DAY", "that is not a day"
    BAD_CURSOR = "BAD_CURSOR", "the cursor is not one that this tool gave"
    UNREADABLE = "UNREADABLE", "the book's store cannot be read now"
    FORBIDDEN = "FORBIDDEN", "the token of this call does not allow it"
    UNKNOWN_PREVIEW = (
        "UNKNOWN_PREVIEW",
        "this caller has no such preview: it was placed, or there are too many newer ones",
    )
    STALE_PREVIEW = "STALE_PREVIEW", "the preview is too old to be placed"
    WARMING_UP = "WARMING_UP", "the engine is reading history, and the market has not begun: there is no current price"
    NOT_DURABLE = "NOT_DURABLE", "it was carried out, but the journal could not be written: a crash now would lose it"
    ENDED = "ENDED", "the run ended before the request was taken, and nothing was done"


class RequestError(OcwError):
    """A caller's request cannot be answered. The text has the limit, the actual value and what to do next."""

    def __init__(self, code: RequestCode, *, limit: str, actual: str, next_: str, what: str = "") -> None:
        self.code = code
        super().__init__(f"{code}: {what or code.meaning}. limit={limit} actual={actual} next: {next_}")


def day_of(text: str) -> int:
    """Return the first ms of the UTC day that a caller named. Raises RequestError."""
    try:
        return day_begins(text)
    except (ValueError, OverflowError):
        raise RequestError(
            RequestCode.BAD_DAY,
            limit="a UTC day such as 2026-03-09",
            actual=repr(text[:20]),
            next_="write the day like that, or leave it out",
        ) from None
