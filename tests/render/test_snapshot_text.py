"""The snapshot as text: a block a symbol, in the names and units of conditions, and what each position needs."""

import json
import re
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ocw_mcp.app.bench.snapshot import SYMBOLS, measure
from ocw_mcp.domain.macro import MacroReading, Quadrant
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.metrics import INDICATORS
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.snapshot import (
    Correlation,
    DerivativesView,
    Feasible,
    FormingCandle,
    FormingView,
    IndicatorValues,
    PositionView,
    Remark,
    SizeStep,
    Snapshot,
    SymbolView,
    SymbolViews,
    SymbolWake,
    TradeView,
)
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.time import HOUR, MINUTE
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.render.quotations import LONGEST_REMARK, untrusted
from ocw_mcp.render.readings_text import BRIEFED
from ocw_mcp.render.snapshot_text import compact, standing
from tests.support.wakes import reason, wake

D = Decimal
NOON = 1_772_366_400_000
"""2026-03-01T12:00Z."""
NUMBERS = {name: 40.0 + place for place, name in enumerate(INDICATORS[1:])}
HOURLY = IndicatorValues("1h", 300, close=200.0, closed_at=NOON, **NUMBERS)
TOO_YOUNG: dict[str, Any] = dict.fromkeys(NUMBERS, Unknown("needs 50 candles, has 3"))
YOUNG = IndicatorValues("4h", 3, Unknown("no close"), **TOO_YOUNG)
HELD = PositionView(
    "BTCUSDT", D("-0.5"), D("190.123456789"), D(200), D("-4.94"), NOON - HOUR, D(210), 0.031, -0.0123, 3, D("251.7")
)


def view(symbol: str, **changes: Any) -> SymbolView:
    plain = SymbolView(symbol, 0.000012345678, 1_500, (HOURLY, YOUNG), None)
    return msgspec.structs.replace(plain, return_1h=0.0123, return_4h=-0.02, return_24h=Unknown("no day"), **changes)


def snapshot(*views: SymbolView, **changes: Any) -> Snapshot:
    plain = Snapshot(
        at=NOON,
        product=Product.UM,
        state=TradingState.ACTIVE,
        equity=D("9987.654321"),
        symbols=SymbolViews.of(views),
        wake=(wake("BTCUSDT", "close:1h", "outlier:15m z=+3.02"), wake(None, "timer")),
        regime=Unknown("no model"),
        macro=MacroReading(Quadrant.GOLDILOCKS, 0.4, -0.2, NOON),
        scale=D("0.54"),
        trades=(TradeView("ETHUSDT", "short", NOON - 5 * HOUR, NOON - 2 * HOUR, D("12.3456")),),
        note=Remark("first\nsecond", "claude", NOON - HOUR),
        limits=(("stop", "within 5%"),),
    )
    return msgspec.structs.replace(plain, **changes)


def line(text: str, beginning: str) -> str:
    (found,) = [each for each in text.splitlines() if each.startswith(beginning)]
    return found


def block(text: str, symbol: str) -> list[str]:
    """Return the lines of a symbol's block."""
    (found,) = [each for each in text.split("\n\n") if each.startswith(f"{symbol} price ")]
    return found.splitlines()


def test_snapshot_text_has_a_block_per_symbol_with_every_indicator() -> None:
    text = compact(snapshot(view("BTCUSDT"), view("ETHUSDT")))
    for symbol in ("BTCUSDT", "ETHUSDT"):
        lines = block(text, symbol)
        table = lines[lines.index("metric @1h(12:00)") + 1 :]
        assert [each.split(" ")[0] for each in table] == list(INDICATORS)
        assert all(each.split(" ")[1] != "?" for each in table)


