"""An oracle of followed exits: it walks through the fills of a journal, then through the candles after each exit."""

from decimal import Decimal
from typing import NamedTuple

from ocw_mcp.domain import events
from ocw_mcp.domain.learning_events import SignalsRecorded
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.time import HOUR
from tests.support.markets import START
from tests.support.stores import MemoryStore

D = Decimal
RATE = 0.0003
"""The funding rate of each eighth hour in `learned_runs.feed`."""


class Exit(NamedTuple):
    """A trade at its exit."""

    at: int
    direction: int
    price: float
    one_r: float
    """1 R (quote) of one unit of the base asset."""
    chosen: bool
    stop: float
    """The trigger of the last stop."""
    net: float
    """The result of the trade in R."""
    share: float
    """The part of the entries that the last order closed."""
    regime: str
    within: bool
    """True if a stop or a target at the venue closed it, between two decisions."""


def exits(store: MemoryStore) -> list[Exit]:
    """The exits in a journal, in their order."""
    intents, rules, seen, found = {}, dict[str, str](), {}, list[Exit]()
    held = cash = risk = quantity = stop = left = D(0)
    order = regime = ""
    for stored in store.domain:
        match stored.event:
            case events.OrderIntended(ref, intent):
                intents[ref] = intent
                if intent.purpose is Purpose.STOP and intent.trigger_price is not None:
                    stop = intent.trigger_price
            case events.ExitDecided(symbol=symbol, rule=rule):
                rules[symbol] = rule
            case SignalsRecorded():
                seen[stored.event.ref] = stored.event
            case events.FundingBooked(amount=amount):
                cash += amount
            case events.OrderFilled() as fill:
                signed = fill.quantity * (1 if fill.side == "buy" else -1)
                intent = intents[fill.ref]
                if not held:
                    cash = risk = quantity = D(0)
                    regime = seen[fill.ref].regime
                if held * signed >= 0:
                    risk += fill.quantity * abs(fill.price - (intent.protect_at or D(0)))
                    quantity += fill.quantity
                else:
                    left = fill.quantity + (left if order == str(fill.ref) else 0)
                    order = str(fill.ref)
                direction = 1 if held > 0 else -1
                held, cash = held + signed, cash - signed * fill.price - fill.fee
                if not held:
                    chosen = intent.purpose is Purpose.EXIT and rules.pop("BTCUSDT", "") != "max_loss"
                    numbers = float(fill.price), float(risk / quantity), chosen, float(stop)
                    shares = float(cash / risk), float(left / quantity)
                    within = intent.purpose is not Purpose.EXIT
                    found.append(Exit(stored.at, direction, *numbers, *shares, regime, within))
    return found


def regret(candles: list[Candle], left: Exit, hours: int) -> float:
    """The change of the result (R) of one unit of the base asset with an exit some hours later, candle by candle."""
    begin = -(-(left.at - START) // HOUR)
    has_stop = left.chosen and left.direction * (left.price - left.stop) > 0
    over = begin + hours
    for place, each in enumerate(candles[begin:over], begin + 1):
        worst = each.low if left.direction > 0 else each.high
        end = each.close
        if has_stop and left.direction * (worst - left.stop) <= 0:
            end = each.open if left.direction * (each.open - left.stop) < 0 else left.stop
            over = place
            break
    else:
        assert len(candles) >= over, "the horizon is after the last candle"
    # A stop fills within the candle before the stamp, a decision executes after it.
    first = left.at if left.within else left.at + 1
    stamps = [hour for hour in range(8, len(candles), 8) if first <= START + hour * HOUR <= START + over * HOUR]
    paid = len(stamps) * RATE * left.direction * left.price
    return (left.direction * (end - left.price) - paid) / left.one_r
