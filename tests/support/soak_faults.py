"""The market and the faults of a soak: all kinds of faults, so many of them at the times of orders that they meet some.

Random faults of `ocw_mcp.sandbox.binance.faults` seldom meet an order, since a book sends most of its orders within
seconds after the close of a candle. Those of orders begin here about then.
"""

from random import Random  # noqa: TID251 - seeded
from typing import Any, Final

import msgspec

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.sandbox.binance.fault_kinds import ANSWERS
from ocw_mcp.sandbox.binance.faults import Fault, random_faults
from ocw_mcp.sandbox.binance.market import SandboxMarket
from tests.support.random_books import SYMBOLS
from tests.support.sandbox_books import fault, market_of

SIGMA: Final = 0.0015
"""The spread of a minute's return: stops trigger several times an hour, and a week stays within a few multiples."""
CLOSE_EVERY_MIN: Final = 5
"""The minutes between two closes at which the book decides."""
RATES: Final = {
    "drops": 2,
    "closes": 1,
    "refuses": 1,
    "mutes": 1,
    "delays": 4,
    "duplicates": 4,
    "reorders": 4,
    "garbages": 4,
    "errors": 2,
    "limits": 0.5,
    "bans": 0.25,
    "order_drops": 1,
    "order_errors": 1,
}
"""Faults of the market, of messages and of requests, an hour."""
AT_ORDERS: Final = 8
"""Faults an hour that begin about the time of orders."""
OF_ACCOUNT: Final[dict[str, float]] = {
    "owner_order": 0.6,
    "owner_close": 0.3,
    "owner_cancel": 0.4,
    "transfer": 0.3,
    "deleverage": 0.15,
    "key_expired": 0.3,
    "mute": 0.5,
    "delay": 0.5,
    "duplicate": 0.5,
    "reorder": 0.5,
    "drop": 0.5,
}
"""Faults of the account and of its events, an hour."""
FUTURES_ONLY: Final = ("deleverage", "key_expired", "reductions_only", "cooling_off")
"""The kinds, and the answers to orders, that spot does not have."""
JUMPS: Final = 2
"""The jumps of a price within a minute, in a day."""
DISASTERS: Final = 0.5
"""The disasters a day: the stops of a position are cancelled, nothing can be sent, and the price falls by a half."""


def soak_market(seed: int, product: Product, minutes: int) -> SandboxMarket:
    """Return a market of two random walks with jumps and disasters."""
    draw, closes = Random(f"soak {seed}"), dict[str, list[float]]()
    for symbol, price in SYMBOLS.items():
        walk = [price]
        while len(walk) < minutes:
            # The pull to the first price keeps a long walk where filters and margins are usual.
            change = draw.gauss(0.0005 * (price - walk[-1]) / price, SIGMA)
            if draw.random() < JUMPS / 1_440:
                change += draw.choice((-1, 1)) * draw.uniform(0.02, 0.08)
            walk.append(round(walk[-1] * (1 + change), 1))
        closes[symbol] = walk
    for minute, symbol, side in _disasters(seed, minutes):
        closes[symbol][minute] = round(closes[symbol][minute - 1] * (1.8 if side == "BUY" else 0.4), 1)
    return market_of(closes, product)


def _disasters(seed: int, minutes: int) -> list[tuple[int, str, str]]:
    """Return the minutes, symbols and sides of the disasters; a price that soars is of the side BUY."""
    draw = Random(f"disasters {seed}")
    number = round(DISASTERS * minutes / 1_440)
    return [
        (draw.randrange(10, minutes - 10), draw.choice(tuple(SYMBOLS)), draw.choice(("BUY", "SELL")))
        for _ in range(number)
    ]


def soak_faults(seed: int, product: Product, minutes: int) -> list[Fault]:
    """Return random faults of all kinds; the first minute has none."""
    rates = {f"{kind}_per_hour": rate for kind, rate in RATES.items()}
    found = random_faults({"seed": seed, "for": f"{minutes}m", **rates})
    found = [msgspec.structs.replace(each, at=each.at + MINUTE) for each in found]
    draw = Random(f"faults {seed}")
    for _ in range(round(AT_ORDERS * minutes / 60)):
        close = 60 * CLOSE_EVERY_MIN * draw.randint(1, max(1, minutes // CLOSE_EVERY_MIN))
        found.append(_of_orders(draw, close + draw.uniform(-1, 5)))
    for kind, rate in OF_ACCOUNT.items():
        if product is Product.UM or kind not in FUTURES_ONLY:
            for _ in range(_times(draw, rate * minutes / 60)):
                found.append(_of_account(draw, kind, draw.uniform(60, 60 * minutes)))
    for minute, symbol, _ in _disasters(seed, minutes):
        found.append(fault("order_drop", 60 * minute - 1, lasts="70s"))
        found.append(fault("owner_cancel", 60 * minute, symbol=symbol))
    return [each for each in found if product is Product.UM or each.answer not in FUTURES_ONLY]


def _times(draw: Random, expected: float) -> int:
    return int(expected) + (draw.random() < expected % 1)


def _of_orders(draw: Random, at_s: float) -> Fault:
    """Return a fault of requests of orders, or of queries for them."""
    more: dict[str, Any] = {"lasts": draw.choice(("2s", "8s", "20s", "45s"))}
    kind = draw.choice(("order_drop", "order_drop", "order_error", "order_error", "order_error", "order_hidden"))
    if kind == "order_hidden":
        return fault(kind, at_s, by=draw.choice(("3s", "20s")), **more)
    answer = draw.choice(tuple(ANSWERS)) if kind == "order_error" else ""
    more |= {"answer": answer} if answer else {}
    if draw.random() < 0.6 and (not answer or ANSWERS[answer].unknown):
        more |= {"executed": True}
        by = draw.choice(("", "", "2s", "10s", "90s", "10m", "1h"))
        more |= {"by": by} if by else {}
    method = draw.choice(("", "", "POST", "POST", "DELETE"))
    more |= {"method": method} if method else {}
    return fault(kind, at_s, nth=draw.choice((1, 1, 1, 2)), **more)


def _of_account(draw: Random, kind: str, at_s: float) -> Fault:
    """Return an action of the account's owner or of the exchange, or a fault of the account's events."""
    symbol = draw.choice(tuple(SYMBOLS))
    match kind:
        case "owner_order":
            quantity = f"{draw.uniform(100, 1_500) / SYMBOLS[symbol]:.3f}"
            return fault(kind, at_s, symbol=symbol, side=draw.choice(("BUY", "SELL")), quantity=quantity)
        case "owner_close" | "owner_cancel":
            return fault(kind, at_s, symbol=symbol)
        case "deleverage":
            return fault(kind, at_s, symbol=symbol, share=draw.choice(("0.3", "1")))
        case "transfer":
            return fault(kind, at_s, amount=str(draw.choice((-200, -50, 100, 300))))
        case "key_expired":
            return fault(kind, at_s)
        case "drop":
            return fault(kind, at_s, stream="user@*")
        case _:
            more = {"by": draw.choice(("1s", "8s"))} if kind == "delay" else {}
            return fault(kind, at_s, stream="user@*", lasts=draw.choice(("20s", "2m", "4m")), **more)