def test_metrics_are_shown_as_conditions_read_them() -> None:
    seen = view("BTCUSDT", last=200.0, derivatives=DerivativesView(0.25, 0.000103))
    text = compact(snapshot(seen))
    (first, *_, _) = block(text, "BTCUSDT")
    assert first.startswith("BTCUSDT price 200 (1s old), return_1h +0.0123 return_4h -0.02 return_24h ?")
    for name in INDICATORS:
        assert float(line(text, f"{name} ").split(" ")[1]) == pytest.approx(seen.reading(f"{name}@1h"), rel=5e-3)
    assert "composite 0.25, funding_8h 0.000103 (longs pay 0.0103 %), open_int" in text


def test_snapshot_text_lists_unknown_values_by_reason() -> None:
    text = compact(snapshot(view("BTCUSDT"), view("ETHUSDT")))
    assert line(text, "? not computed") == "? not computed: max_size of BTCUSDT ETHUSDT"
    assert line(text, "? no day") == "? no day: return_24h of BTCUSDT ETHUSDT"
    assert line(text, "? no close") == "? no close: @4h of BTCUSDT ETHUSDT"
    young = msgspec.structs.replace(HOURLY, rsi_14=Unknown("too young"), macd=Unknown("too young"))
    text = compact(snapshot(view("BTCUSDT", indicators=(young,))))
    assert line(text, "rsi_14 ") == "rsi_14 ?"
    assert line(text, "? too young") == "? too young: rsi_14@1h macd@1h of BTCUSDT"


def test_a_forming_candle_has_its_own_indicators_beside_the_closed_one() -> None:
    formed = msgspec.structs.replace(HOURLY, rsi_14=61.7, closed_at=None)
    candle = FormingCandle(NOON - HOUR, 199.0, 201.5, 198.25, 200.0, 1234.56789, formed)
    forming = (FormingView("1h", candle), FormingView("4h", Unknown("nothing of it yet")))
    text = compact(snapshot(view("BTCUSDT", forming=forming)), briefed=True)
    assert "1h* since 11:00: high 201.5 low 198.25 volume 1235 open 199" in text.splitlines()
    assert line(text, "metric ") == "metric @1h(12:00) @1h*"
    assert line(text, "rsi_14 ") == f"rsi_14 {NUMBERS['rsi_14']:g} 61.7"
    assert line(text, "? nothing") == "? nothing of it yet: 4h* of BTCUSDT"


def test_a_forming_candle_shows_an_open_that_is_not_the_close_before() -> None:
    for opened, end in ((200.0, "volume 7"), (200.09, "volume 7"), (200.2, "volume 7 open 200.2")):
        candle = FormingCandle(NOON, opened, 203.0, 198.0, 201.0, 7.0, HOURLY)
        text = compact(snapshot(view("BTCUSDT", forming=(FormingView("1h", candle),))))
        assert line(text, "1h* since") == f"1h* since 12:00: high 203 low 198 {end}"


def test_a_row_of_a_candle_whose_successor_is_overdue_is_stale() -> None:
    for late, head in ((59 * MINUTE, "metric @1h(11:01)"), (HOUR + MINUTE, "metric @1h(10:59 STALE)")):
        old = msgspec.structs.replace(HOURLY, closed_at=NOON - late)
        assert head in compact(snapshot(view("BTCUSDT", indicators=(old,)))).splitlines()


def test_of_a_young_market_only_known_rows_are_shown() -> None:
    values = {name: 50.0 if name in ("vwap_deviation", "rsi_7") else Unknown(f"{name} needs more") for name in NUMBERS}
    young: dict[str, Any] = values
    text = compact(snapshot(view("BTCUSDT", indicators=(IndicatorValues("1h", 8, 200.0, closed_at=NOON, **young),))))
    table = [each for each in block(text, "BTCUSDT") if each.split(" ")[0] in INDICATORS]
    assert table == ["close 200", "rsi_7 50", "vwap_deviation 50"]
    assert "metric @1h(12:00 8 candles)" in text.splitlines()
    assert line(text, "? too few").startswith("? too few candles yet: ema_9 ema_21 ema_50 rsi_14 ")


