"""`make soak`: simulated days of a book on the sandbox exchange, with seeded faults and kills, under the oracles.

SEED chooses the market, the decisions, the faults and the kills; without it a seed is drawn and printed. DAYS is the
number of simulated days (7), and KILLS the number of kills (500 in seven days). VENUE is `exchange`, where the book
trades futures on the account of the sandbox exchange, `spot`, the same on spot, or `paper`.
"""

import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from random import SystemRandom  # noqa: TID251 - without SEED, the seed is drawn and printed
from typing import Final

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import DAY, MINUTE
from tests.support.deaths import random_kills
from tests.support.exchange_books import MakeVenue, Outcome, Plan, binance_venue, paper_venue, run_book, stored_on_disk
from tests.support.random_books import Trader
from tests.support.runs import policies
from tests.support.soak_faults import soak_faults, soak_market

DAYS: Final = 7
KILLS: Final = 500
"""The kills in seven days."""
VENUES: Final[dict[str, tuple[MakeVenue, Product]]] = {
    "exchange": (binance_venue, Product.UM),
    "spot": (binance_venue, Product.SPOT),
    "paper": (paper_venue, Product.UM),
}
POLICY: Final = policies(gate={"close_wakes": ["5m"], "cooldown_s": 0})


def soak(seed: int, days: float, kills: int, directory: Path, venue: str = "exchange") -> Outcome:
    """Run a book for some simulated days, with its journal in a directory."""
    minutes = round(days * DAY / MINUTE)
    make_venue, product = VENUES[venue]
    market = soak_market(seed, product, minutes + 2)
    plan = Plan(
        market,
        minutes,
        lambda: Trader(seed),
        faults=soak_faults(seed, product, minutes),
        kills=random_kills(seed, kills, minutes),
        make_venue=make_venue,
        in_process=venue == "paper",
        policy=POLICY,
        # After a fill of an order that had been rejected, a book only reduces until a person resumes it.
        resumes_after_s=120,
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
    print(f"{what}; repeat it with: make soak SEED={seed} DAYS={days:g} KILLS={kills} VENUE={venue}", flush=True)
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
