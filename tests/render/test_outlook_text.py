"""The regime, an anomaly and the events about them as text."""

import pytest
from msgspec.structs import replace

from ocw_mcp.domain.anomaly import AnomalyReading
from ocw_mcp.domain.context import ContextItem
from ocw_mcp.domain.event_types import JournalEvent
from ocw_mcp.domain.macro import MacroReading, Quadrant
from ocw_mcp.domain.outlook_events import ContextRead, MacroRead, ModelFitted, RegimeChanged
from ocw_mcp.domain.regime import Level, RegimeReading
from ocw_mcp.domain.snapshot import DerivativesView, SymbolWake, WakeKind, WakeReason
from ocw_mcp.domain.time import DAY, HOUR
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.render.event_text import event_text
from ocw_mcp.render.snapshot_text import compact
from tests.support.markets import START
from tests.support.regimes import FIT
from tests.support.views import snapshot, view

READING = RegimeReading(
    START, Level.TURBULENT, 0.973, 2, (0.0, 0.027, 0.973), 11.6, START - 3 * DAY, 0.624, START - DAY
)


def test_known_regime_has_one_line_and_an_unknown_one_none() -> None:
    shown = compact(replace(snapshot(view()), regime=READING))
    assert (
        "\nregime turbulent (97 %) since 2025-12-29, expected 12 days more; volatility of 14 days 62 % a year\n"
    ) in shown
    assert "days more" not in compact(snapshot(view()))


@pytest.mark.parametrize(("quantile", "shown"), [(0.985, True), (0.85, False)])
def test_unusual_hour_is_shown_with_its_drivers(quantile: float, shown: bool) -> None:
    anomaly = AnomalyReading(START, 6.1, quantile, (("volume", 0.7), ("return", 0.35), ("range", -0.05)))
    line = (
        f"anomaly: the last hour is more unusual than {100 * quantile:.1f} % of those before (volume 70 %, return 35 %)"
    )
    assert (line in compact(snapshot(view(anomaly=anomaly)))) is shown
    waking, other = view(), view(symbol="ETHUSDT", anomaly=anomaly, derivatives=DerivativesView(extremes=("basis",)))
    seen = replace(snapshot(waking, other), wake=(SymbolWake("BTCUSDT", (WakeReason(WakeKind.CLOSE, "1h"),)),))
    (short,) = [each for each in compact(seen, briefed=True).splitlines() if each.startswith("ETHUSDT ")]
    assert (line in short) is shown
    assert "EXTREME: basis" in short


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (ModelFitted("BTCUSDT", START, FIT), "a model of 2 states from 400 days fitted at 2026-01-01"),
        (ModelFitted("BTCUSDT", START, Unknown("no"), True), "the fit failed at 2026-01-01 00:00:00: no"),
        (ModelFitted("BTCUSDT", START, Unknown("flat")), "the days give no model at 2026-01-01 00:00:00: flat"),
        (RegimeChanged("BTCUSDT", None, Level.CALM), "regime of BTCUSDT: unknown -> calm"),
        (RegimeChanged("BTCUSDT", Level.CALM, None, "old"), "regime of BTCUSDT: calm -> unknown: old"),
        (MacroRead(MacroReading(Quadrant.REFLATION, 0.5, 1.25, START)), "macro regime reflation: growth +0.50"),
        (MacroRead(Unknown("no key")), "macro regime unknown: no key"),
        (ContextRead((ContextItem("fear_greed", START, START - HOUR, value=21.0),)), "1 report(s) from fear_greed"),
    ],
)
def test_event_about_the_market_as_a_whole_is_one_line(event: JournalEvent, text: str) -> None:
    assert text in event_text("book", event)