def test_recent_closes_and_the_range_of_the_day_are_shown() -> None:
    text = compact(snapshot(view("BTCUSDT", recent=(198.0, 199.5, 200.0), day_low=190.5, day_high=201.25)))
    assert "1h closes to 12:00: 198 199.5 200" in text.splitlines()
    assert "day low 190.5 high 201.25" in text


def test_loss_of_the_day_is_shown_from_half_of_its_limit() -> None:
    limits = (("daily_loss.max_share", "0.03"),)
    small, large = (compact(snapshot(daily_loss=D(loss), limits=limits)) for loss in ("0.0149", "0.015"))
    assert "daily_loss 1.49 %" not in small
    assert "daily_loss 1.50 %, from 3.00 % no entries until the next UTC day" in large


def test_snapshot_text_groups_limits_by_policy_table() -> None:
    limits = (("order.max_notional", "5000"), ("order.price_allowance", "0.002"), ("risk.max_share", "0.01"))
    assert standing(limits).endswith("\nlimits: order: max_notional 5000, price_allowance 0.002; risk: max_share 0.01")


def test_briefed_text_omits_legend_limits_and_unused_indicators() -> None:
    whole = snapshot(view("BTCUSDT"))
    briefed, shown = compact(whole, briefed=True).splitlines(), compact(whole).splitlines()
    left_out = [each.split(" ")[0] for each in shown if each not in briefed]
    assert left_out == ["Prices", "limits:", *(each for each in INDICATORS if each not in BRIEFED)]
    assert set(briefed) < set(shown)


def test_a_symbol_without_event_or_position_has_one_line() -> None:
    sizes = Feasible(D(1), D(1), D(1), (STEP,), (STEP,))
    text = compact(snapshot(view("BTCUSDT"), view("ETHUSDT", last=200.0, sizes=sizes)), briefed=True)
    assert len([each for each in text.splitlines() if "ETHUSDT" in each and "? " not in each[:2]]) == 2
    assert line(text, "ETHUSDT price") == (
        "ETHUSDT price 200 (1s old), return_1h +0.0123 return_4h -0.02 return_24h ?, rsi_14@1h "
        f"{NUMBERS['rsi_14']:g} adx_14@1h {NUMBERS['adx_14']:g}, max_size 13.49 % to a stop 3.3 % away"
    )
    assert len(block(text, "BTCUSDT")) > 10


def test_without_any_event_some_symbols_have_blocks() -> None:
    views = [view(f"S{place}USDT") for place in range(5)]
    text = compact(snapshot(*views, wake=(wake(None, "timer"),)), briefed=True)
    assert len([each for each in text.splitlines() if each.startswith("metric ")]) == 3
    assert all(each.symbol in text for each in views)


STEP = SizeStep(D("0.033"), D("0.13498"), D(2), RefusalCode.POSITION_SHARE, "position.max_share", D("0.54"))


def test_max_size_names_the_distance_and_the_limit_that_binds() -> None:
    far = SizeStep(D("0.05"), D("0.091"), D(1), RefusalCode.RISK_PER_TRADE, "risk.max_share", D("0.54"))
    none = SizeStep(D("0.05"), D(0), D(0), RefusalCode.REENTRY, "pace.reentry_s", why="900s after the last, now 60s")
    flat = view("BTCUSDT", sizes=Feasible(D(1), D(0), D(1), (STEP, far), (none,)))
    assert line(compact(snapshot(flat)), "max_size") == (
        "max_size long 13.49 % to a stop 3.3 % away (position.max_share ×0.54), "
        "9.1 % at 5 % (risk.max_share ×0.54); "
        "short 0 (pace.reentry_s: 900s after the last, now 60s)"
    )
    held = view("BTCUSDT", position=HELD, sizes=Feasible(D(0), D(1), D(1), (), (STEP,), D("0.02")))
    assert line(compact(snapshot(held)), "max_size") == (
        "max_size ADD 13.49 % to a stop 3.3 % away (position.max_share ×0.54); smallest 2.00 %"
    )


