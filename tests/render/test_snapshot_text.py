"""The snapshot as text: every value once, short numbers, and the parts that change least first."""

import json
import re
from decimal import Decimal
from itertools import takewhile
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ocw_mcp.app.bench.snapshot import SYMBOLS, measure
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.snapshot import (
    Correlation,
    DerivativesView,
    Feasible,
    FormingCandle,
    FormingView,
    IndicatorValues,
    PositionView,
    Remark,
    Snapshot,
    SymbolView,
    SymbolViews,
    SymbolWake,
    TradeView,
)
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.time import HOUR
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.render.quotations import LONGEST_REMARK, untrusted
from ocw_mcp.render.snapshot_text import compact, standing
from tests.support.wakes import reason, wake

D = Decimal
NOON = 1_772_366_400_000
"""2026-03-01T12:00Z."""
NUMBERS = {name: 40.0 + place for place, name in enumerate(IndicatorValues.__struct_fields__[3:])}
SAID_BY_ANOTHER = {"supertrend_direction"}
"""Its direction is the sign of `supertrend`, which is shown."""
"""Left out of the compact form, since the sign of the Supertrend column shows it."""
HOURLY = IndicatorValues("1h", 300, close=200.0, **NUMBERS)
YOUNG = IndicatorValues("4h", 3, Unknown("no close"), **dict.fromkeys(NUMBERS, Unknown("needs 50 candles, has 3")))
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
        macro="goldilocks",
        scale=D("0.54"),
        trades=(TradeView("ETHUSDT", "short", NOON - 5 * HOUR, NOON - 2 * HOUR, D("12.3456")),),
        note=Remark("first\nsecond", "claude", NOON - HOUR),
        limits=(("stop", "within 5%"),),
    )
    return msgspec.structs.replace(plain, **changes)


def line(text: str, beginning: str) -> str:
    (found,) = [each for each in text.splitlines() if each.startswith(beginning)]
    return found


def test_snapshot_text_has_a_row_per_symbol_and_timeframe() -> None:
    text = compact(snapshot(view("BTCUSDT"), view("ETHUSDT")))
    header = line(text, "symbol tf close").split()
    for symbol in ("BTCUSDT", "ETHUSDT"):
        row = line(text, f"{symbol} 1h ").split()
        assert len(row) == len(header) == 3 + len(NUMBERS) - len(SAID_BY_ANOTHER)
        assert "?" not in row
        assert set(line(text, f"{symbol} 4h ").split()[2:]) == {"?"}


def test_snapshot_text_shows_ema_and_atr_in_percent_of_the_close() -> None:
    text = compact(snapshot(view("BTCUSDT")))
    cells = dict(zip(line(text, "symbol tf close").split(), line(text, "BTCUSDT 1h").split(), strict=True))
    ema, atr, rsi = NUMBERS["ema_9"], NUMBERS["atr_14"], NUMBERS["rsi_7"]
    assert (cells["close"], cells["ema9"]) == ("200", f"{100 * (ema / 200 - 1):.2f}")
    assert (cells["atr"], cells["rsi7"]) == (f"{100 * atr / 200:.3f}", f"{rsi:.1f}")


def test_snapshot_text_lists_unknown_values_by_reason() -> None:
    text = compact(snapshot(view("BTCUSDT"), view("ETHUSDT")))
    assert line(text, "? not computed") == "? not computed: BTCUSDT deriv sizes; ETHUSDT deriv sizes"
    assert line(text, "? no model") == "? no model: regime"
    assert line(text, "? no day") == "? no day: BTCUSDT ret24h; ETHUSDT ret24h"
    assert line(text, "? no close").startswith("? no close: BTCUSDT 4h rsi7 rsi14 k d macd")


def test_snapshot_text_shows_every_indicator() -> None:
    for name, value in NUMBERS.items():
        changed = msgspec.structs.replace(HOURLY, **{name: -value})
        before, after = (compact(snapshot(view("BTCUSDT", indicators=(each,)))) for each in (HOURLY, changed))
        assert (before == after) == (name in SAID_BY_ANOTHER), name


def test_forming_candle_has_a_star_and_a_missing_one_its_reason() -> None:
    candle = FormingCandle(NOON - HOUR, 199.0, 201.5, 198.25, 200.0, 1234.56789, HOURLY)
    forming = (FormingView("1h", candle), FormingView("4h", Unknown("nothing of it yet")))
    text = compact(snapshot(view("BTCUSDT", forming=forming)))
    assert "BTCUSDT 1h* 199 201.5 198.25 1234.6" in text.splitlines()
    assert line(text, "BTCUSDT 1h* 200 ")
    assert line(text, "? nothing") == "? nothing of it yet: BTCUSDT 4h* candle"


def test_snapshot_text_groups_limits_by_policy_table() -> None:
    limits = (("order.max_notional", "5000"), ("order.price_allowance", "0.002"), ("risk.max_share", "0.01"))
    assert standing(limits).endswith("\nlimits: order: max_notional 5000, price_allowance 0.002; risk: max_share 0.01")


