"""What learning gains against other ways to weigh signals, on histories of known reliabilities, and its speed.

The vote of a way is the sign of its weighted signals. Regret is the number of trades that the vote of the oracle, which
weighs by the log-odds of the true reliabilities, has right more often, in 600 trades.
"""

import math
import time
from typing import Any, Final

import numpy as np
from msgspec import structs

from ocw_mcp.adapters.feeds.simulated.paths import generator
from ocw_mcp.app.bench.learning_rivals import FixedPool, Informed, Plain, Prototype, Rival
from ocw_mcp.app.bench.learning_world import GROUP_OF, LEFT_OUT, MONTHLY, SIGNALS, TRADES, Floats, World, steps
from ocw_mcp.core.learning.learner import HIGH, LOW, SETTINGS, Learner
from ocw_mcp.core.learning.outcomes import Outcome
from ocw_mcp.core.learning.posteriors import Posteriors
from ocw_mcp.core.learning.quantiles import beta_quantiles
from ocw_mcp.domain.time import DAY

SEEDS: Final = 200
SEED: Final = 1
BETWEEN: Final = 30 * DAY // MONTHLY
"""The time (ms) from a trade to the next."""
CHECKED: Final = (60, 150, 300, 599)
"""The trades before which intervals are compared with the truth."""
DISCOUNT: Final = 0.99
WORLDS: Final = {
    "one_regime": World(regimes=1),
    "alike": World(),
    "unrelated": World(alike=False),
    "alike_drift": World(drift=0.01),
    "unrelated_drift": World(alike=False, drift=0.01),
    "one_regime_less_luck": World(regimes=1, luck=0.2),
    "alike_less_luck": World(luck=0.2),
    "unrelated_less_luck": World(alike=False, luck=0.2),
}
DRAWN: Final = ("one_regime", "alike", "unrelated")
"""The worlds in which weights are also drawn."""
REBUILT: Final = 10_000


def measure() -> dict[str, Any]:
    """Return the comparison in each world, and the times of an update and of a rebuild."""
    return {
        "seed": SEED,
        "seeds": SEEDS,
        "trades": TRADES,
        "counterfactual_weight": SETTINGS.counterfactual_weight,
        "worlds": {name: compare(world, drawn=name in DRAWN) for name, world in WORLDS.items()},
        "speed": speed(REBUILT),
    }


def compare(world: World, seeds: int = SEEDS, seed: int = SEED, drawn: bool = True) -> dict[str, Any]:
    """Return regret, share of the gap closed and ratios of all ways in a world, with 95 % intervals over the seeds."""
    right, covered, covered_all = _run(world, seeds, seed, drawn)
    regret = {name: (right["oracle"] - found) for name, found in right.items() if name != "oracle"}
    uniform, prototype = regret["uniform"], regret["prototype_mean"]
    return {
        "world": structs.asdict(world),
        "right": {name: round(float(found.mean()) / TRADES, 4) for name, found in right.items()},
        "regret": {name: _mean(found) for name, found in regret.items()},
        "gap_closed": {name: _ratio(uniform - found, uniform) for name, found in regret.items() if name != "uniform"},
        "of_prototype": {
            name: _ratio(regret[name], prototype) for name in regret if name.startswith(("ocw", "informed"))
        },
        "of_no_pooling": {name: _ratio(regret[name], regret["plain"]) for name in regret if name.startswith("ocw")},
        "interval_90_covers": covered,
        "interval_90_covers_with_left_out": covered_all,
    }


