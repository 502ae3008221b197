"""What must survive, as data: one entry a requirement card, in a sentence of ours.

A test carries `@pytest.mark.requirement("E01")`. Each id is carried by a test or names what it waits for, never both;
`test_requirements.py` holds that. Remove `waits_for` in the change that brings the test.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

LOOPBACK = "the loopback exchange"
MCP = "the MCP server"
DASHBOARD = "the dashboard"


@dataclass(frozen=True, slots=True)
class Requirement:
    """A card: what must hold, and what its test is still waiting for, if anything."""

    text: str
    waits_for: str | None = None


REQUIREMENTS: dict[str, Requirement] = {
    # Execution
    "E01": Requirement("An order whose answer was lost is found by its client id and not sent again."),
    "E02": Requirement("An order that never arrived counts as rejected after the grace period."),
    "E03": Requirement("After a venue's own timeout, an order that appears 90 s later is adopted."),
    "E04": Requirement("A fill on the stream settles an order whose REST answer was an unknown error."),
    "E05": Requirement("Killed at any point of an order's life, the desk restarts to the same position."),
    "E06": Requirement("No entry leaves while the journal cannot be written; a fill is kept and entries stop."),
    "E07": Requirement("The same decision delivered twice gives the same client id and the same answer."),
    "E08": Requirement("A venue that knows the client id of a resend already has the order."),
    "E09": Requirement("A blind resend after a fill doubles the position, and the oracle notices."),
    # Partial and late
    "P01": Requirement("The stop of an entry cancelled half way covers exactly what was filled."),
    "P02": Requirement("A fill that arrives after the cancellation still counts."),
    "P04": Requirement("Fills told twice, out of order or not at all end in the right position."),
    # Stops
    "S01": Requirement("A position whose stop would trigger at once is closed before its deadline."),
    "S02": Requirement("A stop whose answer was lost is looked up, and no second one is placed."),
    "S03": Requirement("A stop that someone else cancelled is put back."),
    "S04": Requirement("A stop that fills in parts closes the position once."),
    "S06": Requirement("At the venue's limit of stops, the position counts as unprotected."),
    "S07": Requirement("A trailing move that fails half way leaves the position under a stop or closed."),
    # Halt and flatten
    "K01": Requirement("Flatten ends without position or order, and the stop goes last."),
    "K02": Requirement("While the venue is unreachable, flatten leaves the stop in place."),
    "K04": Requirement("Halt cancels entries and leaves stops."),
    "K05": Requirement("No way an agent can find weakens a stop."),
    # Outside events
    "X01": Requirement("A position that its owner closed elsewhere is closed here, too."),
    "X02": Requirement("A liquidation is booked and explained."),
    "X04": Requirement("A foreign order on one of our symbols is seen and not touched."),
    "X05": Requirement("Funding is booked at whichever interval the symbol has."),
    "X06": Requirement("Margin that is moved away lowers what may be risked."),
    # Restart
    "R01": Requirement("A position older than the venue's history is taken over whole."),
    "R02": Requirement("A position that the venue no longer has is closed in the books."),
    "R03": Requirement("A position query that fails does not mean flat."),
    "R05": Requirement("A position that changed sides while the engine was down is taken as it is."),
    "R06": Requirement("A stop without a position is taken off."),
    "R07": Requirement("An empty book on an account with a position adopts it before it trades."),
    # Data
    "D01": Requirement("A stream that is connected and silent is noticed within two intervals."),
    "D02": Requirement("After a day offline, each missing candle is fetched once."),
    "D03": Requirement("Late, disordered, repeated or unclosed candles decide nothing."),
    "D04": Requirement("One mute stream among several is noticed."),
    "D05": Requirement("A clock that jumps does not make orders late or stops early."),
    "D06": Requirement("A filter that changes while running is used from then on."),
    "D07": Requirement("Prices that are no number, zero or absurd are refused."),
    # Limits
    "L01": Requirement("Told to slow down, the engine waits as long as it was told."),
    "L02": Requirement("During a ban the stops at the venue go on protecting."),
    "L03": Requirement("The dashboard draws on the same request budget as the desk.", DASHBOARD),
    # Modes
    "M01": Requirement("An account in hedge mode refuses to start."),
    "M02": Requirement("An account in multi-asset mode refuses to start."),
    "M03": Requirement("A play-money key on the live host refuses to start."),
    "M04": Requirement("Paper mode signs nothing."),
    "M05": Requirement("An account that may only reduce puts the desk into REDUCING."),
    # Agent
    "A01": Requirement("An answer that is late, malformed or out of bounds is refused, and the rules act."),
    "A02": Requirement("Orders hidden in news, labels or notes change nothing."),
    "A03": Requirement("Stops are cared for on every tick, whether the gate wakes or not."),
    "A04": Requirement("A change of direction takes off the old stop and target before the new entry."),
    "A05": Requirement("With the budget spent the rules trade, and it says so."),
    "A06": Requirement("The same snapshot again is answered from memory."),
    # Soak
    "V01": Requirement("Seven simulated days of seeded faults break none of the four oracles."),
}


def marker_problems(test: str, marks: Iterable[pytest.Mark]) -> list[str]:
    """What is wrong with the requirement marks of a test, one sentence each."""
    problems = []
    for mark in marks:
        if not mark.args or mark.kwargs:
            problems.append(f'{test}: a requirement mark names ids and nothing else, such as requirement("E01")')
        problems += [
            f"{test}: requirement {name!r} is unknown; expected an id of tests/requirements.py; correct it"
            for name in mark.args
            if name not in REQUIREMENTS
        ]
    return problems