def test_sides_that_hardly_differ_are_shown_with_what_both_let_pass() -> None:
    short = msgspec.structs.replace(STEP, size=D("0.1345"), distance=D("0.0329"))
    text = compact(snapshot(view("BTCUSDT", sizes=Feasible(D(1), D(1), D(1), (STEP,), (short,)))))
    assert line(text, "max_size") == "max_size long and short 13.45 % to a stop 3.29 % away (position.max_share ×0.54)"
    apart = msgspec.structs.replace(STEP, size=D("0.12"))
    text = compact(snapshot(view("BTCUSDT", sizes=Feasible(D(1), D(1), D(1), (STEP,), (apart,)))))
    assert "long 13.49 %" in text
    assert "; short 12 %" in text


def test_the_scale_of_limits_is_explained_by_its_factors() -> None:
    limits = (("scale.regime_unknown", "0.6"), ("scale.macro_goldilocks", "0.9"))
    assert "size limits ×0.54 (regime unknown ×0.6, macro goldilocks ×0.9)" in compact(snapshot(limits=limits))


def test_position_lines_have_size_gain_and_protection() -> None:
    held = msgspec.structs.replace(HELD, target=D(160), trail=D("0.02"), best_now=0.031)
    lines = block(compact(snapshot(view("BTCUSDT", position=held))), "BTCUSDT")
    assert lines[1:4] == [
        "short 0.5 = 1.00 % of equity, average 190.1235, held 1h 0m, leverage 3, liquidation 251.7",
        "gain -5.20 % (-4.94), best +3.10 %, worst -1.23 %",
        "stop 210, 5.00 % away, risk 0.05 % of equity, result there -9.94; target 160, 20.00 % away; "
        "trailing 2.00 % behind the best price",
    ]
    bare = block(compact(snapshot(view("BTCUSDT", position=msgspec.structs.replace(HELD, stop=None)))), "BTCUSDT")
    assert bare[3] == "NO STOP, no target"


def test_snapshot_text_shows_trades_note_and_equity() -> None:
    text = compact(snapshot(view("BTCUSDT")))
    assert "2026-03-01T12:00 um state ACTIVE equity 9987.65; size limits" in text
    assert "closed trades: ETHUSDT short +12.35, held 3h 0m, 2h 0m ago" in text
    assert "note of an earlier wake, 1h 0m ago, untrusted_text by claude, 2026-03-01T" in text
    assert "note of an earlier wake, 1h 0m ago: first second\n" in compact(snapshot(view("BTCUSDT")), reader="claude")


def test_a_briefed_reader_is_shown_the_trades_of_the_last_day() -> None:
    old = TradeView("SOLUSDT", "long", NOON - 40 * HOUR, NOON - 24 * HOUR, D(5))
    new = [TradeView("ETHUSDT", "short", NOON - 5 * HOUR, NOON - 2 * HOUR, D(pnl)) for pnl in range(1, 5)]
    seen = snapshot(view("BTCUSDT"), trades=(old, *new))
    assert line(compact(seen, briefed=True), "closed trades").count("ETHUSDT") == 3
    assert "SOLUSDT" not in compact(seen, briefed=True)
    assert "SOLUSDT long +5.00" in compact(seen)


def test_text_of_another_client_is_said_to_lower_the_limits() -> None:
    seen = snapshot(view("BTCUSDT"))
    warned = "your entries have stricter limits than max_size"
    assert warned in compact(seen, reader="mcp:desk", briefed=True)
    assert warned not in compact(seen, reader="claude", briefed=True)


def test_derivatives_are_shown_only_if_one_is_known() -> None:
    known = DerivativesView(0.25, -0.0002, -0.034, 1.13, 1.61, Unknown("too few ratios"))
    text = compact(snapshot(view("BTCUSDT", derivatives=known), view("ETHUSDT")))
    assert line(text, "composite") == (
        "composite 0.25, funding_8h -0.0002 (shorts pay 0.0200 %), open_interest_change_24h -0.034, "
        "taker_ratio_1h 1.13, long_short 1.61, long_short_z ?"
    )
    assert line(text, "? too few ratios") == "? too few ratios: long_short_z of BTCUSDT"


