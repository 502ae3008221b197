"""Legs as they were carried out, as the answer of a tool says it."""

from decimal import Decimal

import pytest

from ocw_mcp.domain.asks import Taken
from ocw_mcp.render.event_text import taken_text

D = Decimal
TEXTS = {
    "0.83 = 10.8% of equity, counted at 2385.2, risk 0.31% of equity, stop 2320, target 2500, leverage 3": Taken(
        D("0.83"), D("0.108"), D("2385.2"), D("0.0031"), D(2320), D(2500), leverage=3
    ),
    "7 = 9% of equity, counted at 127.49 (asked 127.4922), risk 0.2% of equity, stop 124.92 (asked 124.916)": Taken(
        D(7),
        D("0.09"),
        D("127.49"),
        D("0.002"),
        D("124.92"),
        replaced=(("stop", D("124.916")), ("limit", D("127.4922"))),
    ),
    "0.4 = 49.28% of the position, mark 2385": Taken(D("0.4"), D("0.4928"), D(2385)),
    "0.83 = the whole position, mark 2385, a note": Taken(D("0.83"), D(1), D(2385), changed=("a note",)),
    "0.83 at 2300, the entry is cancelled": Taken(D("0.83"), price=D(2300), changed=("the entry is cancelled",)),
    "stop 2330 (was 2320), trail 2% (was none)": Taken(
        stop=D(2330), trail=D("0.02"), replaced=(("stop", D(2320)), ("trail", None))
    ),
    "stop 2330, target 2500 (was 2450)": Taken(stop=D(2330), target=D(2500), replaced=(("target", D(2450)),)),
}


@pytest.mark.parametrize("text", TEXTS)
def test_carried_out_leg_is_described_with_its_units(text: str) -> None:
    assert taken_text(TEXTS[text]) == text
