"""Runs of scripted decisions on random hourly candles, from which the engine learns."""

from decimal import Decimal
from typing import Any

import numpy as np

from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.market import Candle, Funding
from ocw_mcp.domain.time import HOUR
from tests.support.deciders import Scripted
from tests.support.markets import START, ListFeed, candle
from tests.support.runs import Run, policies

D = Decimal
HOURS = 160


def hourly(seed: int, hours: int = HOURS) -> list[Candle]:
    draw, price, found = np.random.default_rng(seed), 100.0, []  # noqa: TID251 - seeded
    for index in range(hours):
        opened, price = price, price * (1 + float(draw.normal(0, 0.006)))
        high, low = max(opened, price) * 1.002, min(opened, price) * 0.998
        found.append(candle(index, price, open_=opened, high=high, low=low, interval=HOUR))
    return found


def script(seed: int, candles: list[Candle]) -> dict[int, Decision]:
    """Random legs at every third hour: entries with near stops of both sides, additions, parts and closes."""
    draw, found = np.random.default_rng(seed), {}  # noqa: TID251 - seeded
    for wake in range(30, len(candles), 3):
        long, price = draw.random() < 0.5, candles[wake - 1].close
        stop = D(str(round(price * (0.975 if long else 1.025), 2)))
        entry = Leg("BTCUSDT", Action.BUY if long else Action.SHORT, D("0.1"), stop, signal_weights={"rsi_1h": 0.5})
        others = (
            Leg("BTCUSDT", Action.ADD, D("0.03"), stop),
            Leg("BTCUSDT", Action.REDUCE, share=D("0.4")),
            *(Leg("BTCUSDT", Action.SELL), Leg("BTCUSDT", Action.COVER)),
        )
        found[wake] = Decision((entry if draw.random() < 0.5 else others[int(draw.integers(len(others)))],))
    return found


def policy(rules: dict[str, Any] | None = None, **learning: Any) -> Any:
    gate = {"close_wakes": ["1h"], "close_wakes_in_position": ["1h"], "cooldown_s": 0, "outlier_moves": {}}
    return policies(gate=gate, rules=rules or {}, learning={"mode": "advise", "counterfactuals": False} | learning)


def feed(seed: int) -> ListFeed:
    funding = [Funding("BTCUSDT", START + hour * HOUR, 0.0003, 8) for hour in range(8, HOURS, 8)]
    return ListFeed(hourly(seed), funding=funding)


_RUNS: dict[tuple[int, str], Run] = {}


async def run(seed: int, **learning: Any) -> Run:
    """A run of the script. Tests that only read it share one."""
    key = (seed, str(sorted(learning.items())))
    if key not in _RUNS:
        _RUNS[key] = await Run(feed(seed), Scripted(script(seed, hourly(seed))), policy=policy(**learning)).go()
    return _RUNS[key]