def test_parts_of_the_composite_and_extremes_are_shown() -> None:
    known = DerivativesView(
        0.25,
        0.0006,
        basis=0.412,
        liquidations_1h=5_400_000.0,
        parts={"funding": -0.29, "taker_flow": 0.04},
        extremes=("funding_8h", "basis"),
    )
    shown = line(compact(snapshot(view("BTCUSDT", derivatives=known))), "composite")
    assert shown.startswith("composite 0.25 (funding -0.29 taker_flow +0.04), funding_8h 0.0006 (longs pay ")
    assert shown.endswith("basis 0.412, liquidations_1h 5400000, EXTREME: funding_8h basis")


def test_liquidations_are_shown_in_words_if_there_are_some() -> None:
    funded = DerivativesView(funding_8h=0.0)
    views = [
        view("BTCUSDT", derivatives=funded, liquidations=0.0123),
        view("ETHUSDT", liquidations=-0.2),
        view("SOLUSDT", derivatives=funded, liquidations=0.0),
    ]
    text = compact(snapshot(*views))
    assert ", longs liquidated in 5m: 1.2 % of the volume of 1h\n" in text
    assert line(text, "shorts") == "shorts liquidated in 5m: 20 % of the volume of 1h"
    assert text.count("liquidated") == 2


def test_snapshot_text_shows_correlations_of_open_positions() -> None:
    pairs = (Correlation("BTCUSDT", "ETHUSDT", 0.834), Correlation("BTCUSDT", "SOLUSDT", Unknown("too young")))
    text = compact(snapshot(view("BTCUSDT", position=HELD), correlations=pairs))
    assert line(text, "correlation") == "correlation: BTCUSDT/ETHUSDT 0.83; BTCUSDT/SOLUSDT ?"
    assert line(text, "? too young") == "? too young: correlation of BTCUSDT/SOLUSDT"


def test_no_number_in_a_snapshot_text_has_an_exponent_or_many_digits() -> None:
    text = compact(snapshot(view("BTCUSDT", position=HELD), view("ETHUSDT")))
    assert not re.search(r"\d[eE][-+]?\d|\bnan\b|\binf\b", text)
    assert max(len(digits.lstrip("0.")) for digits in re.findall(r"\d+\.\d+", text)) <= 8


@given(text=st.text(max_size=1_500))
def test_remarks_of_others_are_quoted_on_their_own_lines(text: str) -> None:
    met = "condition:price gt 5, now 6"
    by_others = (SymbolWake("BTCUSDT", (replace(reason(met), remark=Remark(text, "mcp:desk", NOON)),)),)
    shown = compact(snapshot(note=Remark(text, "mcp:desk", NOON), wake=by_others), reader="claude")
    bare = compact(snapshot(note=None, wake=(wake("BTCUSDT", met),)), reader="claude")
    left = [each for each in shown.splitlines() if each not in bare.splitlines()]
    left.remove(next(each for each in left if each.startswith("this context has text of others: ")))
    quoted = [each.partition(", untrusted_text by mcp:desk, 2026-03-01T12:00:00Z: ") for each in left]
    assert [what.strip().lower() for what, _, _ in quoted] == [f"on btcusdt {met}", "note of an earlier wake, 0s ago"]
    assert {json.loads(said) for _, _, said in quoted} == {untrusted(text, LONGEST_REMARK)}


def test_snapshot_without_positions_says_so_in_its_text() -> None:
    bare = snapshot(trades=(), note=None, limits=(), wake=())
    assert "no open position" in compact(bare)


def test_snapshot_text_grows_less_than_linearly_with_the_symbols() -> None:
    one, three = measure().values()
    assert 0 < one < three < len(SYMBOLS) * one
