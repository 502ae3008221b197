"""The shown use of each limit equals the amount that the risk officer checks the next entry with."""

from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from ocw_mcp.domain.asks import LegRequest
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.events import OrderRefused
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.time import HOUR, MINUTE
from ocw_mcp.engine.precheck import CheckedLimit
from ocw_mcp.engine.step import Engine
from tests.support.deciders import Scripted
from tests.support.examples import examples
from tests.support.facades import FacadeRun
from tests.support.markets import ListFeed, candle
from tests.support.runs import Run, policies

D = Decimal
SYMBOLS = ("BTCUSDT", "DOGEUSDT", "ETHUSDT", "XRPUSDT")
FLAT = "XRPUSDT"
LIMITS: dict[str, dict[str, Any]] = {
    "gate": {"close_wakes": ["1m"], "cooldown_s": 0},
    "position": {"max_share": "0.3"},
    "positions": {"max_open": 3},
    "exposure": {"max_gross": "1.2"},
    "correlated": {"max_share": "0.6"},
    "margin": {"min_free": "0.5"},
    "stop": {"max_distance": "0.3"},
    "daily_loss": {"max_share": "0.03"},
    "losses": {"in_a_row": 2, "pause_s": 3_600},
    "pace": {"max_turnover": "1.4", "max_fees": "0.0002", "entries_per_day": 3},
    "scale": {"regime_unknown": "0.8", "macro_unknown": "0.9"},
    "mandate": {"amount": 5_000, "symbols": ["*"], "expires": "2100-01-01T00:00:00Z"},
}

wishes = st.tuples(
    st.sampled_from([Action.BUY, Action.SHORT, Action.BUY, Action.SHORT, Action.SELL, Action.COVER]),
    st.sampled_from(["0.05", "0.12", "0.21"]),
    st.sampled_from([None, None, D("0.02")]),
)
"""What a decision does with a symbol: action, size, and how far off the price an entry waits."""
minutes = st.tuples(wishes, wishes, wishes, *[st.sampled_from([0.0, 0.003, -0.004, 0.06, -0.07])] * 2)


def rows(engine: Engine) -> dict[str, tuple[Decimal, Decimal]]:
    """The limit and its used part, by name."""
    return {row["name"]: (D(row["limit"]), D(row["used"])) for row in engine.limit_usage()}


def oracle(engine: Engine) -> dict[str, Decimal]:
    """The used part of each limit, from positions, live orders and the counters of the day."""
    ledger, used = engine.account.ledger, engine.account.activity.state()
    equity, opening = ledger.equity(), engine.account.day.today.opening
    live = list(engine.orders.live(purpose=Purpose.ENTRY))
    worth = {each: D(0) for each in SYMBOLS}
    one_way = {1: D(0), -1: D(0)}
    free = ledger.wallet + min(D(0), equity - ledger.wallet)
    for symbol, held in ledger.positions.items():
        notional = abs(held.quantity) * ledger.marks[symbol]
        worth[symbol] += notional
        free -= held.margin
        one_way[1 if held.quantity > 0 else -1] += notional if symbol[:3] in ("BTC", "ETH") else 0
    for each in live:
        notional = each.remaining * each.worst_price
        worth[each.order.symbol] += notional
        free -= notional / each.order.leverage
        one_way[each.order.side.sign] += notional if each.order.symbol[:3] in ("BTC", "ETH") else 0
    reserved = sum((each.remaining * each.worst_price for each in live), D(0))
    return {
        "exposure.max_gross": sum(worth.values()) / equity,
        "position.max_share": max(worth.values()) / equity,
        "correlated.max_share": max(one_way.values()) / equity,
        "margin.min_free": free / equity,
        "positions.max_open": D(sum(each > 0 for each in worth.values())),
        "pace.max_turnover": (used.turnover_today + reserved) / opening,
        "pace.max_fees": used.fees_today / opening,
        "pace.entries_per_day": D(used.entries_today),
        "mandate.amount": sum(worth.values(), D(0)),
    }


def verdicts(engine: Engine, symbol: str, action: Action) -> dict[str, CheckedLimit]:
    """The verdict of every limit on one more entry."""
    stop = D(95 if action is Action.BUY else 105)
    found = engine.check(Leg(symbol, action, size=D("0.01"), stop=stop), "anna", engine.now)
    return {each.code.value: each for each in found.limits}


