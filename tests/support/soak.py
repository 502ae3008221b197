"""`make soak`: simulated days of a book on the sandbox exchange, with seeded faults and kills, under the oracles.

SEED chooses the market, the decisions, the faults and the kills; without it a seed is drawn and printed. DAYS is the
number of simulated days (7), and KILLS the number of kills (500 in seven days). VENUE is `exchange`, where the book
trades futures on the account of the sandbox exchange, or `paper`.
"""

import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random, SystemRandom  # noqa: TID251 - seeded; without SEED, the seed is drawn and printed
from typing import Final

import msgspec

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import DAY, MINUTE
from ocw_mcp.sandbox.binance.faults import Fault, random_faults
from ocw_mcp.sandbox.binance.market import SandboxMarket
from tests.support.deaths import random_kills
from tests.support.exchange_books import MakeVenue, Outcome, Plan, binance_venue, paper_venue, run_book, stored_on_disk
from tests.support.random_books import SYMBOLS, Trader
from tests.support.runs import policies
from tests.support.sandbox_books import market_of

DAYS: Final = 7
KILLS: Final = 500
"""The kills in seven days."""
SIGMA: Final = 0.0015
"""The spread of a minute's return: stops trigger several times an hour, and a week stays within a few multiples."""
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
    "order_drops": 4,
    "order_errors": 6,
}
"""Faults an hour."""
VENUES: Final[dict[str, MakeVenue]] = {"exchange": binance_venue, "paper": paper_venue}
POLICY: Final = policies(gate={"close_wakes": ["5m"], "cooldown_s": 0})


def soak_market(seed: int, product: Product, minutes: int) -> SandboxMarket:
    """Return a market of two random walks."""
    draw, closes = Random(f"soak {seed}"), dict[str, list[float]]()
    for symbol, price in SYMBOLS.items():
        walk = [price]
        while len(walk) < minutes:
            # The pull to the first price keeps a long walk where filters and margins are usual.
            pull = 0.0005 * (price - walk[-1]) / price
            walk.append(round(walk[-1] * (1 + draw.gauss(pull, SIGMA)), 1))
        closes[symbol] = walk
    return market_of(closes, product)


def soak_faults(seed: int, minutes: int) -> list[Fault]:
    """Return random faults of all kinds; the first minute has none."""
    rates = {f"{kind}_per_hour": rate for kind, rate in RATES.items()}
    found = random_faults({"seed": seed, "for": f"{minutes}m", **rates})
    return [msgspec.structs.replace(each, at=each.at + MINUTE) for each in found]


def soak(seed: int, days: float, kills: int, directory: Path, venue: str = "exchange") -> Outcome:
    """Run a book for some simulated days, with its journal in a directory."""
    minutes = round(days * DAY / MINUTE)
    market = soak_market(seed, Product.UM, minutes + 2)
    plan = Plan(
        market,
        minutes,
        lambda: Trader(seed),
        faults=soak_faults(seed, minutes),
        kills=random_kills(seed, kills, minutes),
        make_venue=VENUES[venue],
        in_process=venue == "paper",
        policy=POLICY,
        # After a fill of an order that had been rejected, a book only reduces until a person resumes it.
        commands=[(hour * 3_600 + 1_800, "resume") for hour in range(round(days * 24))],
        grain_ms=1_000,
        tick_ms=5_000,
    )
    return run_book(plan, stored_on_disk(directory, market))


def main(environment: Mapping[str, str]) -> int:
    """Run the soak of the environment, print what held, and return 1 if an oracle found something."""
    seed = int(environment.get("SEED") or SystemRandom().randrange(1, 1_000_000))
    days = float(environment.get("DAYS") or DAYS)
    kills = int(environment.get("KILLS") or round(KILLS * days / DAYS))
    venue = environment.get("VENUE") or "exchange"
    what = f"seed {seed}, {days:g} simulated days, {kills} kills, {venue}"
    print(f"{what}; repeat it with: make soak SEED={seed} DAYS={days:g} VENUE={venue}")
    began = time.perf_counter()  # noqa: TID251 - the speed of this machine
    with tempfile.TemporaryDirectory() as directory:
        outcome = soak(seed, days, kills, Path(directory) / "book", venue)
    took = time.perf_counter() - began  # noqa: TID251 - the speed of this machine
    for name, value in outcome.summary().items():
        print(f"{name}: {value}")
    problems = outcome.problems()
    for problem in problems:
        print(f"BROKEN: {problem}")
    print(f"{days * 24 / took:.2f} simulated hours a second, {took:.0f} s in all")
    print(f"seed {seed}: {len(problems)} problems" if problems else f"seed {seed}: all oracles held")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
