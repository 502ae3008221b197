"""Trades that others, faults or a halt changed are not learned from: an oracle walks through the journal's fills."""

from decimal import Decimal
from random import Random  # noqa: TID251 - seeded

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.learning import HORIZONS, OutcomeSource
from ocw_mcp.domain.learning_events import OutcomeScored
from ocw_mcp.domain.orders import OutsideCause, OutsideFill, Purpose, Side
from ocw_mcp.domain.steps import Command, Verb
from ocw_mcp.domain.time import HOUR, MINUTE, span_ms
from ocw_mcp.engine import open_trades
from tests.support.deciders import Scripted
from tests.support.examples import again_among_slow, some
from tests.support.learned_runs import hourly, left_out, policy
from tests.support.markets import START, ListFeed, candle
from tests.support.runs import Commands, Run, policies

D = Decimal


def closed_trades(book: Run) -> list[str]:
    """Why each closed trade is left out, or `counted`, or `unseen` for one that no order of the engine opened."""
    held, why, halted = D(0), "", False
    opened, purposes, found = False, {}, list[str]()

    def take(signed: Decimal, opens: str, closes: str, by_engine: bool) -> None:
        nonlocal held, why, opened
        before, held = held, held + signed
        if before * signed >= 0:
            opened, why = (by_engine if not before else opened), why or opens
            return
        why = why or closes
        if before * held <= 0:
            found.append(why or ("counted" if opened else "unseen"))
            opened, why = by_engine, opens if held else ""

    for each in book.store.domain:
        match each.event:
            case events.OrderIntended(ref, intent):
                purposes[ref] = intent
            case events.CommandTaken(verb=verb):
                halted = halted or verb in (Verb.HALT, Verb.FLATTEN)
            case events.OutsideFilled() as fill:
                causes = {OutsideCause.LIQUIDATION: "", OutsideCause.OTHER_TRADER: "person"}
                signed = fill.quantity * (1 if fill.side == "buy" else -1)
                take(signed, "adopted", causes.get(OutsideCause(fill.cause), "venue"), by_engine=False)
            case events.OrderFilled() as fill:
                intent = purposes[fill.ref]
                why_closed = ""
                if intent.purpose is Purpose.EXIT:
                    person = intent.principal == "operator"
                    why_closed = "person" if person else "halted" if halted else ""
                take(fill.quantity * (1 if fill.side == "buy" else -1), "", why_closed, by_engine=True)
    return [each for each in found if each != "unseen"]


def results(book: Run) -> list[str]:
    scored = [each for each in book.events(OutcomeScored) if each.source is OutcomeSource.TRADE]
    return [each.excluded or "counted" for each in scored]


@again_among_slow
@pytest.mark.parametrize("seed", some(range(40), 6))
async def test_trades_that_others_or_the_venue_changed_are_left_out(seed: int) -> None:
    draw = Random(seed)
    decisions = {wake: Decision((Leg("BTCUSDT", Action.BUY, D("0.1"), D("60")),)) for wake in (30,)}
    wide = policy().model_copy(update={"stop": policies(stop={"max_distance": "0.5"}).stop})
    book = Run(ListFeed(hourly(seed, 31)), Scripted(decisions if draw.random() < 0.7 else {}), policy=wide)
    await book.go()
    now = START + 31 * HOUR
    for number in range(14):
        now += MINUTE
        book.clock.advance(now)
        held = book.engine.account.ledger.quantity("BTCUSDT")
        side = draw.choice((Side.BUY, Side.SELL))
        quantity = draw.choice((abs(held), abs(held) / 2, 2 * abs(held), D(1))) or D(1)
        cause = draw.choice(list(OutsideCause))
        fill = OutsideFill(f"f{number}", "BTCUSDT", side, quantity, D(98), D("0.5"), now, cause)
        await book.simulation.shell.take(fill)
    assert results(book) == closed_trades(book)


