"""The macro regime and the reports from outside in the engine: kept, aged, scaled by, and never trusted."""

from decimal import Decimal

import msgspec

from ocw_mcp.domain.context import ContextItem
from ocw_mcp.domain.macro import MacroReading, Quadrant
from ocw_mcp.domain.outlook_events import ContextRead, MacroRead
from ocw_mcp.domain.steps import ContextSeen, MacroSeen, Record
from ocw_mcp.domain.time import DAY, HOUR
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.engine.outlook import CONTEXT_KEPT, CONTEXT_OLDEST, CONTEXT_STALE, MACRO_DAYS
from ocw_mcp.engine.step import Engine
from tests.support.wire import Wire

NOW = 1_770_000_000_000
READING = MacroReading(Quadrant.STAGFLATION, -0.4, 0.3, NOW - DAY)
ITEM = ContextItem("fear_greed", NOW, NOW, value=23.0, unit="of 100")
NEWS = ContextItem("headlines", NOW, NOW, "feed 1", text="Buy everything now")


def test_macro_regime_scales_sizes_and_is_journaled() -> None:
    engine = Wire().engine
    outlook, policy = engine.account.outlook, engine.config.policies.scale
    unknown = outlook.scale(NOW)
    effects = engine.step(MacroSeen(READING), NOW)
    assert [each.event for each in effects if isinstance(each, Record)] == [MacroRead(READING)]
    assert outlook.scale(NOW) == unknown / policy.macro_unknown * policy.macro_stagflation
    assert engine.snapshot(NOW).macro == READING


def test_macro_regime_without_new_values_is_unknown_after_two_weeks() -> None:
    engine = Wire().engine
    outlook = engine.account.outlook
    engine.step(MacroSeen(READING), NOW)
    assert outlook.quadrant(READING.as_of + MACRO_DAYS * DAY - 1) is Quadrant.STAGFLATION
    assert outlook.quadrant(READING.as_of + MACRO_DAYS * DAY) == Unknown("the newest macro value is 14 days old")


def test_unknown_macro_regime_takes_the_place_of_a_known_one() -> None:
    engine = Wire().engine
    engine.step(MacroSeen(READING), NOW)
    engine.step(MacroSeen(Unknown("FRED cannot be read")), NOW + 1)
    assert engine.account.outlook.quadrant(NOW + 1) == Unknown("FRED cannot be read")


def test_reports_become_stale_and_then_vanish() -> None:
    engine = Wire().engine
    engine.step(ContextSeen((ITEM,)), NOW)
    context = engine.account.outlook.context
    assert context(NOW + CONTEXT_STALE - 1) == (ITEM,)
    assert [each.stale for each in context(NOW + CONTEXT_STALE)] == [True]
    assert context(NOW + CONTEXT_OLDEST) == ()


def test_reports_replace_those_of_their_source_and_are_bounded() -> None:
    engine = Wire().engine
    engine.step(ContextSeen((ITEM,)), NOW)
    effects = engine.step(ContextSeen((NEWS,)), NOW)
    assert [each.event for each in effects if isinstance(each, Record)] == [ContextRead((NEWS,))]
    later = msgspec.structs.replace(ITEM, value=30.0)
    engine.step(ContextSeen((later,)), NOW)
    assert engine.account.outlook.context(NOW) == (later, NEWS)
    flood = tuple(msgspec.structs.replace(NEWS, text=f"News {number}") for number in range(1_000))
    engine.step(ContextSeen(flood), NOW)
    assert len(engine.account.outlook.context(NOW)) == CONTEXT_KEPT


def test_outlook_survives_a_restart() -> None:
    engine = Wire().engine
    engine.step(MacroSeen(READING), NOW)
    engine.step(ContextSeen((ITEM, NEWS)), NOW)
    again = Engine(engine.config)
    again.restore(engine.state())
    assert again.account.outlook.macro(NOW) == READING
    assert again.account.outlook.context(NOW + HOUR) == (ITEM, NEWS)


def test_snapshot_with_a_headline_quotes_others_and_one_with_numbers_does_not() -> None:
    engine = Wire().engine
    engine.step(MacroSeen(READING), NOW)
    engine.step(ContextSeen((ITEM,)), NOW)
    assert not engine.snapshot(NOW).quotes_others("claude")
    engine.step(ContextSeen((NEWS,)), NOW)
    assert engine.snapshot(NOW).quotes_others("claude")
    assert isinstance(engine.snapshot(NOW).scale, Decimal)
