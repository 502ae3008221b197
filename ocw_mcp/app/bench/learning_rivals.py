"""Other ways to weigh signals, to compare with. Each counts trades of many seeds at once."""

from typing import Final, Protocol

import numpy as np

from ocw_mcp.app.bench.learning_world import GROUP_OF, GROUPS, SIGNALS, Floats, Integers, World
from ocw_mcp.core.learning.draws import Generator

_MEMBERS: Final[Floats] = np.eye(GROUPS)[GROUP_OF]


class Rival(Protocol):
    """One way to weigh signals."""

    def weights(self, regime: Integers) -> Floats:
        """Return the weight of each signal (seed × signal)."""

    def add(self, regime: Integers, right: Floats) -> None:
        """Count a trade: 1 for each signal that was right, 0 for the others."""


class Plain:
    """The log-odds of a Beta posterior in each regime, from Beta(2, 2), without pooling."""

    def __init__(self, seeds: int, regimes: int, keep: float = 1.0) -> None:
        self._seeds, self._keep = np.arange(seeds), keep
        self._hits = np.zeros((seeds, regimes, SIGNALS))
        self._misses = np.zeros_like(self._hits)

    def weights(self, regime: Integers) -> Floats:
        """Return the log-odds of the means."""
        hits, misses = self._hits[self._seeds, regime] + 2, self._misses[self._seeds, regime] + 2
        return np.asarray(np.log(hits / misses))

    def add(self, regime: Integers, right: Floats) -> None:
        """Discount what is known of all regimes, and count the trade."""
        self._hits *= self._keep
        self._misses *= self._keep
        self._hits[self._seeds, regime] += right
        self._misses[self._seeds, regime] += 1 - right


class FixedPool(Plain):
    """The log-odds of means that borrow from group and regimes with fixed strengths: a simple pooled posterior."""

    def weights(self, regime: Integers) -> Floats:
        """Return the log-odds of the means."""
        hits, misses = self._hits.sum(1), self._misses.sum(1)
        groups = (hits @ _MEMBERS + 2) / ((hits + misses) @ _MEMBERS + 4)
        everywhere = (hits + 40 * groups[:, GROUP_OF]) / (hits + misses + 40)
        own, missed = self._hits[self._seeds, regime], self._misses[self._seeds, regime]
        return np.asarray(np.log((own + 60 * everywhere) / (missed + 60 * (1 - everywhere))))


class Informed:
    """The log-odds of the posterior means of a learner that knows the distribution of the reliabilities of a world.

    It is the bound for a learner that starts with less. The world must have one regime and no drift. The mean of each
    group and the log-odds of each signal have a grid; the correlation of signals is ignored, as by the oracle.
    """

    def __init__(self, seeds: int, world: World) -> None:
        places = np.linspace(-3.5, 3.5, 25)
        groups = world.mean + world.of_group * places[:, None]
        half = world.effect + 4 * (world.of_group + world.of_signal)
        odds = np.linspace(world.mean - half, world.mean + half, 121)
        usual = 1 - world.informative - world.misleading
        parts = ((usual, 0.0), (world.informative, world.effect), (world.misleading, -world.effect))
        density = sum(part * np.exp(-(((odds - groups - mean) / world.of_signal) ** 2) / 2) for part, mean in parts)
        self._given = np.asarray(density / np.sum(density, axis=1, keepdims=True))
        self._prior = -places * places / 2
        self._reliability = (1 - world.luck) / (1 + np.exp(-odds)) + world.luck / 2
        self._hits, self._trades = np.zeros((seeds, SIGNALS, 1)), 0

    def weights(self, regime: Integers) -> Floats:
        """Return the log-odds of the means."""
        hit, miss = np.log(self._reliability), np.log1p(-self._reliability)
        likelihood = _scaled(self._hits * hit + (self._trades - self._hits) * miss)
        given = likelihood @ self._given.T
        means = _scaled(self._prior + _MEMBERS.T @ np.log(given))  # seed × group × mean of the group
        posterior = means[:, GROUP_OF] / given @ self._given * likelihood
        mean = posterior @ self._reliability / posterior.sum(2)
        return np.asarray(np.log(mean / (1 - mean)))

    def add(self, regime: Integers, right: Floats) -> None:
        """Count the trade."""
        self._hits += right[:, :, None]
        self._trades += 1


def _scaled(logs: Floats) -> Floats:
    return np.asarray(np.exp(logs - logs.max(-1, keepdims=True)))


class Prototype:
    """Shares in proportion to discounted reliabilities of group and signal in each regime, from Beta(2, 2).

    The weight of a signal is its group's share of all groups times its own share of the group: by posterior means, or
    by draws with a generator.
    """

    def __init__(self, seeds: int, regimes: int, draw: Generator | None = None) -> None:
        self._seeds, self._draw = np.arange(seeds), draw
        self._signals, self._groups = (
            np.full((2, seeds, regimes, SIGNALS), 2.0),
            np.full((2, seeds, regimes, GROUPS), 2.0),
        )

    def weights(self, regime: Integers) -> Floats:
        """Return the shares; they sum to 1."""
        signals, groups = (self._reliability(each[:, self._seeds, regime]) for each in (self._signals, self._groups))
        shares = groups / groups.sum(1, keepdims=True)
        return np.asarray(shares[:, GROUP_OF] * signals / (signals @ _MEMBERS)[:, GROUP_OF])

    def _reliability(self, counts: Floats) -> Floats:
        return np.asarray(counts[0] / counts.sum(0) if self._draw is None else self._draw.beta(counts[0], counts[1]))

    def add(self, regime: Integers, right: Floats) -> None:
        """Discount the regime of the trade, signals by 0.97 and groups by 0.985, and count the trade."""
        shares = right @ _MEMBERS / _MEMBERS.sum(0)
        for counts, keep, new in ((self._signals, 0.97, right), (self._groups, 0.985, shares)):
            old = counts[:, self._seeds, regime]
            counts[:, self._seeds, regime] = 2 + (old - 2) * keep + np.stack([new, 1 - new])