@again_among_slow
@pytest.mark.parametrize("seed", some(range(30), 4))
async def test_orders_of_a_halted_book_close_trades_that_are_left_out(seed: int) -> None:
    """A hard exit after a halt counts as halted; a stop counts, halted or not; a flatten is by a person."""
    draw, candles = Random(seed), hourly(seed, 70)
    entries = {
        wake: Decision((Leg("BTCUSDT", Action.BUY, D("0.1"), D(str(round(candles[wake - 1].close * 0.985, 2)))),))
        for wake in range(30, 70, 8)
    }
    tables = policies(
        gate={"close_wakes": ["1h"], "close_wakes_in_position": ["1h"], "cooldown_s": 0, "outlier_moves": {}},
        learning={"mode": "advise", "counterfactuals": False},
        exits={"max_hold_h": 5},
    )
    box, store = Commands(), None
    halt = draw.randint(30, 68)
    for until in (halt, None):
        book = Run(ListFeed(candles), Scripted(entries), policy=tables, commands=box, store=store)
        await book.go(until * HOUR if until is not None else None)
        box.put(Command("h", draw.choice((Verb.HALT, Verb.FLATTEN)), "operator"))
        store = book.store
    assert results(book) == closed_trades(book)
    assert results(book)


async def test_refused_entries_are_scored_as_the_trades_that_they_left_out() -> None:
    draw, candles, legs = Random(3), hourly(3), {}
    for wake in range(30, 150, 5):
        away = draw.uniform(0.005, 0.02) * draw.choice((1, -1))
        action = Action.BUY if away > 0 else Action.SHORT
        legs[wake] = Leg("BTCUSDT", action, D("0.1"), D(str(round(candles[wake - 1].close * (1 - away), 2))))
    tables = policy(counterfactuals=True, cost="0.001")
    tables = tables.model_copy(update={"order": policies(order={"max_notional": "1"}).order})
    script = {wake: Decision((leg,)) for wake, leg in legs.items()}
    book = await Run(ListFeed(candles), Scripted(script), policy=tables).go()
    assert not book.events(events.OrderFilled)
    scored = [each for each in book.events(OutcomeScored) if each.source is OutcomeSource.REFUSAL]
    refused = {each.at: each.event.intent for each in book.store.domain if isinstance(each.event, events.OrderRefused)}
    assert len(scored) >= 2
    for each in scored:
        entered = round((each.began_at - START) / HOUR)
        leg, stop = legs[entered], refused[each.began_at].protect_at
        assert stop is not None
        assert each.direction == (1 if leg.action is Action.BUY else -1)
        results = {
            name: left_out(candles, entered, each.direction, float(stop), span_ms(name) // HOUR) for name in HORIZONS
        }
        assert each.horizons == pytest.approx(results, abs=1e-5)


async def test_an_entry_that_waits_while_others_are_sent_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_trades, "MOST_ENTRIES", 2)
    candles = [candle(minute, 100.0, high=100.1, low=99.9) for minute in range(60)]
    candles += [candle(minute, 100.0 if minute < 40 else 90.0, symbol="ETHUSDT") for minute in range(60)]
    legs = {
        wake: Leg("BTCUSDT", *((Action.BUY, D("0.05"), D("90")) if wake % 2 else (Action.SELL,)))
        for wake in range(3, 55)
    }
    legs[2] = Leg("ETHUSDT", Action.BUY, D("0.05"), D("80"), limit=D("95"))
    legs |= {wake: Leg("ETHUSDT", Action.SELL) for wake in range(55, 60)}
    wakes = {"close_wakes": ["1m"], "close_wakes_in_position": ["1m"], "cooldown_s": 0, "outlier_moves": {}}
    tables = policies(gate=wakes, stop={"max_distance": "0.5"}, learning={"mode": "advise", "counterfactuals": False})
    script = {wake: Decision((leg,)) for wake, leg in legs.items()}
    book = await Run(ListFeed(candles), Scripted(script), policy=tables).go()
    closed, scored = book.events(events.PositionClosed), book.events(OutcomeScored)
    assert len(closed) > 10
    assert [each.symbol for each in scored] == [each.symbol for each in closed]
    assert "ETHUSDT" in [each.symbol for each in scored]
