"""Other ways to weigh signals, to compare with. Each counts trades of many seeds at once."""

from typing import Final, Protocol

import numpy as np

from ocw_mcp.app.bench.learning_world import GROUP_OF, GROUPS, SIGNALS, Floats, Integers
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
