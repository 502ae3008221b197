"""How a tool gets at the engine: through a function, since tools are listed before there is anything to look at."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ocw_mcp.doors.mcp.results import Meta
from ocw_mcp.doors.mcp.words import when

if TYPE_CHECKING:
    from ocw_mcp.runtime.facade import Facade

Looks = Callable[[], "Facade"]


def meta(facade: "Facade") -> Meta:
    """Of which engine and moment an answer is, taken with the answer between the same two steps."""
    now = facade.moment()
    return Meta(
        mode=now.mode,
        state=now.state,
        as_of=when(now.as_of),
        age_ms=now.age_ms,
        source=now.source,
        stale=now.stale,
        catching_up=now.catching_up,
    )


def headline(told: Meta) -> str:
    """The same at the head of a text."""
    if told.catching_up:
        # Nobody is to take what a killed engine does again for what is: a position may be open that is not seen yet.
        past = f"what is told is the past, as of {told.as_of}" if told.as_of else "nothing of the book is seen yet"
        return f"[{told.mode} {told.state}, STALE: catching up after a restart, {past}; ask again]"
    if told.as_of is None:
        return f"[{told.mode} {told.state}, STALE: the market has not begun, history may still be read]"
    age = "a price missing" if told.age_ms is None else f"prices {told.age_ms / 1000:g}s old"
    return f"[{told.mode} {told.state} as of {told.as_of}, {age}{', STALE' if told.stale else ''}]"