def _run(world: World, seeds: int, seed: int, drawn: bool) -> tuple[dict[str, Floats], list[float], list[float]]:
    """Return the right votes of each way and seed, and the parts of intervals that have the truth, at `CHECKED`.

    The intervals are those from trades alone, then those with the decisions without a trade.
    """
    draw = generator(seed, 1, "draws of the bench of learning")
    rivals: dict[str, Rival] = {
        "plain": Plain(seeds, world.regimes),
        "discounted": Plain(seeds, world.regimes, DISCOUNT),
        "fixed_pool": FixedPool(seeds, world.regimes),
        "prototype_mean": Prototype(seeds, world.regimes),
    }
    if drawn:
        rivals["prototype_drawn"] = Prototype(seeds, world.regimes, draw)
    if world.regimes == 1:
        rivals["informed"] = Informed(seeds, world)
    alone, with_all = (Posteriors(GROUP_OF, world.regimes, seeds) for _ in range(2))
    right = {name: np.zeros(seeds) for name in ("oracle", "uniform", *rivals, "ocw_mean", "ocw_left_out")}
    if drawn:
        right["ocw_drawn"] = np.zeros(seeds)
    covered: tuple[list[float], list[float]] = ([], [])
    left_out = LEFT_OUT * SETTINGS.counterfactual_weight
    for number, step in enumerate(steps(world, seeds, seed)):
        found, found_all = alone.read(step.regime), with_all.read(step.regime)
        weights = {name: rival.weights(step.regime) for name, rival in rivals.items()}
        weights["oracle"], weights["uniform"] = _odds(step.reliability), np.ones((seeds, SIGNALS))
        weights["ocw_mean"], weights["ocw_left_out"] = _odds(found.mean), _odds(found_all.mean)
        if drawn:
            weights["ocw_drawn"] = _odds(alone.draw(step.regime, draw).signals)
        for name, each in weights.items():
            right[name] += _right(each, step.right[:, 0])
        if number in CHECKED:
            for parts, posterior in zip(covered, (found, found_all), strict=True):
                low, high = beta_quantiles(posterior, LOW, HIGH)
                parts.append(round(float(((low < step.reliability) & (step.reliability < high)).mean()), 3))
        traded, at = step.right[:, 0].astype(float), (number + 1) * BETWEEN
        for rival in rivals.values():
            rival.add(step.regime, traded)
        for posteriors in (alone, with_all):
            posteriors.add(at, step.regime, traded, np.ones_like(traded))
        hits = step.right[:, 1:].sum(1) * SETTINGS.counterfactual_weight
        with_all.add(at, step.regime, hits, np.full_like(hits, left_out))
    return right, *covered


def _odds(probability: Floats) -> Floats:
    return np.asarray(np.log(probability / (1 - probability)))


def _right(weights: Floats, right: Any) -> Floats:
    """Return 1 for a vote for the result, 0 for one against it, and 0.5 for a tie."""
    votes = (weights * (2.0 * right - 1)).sum(1)
    return np.asarray((np.sign(np.where(np.abs(votes) > 1e-12, votes, 0.0)) + 1) / 2)


def _mean(found: Floats) -> list[float]:
    """Return the mean, and the ends of its 95 % interval."""
    half = 1.96 * float(found.std(ddof=1)) / math.sqrt(len(found))
    return [round(float(found.mean()) + change, 2) for change in (0.0, -half, half)]


def _ratio(above: Floats, below: Floats) -> list[float]:
    """Return the ratio of two means over the same seeds, and the ends of its 95 % interval by the delta method.

    W. G. Cochran, Sampling Techniques, 1977, section 6.4.
    """
    ratio = float(above.mean() / below.mean())
    half = 1.96 * float((above - ratio * below).std(ddof=1)) / math.sqrt(len(above)) / abs(float(below.mean()))
    return [round(ratio + change, 3) for change in (0.0, -half, half)]


def speed(trades: int) -> dict[str, float]:
    """Return the CPU time of an update with a closed trade of all signals, and that of a rebuild from all trades."""
    draw, names = generator(SEED, 2, "trades of the bench of learning"), [f"signal_{place}" for place in range(SIGNALS)]
    values, nets = draw.uniform(-1, 1, (trades, SIGNALS)), draw.normal(0.1, 1, trades)
    outcomes = [
        Outcome(
            at=(number + 1) * BETWEEN,
            regime=("calm", "normal", "turbulent")[number // 50 % 3],
            direction=1,
            signals=dict(zip(names, values[number].tolist(), strict=True)),
            net=float(nets[number]),
        )
        for number in range(trades)
    ]
    learner = Learner(dict(zip(names, map(str, GROUP_OF), strict=True)), ("calm", "normal", "turbulent", "unknown"))
    times = []
    for outcome in outcomes:
        began = time.thread_time()
        learner.take(outcome)
        times.append(time.thread_time() - began)
    read = time.thread_time()
    learner.read("calm")
    read = time.thread_time() - read
    ordered = sorted(times)
    return {
        "update_us": round(1e6 * math.fsum(times) / trades, 1),
        "update_median_us": round(1e6 * ordered[trades // 2], 1),
        "update_worst_percent_us": round(1e6 * ordered[trades * 99 // 100], 1),
        "rebuild_s": round(math.fsum(times), 3),
        "rebuild_trades": trades,
        "read_ms": round(1e3 * read, 3),
    }
