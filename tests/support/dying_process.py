"""`ocw` in a process that kills itself at one point of an order's life.

`python -m tests.support.dying_process POINT ARGUMENT…` runs `ocw ARGUMENT…`. The points are those of the card E05, and
count only while the file `armed` is in the current directory. SIGKILL ends the process at once: no handler runs, and
nothing is written any more.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

from ocw_mcp.adapters.binance.direct import DirectHttp
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.app.cli import main
from ocw_mcp.domain import events
from ocw_mcp.domain.orders import Purpose

COMMITS = {
    "intent": (events.OrderIntended, Purpose.ENTRY),
    "accepted": (events.OrderAccepted, Purpose.ENTRY),
    "before the stop": (events.OrderIntended, Purpose.STOP),
}
"""By point: the event of which the commit is the last thing that the process does."""
SENT = {"sent": "-e-", "stop sent": "-s-"}
"""By point: the part of the client id whose order reaches the exchange as the last thing that the process does."""
FILLED = "filled"
"""The point at which a fill has arrived and is booked, but not committed."""
POINTS = ("intent", "sent", "accepted", FILLED, "before the stop", "stop sent")
"""All points, in the order in which an entry passes them."""
ARMED: Final = Path("armed")


def die() -> None:
    """End this process at once."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_after_commit(kind: type, leg: Purpose, *, before: bool = False) -> None:
    """Die when an event of a kind and leg has been committed, or before its commit."""
    append, commit, seen = SqliteStore.append, SqliteStore.commit, list[object]()

    def noted(store: SqliteStore, at: int, event: Any) -> int:
        if isinstance(event, kind) and event.ref.leg is leg and ARMED.exists():  # type: ignore[attr-defined]
            seen.append(event)
            if before:
                die()
        return append(store, at, event)

    def committed(store: SqliteStore, *arguments: Any) -> None:
        commit(store, *arguments)
        if seen:
            die()

    SqliteStore.append, SqliteStore.commit = noted, committed  # type: ignore[method-assign, assignment]


def die_after_sending(part: str) -> None:
    """Die when the exchange has taken an order whose client id has a part, before its answer is read."""
    request = DirectHttp.request

    async def sent(http: DirectHttp, method: str, path: str, query: str, form: str, headers: Any) -> Any:
        answer = await request(http, method, path, query, form, headers)
        if method == "POST" and part in query + form and ARMED.exists():
            die()
        return answer

    DirectHttp.request = sent  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    point = sys.argv.pop(1)
    if point in COMMITS:
        die_after_commit(*COMMITS[point])
    elif point == FILLED:
        die_after_commit(events.OrderFilled, Purpose.ENTRY, before=True)
    elif point in SENT:
        die_after_sending(SENT[point])
    elif point != "none":
        sys.exit(f"the point is {point!r}; expected one of {', '.join(POINTS)}, or none")
    main()
