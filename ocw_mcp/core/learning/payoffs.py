"""The payoff of trades in R, and the size that follows from it by fractional Kelly.

1 R is the distance of the first stop. A size is a risk fraction: the share of the equity that is lost at the stop.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from ocw_mcp.core.learning.outcomes import Outcome
from ocw_mcp.core.learning.posteriors import PRIOR, Beta, Floats
from ocw_mcp.core.learning.quantiles import beta_quantiles
from ocw_mcp.domain.learning import LearnedSize
from ocw_mcp.domain.rounding import rounded
from ocw_mcp.domain.time import DAY

QUANTILE: Final = 0.25
"""The quantile of the win rate from which a size is computed."""
MOST_OF_KELLY: Final = 0.25
"""The part of the full Kelly fraction that is advised at most."""
HALF_LIFE: Final = 360 * DAY
"""The time (ms) in which the weight of a payoff halves."""
PRIOR_TRADES: Final = 4.0
"""The wins and the losses of 1 R that are assumed before the first trade."""
LARGEST_WIN: Final = 10.0
"""R. A larger win counts as this one: after a fill close to the stop 1 R is tiny, and a single win most of the mean."""
BORROWED: Final = 20.0
"""The trades, and the wins and losses, for which the mean of all regimes counts in one regime."""


class PayoffsState(Struct):
    """The saved state of `Payoffs`. `sums` has numbers of each regime; see `Payoffs`."""

    sums: list[list[float]]
    at: int


class Payoffs:
    """The win rate, mean win and mean loss of closed trades, for each regime."""

    def __init__(self, regimes: Sequence[str]) -> None:
        self._regimes = list(regimes)
        # Of each regime: the weights of wins and of losses, the squares of all weights, the R of wins and of losses.
        self._sums = np.zeros((len(regimes), 5))
        self._at = 0

    def take(self, outcome: Outcome) -> None:
        """Count a closed trade; a result of 0 R counts as nothing."""
        if outcome.net == 0:
            return
        if outcome.at > self._at > 0:
            fade = 0.5 ** ((outcome.at - self._at) / HALF_LIFE)
            self._sums *= (fade, fade, fade * fade, fade, fade)
        self._at = max(self._at, outcome.at)
        won = outcome.net > 0
        win, loss = min(max(outcome.net, 0.0), LARGEST_WIN), max(-outcome.net, 0.0)
        self._sums[self._regimes.index(outcome.regime)] += (won, not won, 1, win, loss)

    def advise(self, regime: str) -> LearnedSize:
        """Return the size for one trade in a regime. Raises ValueError for a regime that does not exist."""
        sums = self._sums[self._regimes.index(regime)]
        evidence = _evidence(sums)
        everywhere = self._sums.sum(0)
        # The win rate: Beta(2, 2), then the mean of all regimes, then the regime itself; see `posteriors`.
        known = sum(_evidence(each) for each in self._sums)
        mean = (_share(everywhere) * known + PRIOR) / (known + 2 * PRIOR)
        lent = 1 / (1 / BORROWED + 1 / (known + 2 * PRIOR))
        mean = (_share(sums) * evidence + lent * mean) / (evidence + lent)
        rate = Beta(np.array(mean), np.array(evidence + lent))
        low = rounded(float(beta_quantiles(rate, QUANTILE)[0]))
        win, loss = (rounded(_size(sums[each], everywhere[each])) for each in ([0, 3], [1, 4]))
        risk = rounded(kelly(low, win, loss) * MOST_OF_KELLY)
        return LearnedSize(risk, rounded(mean), low, win, loss, rounded(evidence))

    def state(self) -> PayoffsState:
        """Return all that must survive a restart."""
        return PayoffsState(self._sums.tolist(), self._at)

    def restore(self, state: PayoffsState, /) -> None:
        """Restore a state that `state` returned. Raises ValueError if it is damaged, and changes nothing."""
        sums = np.array(state.sums, dtype=np.float64)
        if sums.shape != self._sums.shape or not (np.isfinite(sums).all() and (sums >= 0).all()) or state.at < 0:
            raise ValueError(f"the sums of payoffs have the shape {sums.shape} or bad numbers; rebuild the learner")
        self._sums, self._at = sums, state.at


def _evidence(sums: Floats) -> float:
    """Return the effective number of trades; see `posteriors` on Kish."""
    return float((sums[0] + sums[1]) ** 2 / sums[2]) if sums[2] > 0 else 0.0


def _share(sums: Floats) -> float:
    """Return the share of wins; 0.5 without a trade."""
    total = float(sums[0] + sums[1])
    return float(sums[0]) / total if total > 0 else 0.5


def _size(own: Floats, everywhere: Floats) -> float:
    """Return a mean size in R of a regime, which borrows from all, of the count and the sum of each."""
    prior = (everywhere[1] + PRIOR_TRADES) / (everywhere[0] + PRIOR_TRADES)
    return float((own[1] + BORROWED * prior) / (own[0] + BORROWED))


def kelly(win_rate: float, win: float, loss: float) -> float:
    """Return the risk fraction with the fastest growth, for the mean win and loss in R (> 0); 0 without an edge.

    With b = win ÷ loss, f = p − (1 − p) ÷ b is the share of the equity to lose at a loss (J. L. Kelly, A New
    Interpretation of Information Rate, 1956), and f ÷ loss is that share for a loss of 1 R. Mean losses below 1 R do
    not raise the fraction, because a trade can always lose the whole distance to its stop.
    """
    fraction = win_rate - (1 - win_rate) * loss / win
    return max(0.0, fraction / max(loss, 1.0))


def share_budget(
    wanted: Mapping[str, float], open_risk: Mapping[str, float], clusters: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Return the risk fraction of each symbol of `wanted` within the budgets of correlated symbols.

    `open_risk` has the fraction at risk of each open position. The symbols of a cluster share one budget, the largest
    fraction wanted among them: perfectly correlated trades are one trade. What their open positions risk is taken from
    it, and the rest is divided in proportion to what is wanted. A symbol in no cluster has a budget of its own. Raises
    ValueError for a number that is negative or not finite, or a symbol in two clusters.
    """
    for name, value in [*wanted.items(), *open_risk.items()]:
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"the risk of {name} is {value!r}; expected a share of the equity from 0")
    named = [symbol for cluster in clusters for symbol in cluster]
    if len(set(named)) < len(named):
        raise ValueError(f"a symbol is in two clusters of {[list(each) for each in clusters]}; name it once")
    found: dict[str, float] = {}
    for cluster in [*clusters, *([symbol] for symbol in wanted if symbol not in named)]:
        inside = {symbol: wanted[symbol] for symbol in cluster if symbol in wanted}
        total = math.fsum(inside.values())
        rest = max(0.0, max(inside.values(), default=0.0) - math.fsum(open_risk.get(symbol, 0.0) for symbol in cluster))
        for symbol, value in inside.items():
            found[symbol] = value * min(1.0, rest / total) if total else 0.0
    return found