async def test_free_margin_deducts_losses_positions_and_live_entries(tmp_path: Path) -> None:
    looked = await FacadeRun(tmp_path, Scripted({}), policy=policies(order={"max_notional": 100_000})).go(1)
    for number, (symbol, below) in enumerate((("BTCUSDT", "1"), ("ETHUSDT", "0.97"))):
        last = D(str(looked.facade.symbol(symbol).last))
        limit = None if number == 0 else round(last * D(below), 2)
        wanted = Leg(symbol, Action.BUY, size=D("0.08"), stop=round(last * D("0.955"), 2), limit=limit)
        assert isinstance(await looked.ask(LegRequest(f"k{number}", "anna", wanted)), OrderRef)
    ledger = looked.run.engine.account.ledger
    await looked.run.go(HOUR + MINUTE)
    (waiting,) = [each for each in looked.facade.orders() if each.purpose is Purpose.ENTRY]
    (held,) = ledger.positions.values()
    lost = min(D(0), ledger.equity() - ledger.wallet)
    expected = ledger.wallet + lost - held.margin - waiting.remaining * waiting.worst_price / waiting.order.leverage
    seen = looked.facade.portfolio()
    assert seen.free == expected < ledger.free()
    (used,) = [D(row["used"]) for row in looked.facade.policy().limit_usage if row["name"] == "margin.min_free"]
    assert abs(used - seen.free / seen.equity) <= D("0.000001")
    looked.store.close()


@examples(5, slow=25)
@given(script=st.lists(minutes, min_size=2, max_size=4))
async def test_limit_usage_agrees_with_a_recount_and_with_each_verdict(script: list[Any]) -> None:
    prices, candles, decisions = dict.fromkeys(SYMBOLS, 100.0), [], {}
    for place, (*wanted, first, second) in enumerate([(*script[0][:3], 0.0, 0.0), *script, script[0]]):
        legs = []
        for symbol, move in zip(SYMBOLS, (first, second, second, 0.0), strict=True):
            prices[symbol] *= 1 + move
            candles.append(candle(place, prices[symbol], symbol=symbol))
        for symbol, (action, size, off) in zip(SYMBOLS[:3], wanted, strict=True):
            way, last = -1 if action is Action.SHORT else 1, D(f"{prices[symbol]:.6g}")
            limit = None if off is None else last * (1 - way * off)
            entry = Leg(symbol, action, size=D(size), stop=last * (1 - way * D("0.1")), limit=limit)
            legs.append(entry if action.adds_risk else Leg(symbol, action))
        decisions[place + 1] = Decision(tuple(legs))
    run = await Run(ListFeed(candles), Scripted(decisions), policy=policies(**LIMITS)).go()
    engine, shown = run.engine, rows(run.engine)
    live = len(list(engine.orders.live(purpose=Purpose.ENTRY)))
    event(f"{len(engine.account.ledger.positions)} positions, {live} entries")
    event(str(sorted({each.refusal.code.value for each in run.events(OrderRefused)})))
    equity, opening = engine.account.ledger.equity(), engine.account.day.today.opening
    exact = oracle(engine)
    for name, used in exact.items():
        assert abs(shown[name][1] - used) <= D("0.000001"), name
    assert [shown[name][0] for name in ("position.max_share", "exposure.max_gross")] == [D("0.216"), D("0.864")]

    def left(name: str) -> Decimal:
        # The shown value is rounded and may equal a limit that is not quite reached.
        limit, used = shown[name]
        return limit - exact.get(name, used)

    for action in (Action.BUY, Action.SHORT):
        said = verdicts(engine, FLAT, action)
        for code, name, whole in (
            ("GROSS_EXPOSURE", "exposure.max_gross", equity),
            ("TURNOVER", "pace.max_turnover", opening),
            ("MANDATE", "mandate.amount", D(1)),
        ):
            room = said[code].room
            assert room is not None
            assert abs(room - max(D(0), left(name) * whole)) <= whole * D("0.000001")
        margin = said["FREE_MARGIN"].room
        assert margin is not None
        assert abs(margin / 2 - max(D(0), -left("margin.min_free") * equity)) <= equity * D("0.000001")
        for code, names in (
            ("OPEN_POSITIONS", ["positions.max_open"]),
            ("FEES", ["pace.max_fees"]),
            ("ENTRY_RATE", ["pace.entries_per_day", "pace.entries_per_minute"]),
            ("DAILY_LOSS", ["daily_loss.max_share"]),
            ("LOSSES_IN_A_ROW", ["losses.in_a_row"]),
        ):
            event(f"{code} {said[code].passes}")
            assert said[code].passes == all(left(name) > 0 for name in names), code
