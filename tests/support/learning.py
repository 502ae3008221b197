"""Outcomes to learn from, and an oracle of their posteriors in plain loops."""

import math

from ocw_mcp.adapters.feeds.simulated.paths import Generator
from ocw_mcp.core.learning.outcomes import Outcome, Source
from ocw_mcp.core.learning.posteriors import Grid
from ocw_mcp.domain.time import DAY

SIGNALS = {"ema": "trend", "breakout": "trend", "rsi": "reversion", "bands": "reversion", "funding": "derivatives"}
REGIMES = ("calm", "turbulent", "unknown")
Seen = tuple[int, int, list[float], list[float]]
"""The time (ms), the regime, and the hits and observations of each signal."""


def outcomes(draw: Generator, count: int, sources: bool = False) -> list[Outcome]:
    """Return random outcomes in order of time, some with unknown signals."""
    found = []
    for number in range(count):
        net, direction = float(draw.normal(0.1, 1)), int(draw.choice([1, -1]))
        signals = {
            name: math.copysign(0.1 + 0.9 * draw.random(), direction * net * (1 if draw.random() < 0.6 else -1))
            for name in SIGNALS
            if draw.random() < 0.8
        }
        found.append(
            Outcome(
                at=(number + 1) * DAY,
                regime=REGIMES[number // 7 % 3],
                direction=direction,
                signals=signals,
                net=net,
                source=list(Source)[number % 3] if sources else Source.TRADE,
                choices={"size": (0.5, 0.75, 1.0)[number % 3], "loss_tolerance": 1.0},
            )
        )
    return found


class Oracle:
    """The model of `core/learning/posteriors.py` for one learner, in loops over floats."""

    def __init__(self, groups: list[int], seen: list[Seen], grid: Grid) -> None:
        self.groups, self.grid, self.rates = groups, grid, [0.0, *(1 / each for each in grid.half_lives)]
        self.ages = range(len(self.rates))
        self.by_common = [[1 / len(grid.common)] * len(grid.common) for _ in self.ages]
        self.by_group = [[1 / len(grid.group)] * len(grid.group) for _ in self.ages]
        self.by_regime = [[1 / len(grid.regime) / len(self.rates)] * len(grid.regime) for _ in self.ages]
        block: list[Seen] = []
        for place, one in enumerate(seen):
            block.append(one)
            if sum(max(each[3]) for each in block) >= grid.block:
                self.judge(seen[: place + 1 - len(block)], block)
                block = []
        self.seen = seen

    def counted(self, age: int, seen: list[Seen], regime: int | None, signal: int) -> tuple[float, float]:
        """Return the effective hits and observations; of all regimes for None."""
        if regime is None:
            parts = [self.counted(age, seen, each, signal) for each in {one[1] for one in seen}]
            return sum(part[0] for part in parts), sum(part[1] for part in parts)
        rows = [(0.5 ** ((seen[-1][0] - at) * self.rates[age]), h, n) for at, where, h, n in seen if where == regime]
        hits, total = (sum(w * row[signal] for w, *both in rows for row in [both[each]]) for each in (0, 1))
        squares = sum(w * w * n[signal] for w, _, n in rows)
        return (hits * total / squares, total * total / squares) if squares else (0.0, 0.0)

    def group(self, age: int, seen: list[Seen], group: int) -> tuple[list[float], float, float]:
        """Return the means of a group by strength of all signals, and the mean and count of its posterior."""
        everyone = [self.counted(age, seen, None, each) for each in range(len(self.groups))]
        known = dict.fromkeys(self.groups, 0.0)
        for weight, strength in zip(self.by_group[age], self.grid.group, strict=True):
            for each, (_, count) in zip(self.groups, everyone, strict=True):
                known[each] += weight * count * (strength + 1) / (count + strength)
        rates = {}
        for each in known:
            mates = [row for row, of in zip(everyone, self.groups, strict=True) if of == each]
            rates[each] = sum(row[0] for row in mates) / max(sum(row[1] for row in mates), 1e-300)
            known[each] /= self.effect([row[1] for row in mates])
        effect = self.effect(list(known.values()))
        common = 2 + sum(count * rates[each] for each, count in known.items()) / effect
        common /= 4 + sum(known.values()) / effect
        means, mean, square = [], 0.0, 0.0
        for weight, strength in zip(self.by_common[age], self.grid.common, strict=True):
            sure = 4 + sum(count * (strength + 1) / (count + strength) for count in known.values()) / effect
            lent = 1 / (1 / strength + 1 / sure)
            total = lent + known[group]
            means.append((lent * common + known[group] * rates[group]) / total)
            mean += weight * means[-1]
            square += weight * means[-1] * (means[-1] * total + 1) / (total + 1)
        return means, mean, mean * (1 - mean) / (square - mean * mean) - 1

    def effect(self, counts: list[float]) -> float:
        """Return the design effect of observations that go together."""
        squares = sum(count * count for count in counts)
        return 1 + (sum(counts) ** 2 / squares - 1) * self.grid.together if squares else 1.0

    def betas(self, age: int, seen: list[Seen], regime: int, signal: int) -> tuple[list[float], list[list[float]]]:
        """Return the means everywhere by strength of the group, and mean and count here by that of the regimes."""
        _, mean, known = self.group(age, seen, self.groups[signal])
        hits, count = self.counted(age, seen, None, signal)
        own_hits, own = self.counted(age, seen, regime, signal)
        everywhere, prior, square = [], 0.0, 0.0
        for weight, strength in zip(self.by_group[age], self.grid.group, strict=True):
            lent = 1 / (1 / strength + 1 / known)
            everywhere.append((lent * mean + hits) / (lent + count))
            a, total = lent * mean + hits - own_hits, lent + count - own
            prior += weight / sum(self.by_group[age]) * a / total
            square += weight / sum(self.by_group[age]) * a * (a + 1) / total / (total + 1)
        size = prior * (1 - prior) / (square - prior * prior) - 1
        here = []
        for strength in self.grid.regime:
            lent = 1 / (1 / strength + 1 / size)
            here.append([(lent * prior + own_hits) / (lent + own), lent + own])
        return everywhere, here

    def judge(self, before: list[Seen], block: list[Seen]) -> None:
        """Weigh the grid by what it predicted of a block."""
        scores: dict[tuple[str, int, int], float] = {}
        for _, regime, hits, counts in block:
            for age in self.ages:
                for signal, (hit, count) in enumerate(zip(hits, counts, strict=True)):
                    everywhere, here = self.betas(age, before, regime, signal)
                    common = self.group(age, before, self.groups[signal])[0]
                    kinds = ("common", common), ("group", everywhere), ("regime", [each[0] for each in here])
                    for kind, means in kinds:
                        for place, mean in enumerate(means):
                            one = hit * math.log(mean) + (count - hit) * math.log(1 - mean)
                            key = kind, age, place
                            scores[key] = scores.get(key, 0.0) + self.grid.independent * one
        share = 1 - (1 - self.grid.share) ** sum(max(each[3]) for each in block)
        for table, kind in ((self.by_common, "common"), (self.by_group, "group"), (self.by_regime, "regime")):
            for rows in [list(self.ages)] if kind == "regime" else [[age] for age in self.ages]:
                keys = [(age, place) for age in rows for place in range(len(table[age]))]
                new = [table[age][place] * math.exp(scores[kind, age, place]) for age, place in keys]
                for (age, place), value in zip(keys, new, strict=True):
                    table[age][place] = (1 - share) * value / sum(new) + share / len(keys)

    def read(self, regime: int, signal: int) -> tuple[float, float]:
        """Return the mean and the variance of a posterior."""
        mean = square = 0.0
        for age in self.ages:
            for weight, (one, count) in zip(
                self.by_regime[age], self.betas(age, self.seen, regime, signal)[1], strict=True
            ):
                mean += weight * one
                square += weight * one * (one * count + 1) / (count + 1)
        return mean, square - mean * mean