def test_briefed_text_omits_legend_limits_and_forming_candles() -> None:
    candle = FormingCandle(NOON - HOUR, 199.0, 201.5, 198.25, 200.0, 1234.56789, HOURLY)
    whole = snapshot(view("BTCUSDT", forming=(FormingView("1h", candle),)))
    briefed, shown = compact(whole, briefed=True).splitlines(), compact(whole).splitlines()
    left_out = [each for each in shown if each not in briefed]
    assert [each.split(" ")[0] for each in left_out] == ["?", "limits:", "BTCUSDT"]
    assert left_out[2].startswith("BTCUSDT 1h* 200 ")
    assert set(briefed) < set(shown)


def test_snapshot_text_rounds_numbers_of_positions_sizes_and_trades() -> None:
    held = view("BTCUSDT", position=HELD, feasible=Feasible(D("0.500"), D(0), D("0.001")))
    text = compact(snapshot(held))
    assert "BTCUSDT -0.5 190.123 200 -4.94 210 3x 251.7 3.10 -1.23 2026-03-01T11:00" in text.splitlines()
    assert "BTCUSDT 0.0000123457 1 1.23 -2.00 ? ? 0.5 0 0.001" in text.splitlines()
    assert "ETHUSDT short 2026-03-01T07:00 3.0h +12.35" in text
    assert "equity 9987.65 " in text
    assert "note of an earlier wake, 1h 0m ago, untrusted_text by claude, 2026-03-01T" in text
    assert "note of an earlier wake, 1h 0m ago: first second\n" in compact(snapshot(held), reader="claude")


def test_only_symbols_with_a_derivatives_value_have_such_a_row() -> None:
    known = DerivativesView(0.25, 0.000103, -0.034, 1.13, 1.61, Unknown("too few ratios"))
    text = compact(snapshot(view("BTCUSDT", derivatives=known), view("ETHUSDT")))
    assert "BTCUSDT 0.0000123457 1 1.23 -2.00 ? 0.25 ? ? ?" in text.splitlines()
    header = line(text, "derivatives ").split()
    assert header == ["derivatives", "fund8h", "oi24h", "taker1h", "ls", "lsz"]
    assert "BTCUSDT 0.0103 -3.40 1.13 1.61 ?" in text.splitlines()
    assert line(text, "? too few ratios") == "? too few ratios: BTCUSDT lsz"
    assert "derivatives fund8h" not in compact(snapshot(view("ETHUSDT")))


def test_snapshot_text_shows_correlations_of_open_positions() -> None:
    pairs = (Correlation("BTCUSDT", "ETHUSDT", 0.834), Correlation("BTCUSDT", "SOLUSDT", Unknown("too young")))
    text = compact(snapshot(view("BTCUSDT", position=HELD), correlations=pairs))
    assert line(text, "correlation") == "correlation: BTCUSDT/ETHUSDT 0.83; BTCUSDT/SOLUSDT ?"
    assert line(text, "? too young") == "? too young: BTCUSDT/SOLUSDT correlation"


def test_no_number_in_a_snapshot_text_has_an_exponent_or_many_digits() -> None:
    text = compact(snapshot(view("BTCUSDT", position=HELD), view("ETHUSDT")))
    assert not re.search(r"\d[eE][-+]?\d|\bnan\b|\binf\b", text)
    assert max(len(digits.lstrip("0.")) for digits in re.findall(r"\d+\.\d+", text)) <= 8


def test_snapshot_texts_of_two_wakes_share_a_long_beginning() -> None:
    first = snapshot(view("BTCUSDT"))
    second = msgspec.structs.replace(first, at=NOON + HOUR, equity=D(9_000), wake=())
    pairs = zip(compact(first).splitlines(), compact(second).splitlines(), strict=False)
    shared = "\n".join(one for one, other in takewhile(lambda pair: pair[0] == pair[1], pairs))
    for stays in ("within 5%", "ETHUSDT short", "goldilocks", "0.54"):
        assert stays in shared
    assert compact(first) == compact(first)


@given(text=st.text(max_size=1_500))
def test_remarks_of_others_are_quoted_on_their_own_lines(text: str) -> None:
    met = "condition:price gt 5, now 6"
    by_others = (SymbolWake("BTCUSDT", (replace(reason(met), remark=Remark(text, "mcp:desk", NOON)),)),)
    shown = compact(snapshot(note=Remark(text, "mcp:desk", NOON), wake=by_others), reader="claude")
    bare = compact(snapshot(note=None, wake=(wake("BTCUSDT", met),)), reader="claude")
    left = [each for each in shown.splitlines() if each not in bare.splitlines()]
    quoted = [each.partition(", untrusted_text by mcp:desk, 2026-03-01T12:00:00Z: ") for each in left]
    assert [what.strip().lower() for what, _, _ in quoted] == ["note of an earlier wake, 0s ago", f"on btcusdt {met}"]
    assert {json.loads(said) for _, _, said in quoted} == {untrusted(text, LONGEST_REMARK)}


def test_snapshot_without_positions_says_so_in_its_text() -> None:
    bare = snapshot(trades=(), note=None, limits=(), wake=())
    assert "no open position" in compact(bare)


def test_snapshot_text_grows_less_than_linearly_with_the_symbols() -> None:
    one, three = measure().values()
    assert 0 < one < three < len(SYMBOLS) * one
