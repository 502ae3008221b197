"""Counts of the claims of deciders: how often a named signal was right.

A decider claims the signals that it names in `signal_weights`. Claims are counted apart; the posteriors count only the
values that the engine computed.
"""

from collections.abc import Mapping

from msgspec import Struct

from ocw_mcp.domain.learning import LearnedClaim, OutcomeSource
from ocw_mcp.domain.learning_events import OutcomeScored


class _Counts(Struct):
    trades: int = 0
    silent: int = 0
    along: int = 0
    right: int = 0
    weights: float = 0.0


class Claims:
    """Counts the claims of closed trades by signal. The state is a function of the outcomes in their order."""

    def __init__(self) -> None:
        self._counts: dict[str, _Counts] = {}

    def take(self, outcome: OutcomeScored) -> None:
        """Count the claims of a trade that is learned from; other outcomes have none.

        A weight below 0 claims the opposite of the signal. A claim is right if its sign agrees with that of the result
        in its direction; a signal that said nothing at the entry is neither right nor wrong.
        """
        if outcome.source is not OutcomeSource.TRADE or outcome.excluded is not None or not outcome.net:
            return
        for name, weight in outcome.claimed.items():
            if not weight:
                continue
            counts = self._counts.setdefault(name, _Counts())
            counts.trades += 1
            counts.weights += weight
            said = weight * outcome.values.get(name, 0.0) * outcome.direction
            counts.silent += said == 0
            counts.along += said > 0
            counts.right += said * outcome.net > 0

    def read(self) -> tuple[LearnedClaim, ...]:
        """Return the claims of each signal, the most frequent first."""
        found = sorted(self._counts.items(), key=lambda each: (-each[1].trades, each[0]))
        return tuple(
            LearnedClaim(name, each.weights / each.trades, each.trades, each.silent, each.along, each.right)
            for name, each in found
        )

    def state(self) -> Mapping[str, list[float]]:
        """Return all that must survive a restart."""
        return {
            name: [each.trades, each.silent, each.along, each.right, each.weights]
            for name, each in self._counts.items()
        }

    def restore(self, state: Mapping[str, list[float]], /) -> None:
        """Restore a state that `state` returned."""
        self._counts = {
            name: _Counts(int(trades), int(silent), int(along), int(right), weights)
            for name, (trades, silent, along, right, weights) in state.items()
        }
