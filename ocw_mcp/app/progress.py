"""The progress of a run: a line at the bottom of the terminal, and a printed line if a paced run prints no event."""

from decimal import Decimal
from typing import Final, NamedTuple

from ocw_mcp.app.narrator import Narrator
from ocw_mcp.app.output import StatusLine
from ocw_mcp.domain.money import exact, plain
from ocw_mcp.domain.time import HOUR, SECOND
from ocw_mcp.render.text import cents, moment

TICK_MS: Final = 250
"""Wall time between two updates of the progress line."""
QUIET_MS: Final = HOUR
"""Simulated time without a printed line after which a paced run prints its state."""
QUIET_WALL_MS: Final = 300 * SECOND
"""Wall time without a printed line after which a paced run also prints its state."""
LEAST_WALL_MS: Final = 5 * SECOND
"""The least wall time between two printed states, at any speed."""
MOST_NAMED: Final = 5
"""The most symbols whose price is shown."""


class RunMoment(NamedTuple):
    """The state of a run between two frames: times in ms, money in quote currency, positions signed in base assets."""

    at: int
    ends_at: int | None
    """The time (ms) at which the run ends; None if that is not known."""
    catching_up: bool
    """Whether the run repeats steps that are in the journal already."""
    candles: int
    evaluations: int
    wakes: int
    next_timer: int | None
    """The time at which the gate's timer wakes the agent, if no other wake comes first."""
    equity: Decimal
    prices: dict[str, float]
    positions: dict[str, Decimal]


class RunProgress:
    """Shows the progress of a run."""

    def __init__(self, line: StatusLine, narrator: Narrator, *, paced: bool) -> None:
        self._line = line
        self._narrator = narrator
        self._paced = paced
        self._first: tuple[float, RunMoment] | None = None
        self._lines = 0
        self._quiet_since: tuple[float, int] | None = None

    def phase(self, task: str) -> None:
        """Show a task before or after the run itself."""
        self._line.show(task)

    def tick(self, wall_ms: float, now: RunMoment) -> None:
        """Show the state of the run at `wall_ms`, a monotonic wall time (ms)."""
        if not now.candles:
            self._line.show(f"reading the market's history{f': {_time(now.at)}' if now.at > 0 else ''}")
            return
        if now.catching_up:
            self._line.show(f"repeating steps from the journal: {_time(now.at)}")
            return
        self._first = self._first or (wall_ms, now)
        if self._paced:
            self._beat(wall_ms, now)
            self._line.show(f"{_time(now.at)}  {standing(now)}")
        else:
            self._line.show(self._far(wall_ms, now, *self._first))

    def _beat(self, wall_ms: float, now: RunMoment) -> None:
        if self._quiet_since is not None and self._lines == self._narrator.lines:
            wall, at = wall_ms - self._quiet_since[0], now.at - self._quiet_since[1]
            if wall < QUIET_WALL_MS and (at < QUIET_MS or wall < LEAST_WALL_MS):
                return
            self._narrator.show(now.at, f"quiet     {standing(now)}", "dim")
        self._lines, self._quiet_since = self._narrator.lines, (wall_ms, now.at)

    def _far(self, wall_ms: float, now: RunMoment, began_ms: float, first: RunMoment) -> str:
        """Return the progress of an unpaced run, which was at `first` at the wall time `began_ms`."""
        parts, done, took = [_time(now.at)], now.candles - first.candles, wall_ms - began_ms
        if now.ends_at is not None and now.ends_at > first.at:
            share = min(1.0, (now.at - first.at) / (now.ends_at - first.at))
            seconds = max(1, round(took * (1 - share) / share / SECOND)) if share > 0 and took >= SECOND else 0
            left = f"{seconds} s" if seconds < 100 else f"{seconds // 60} min"
            parts.append(f"{share:.0%}, {left} left" if seconds else f"{share:.0%}")
        pace = f", {done * SECOND / took:,.0f}/s" if done and took >= SECOND else ""
        parts += [f"{now.candles:,} candles{pace}", f"{now.wakes:,} wakes", f"equity {cents(now.equity)}"]
        return "  ".join(parts)


def standing(now: RunMoment) -> str:
    """Return equity, positions, prices and the gate's counters in one line."""
    prices = [f"{symbol} {plain(exact(price))}" for symbol, price in now.prices.items()]
    if (more := len(prices) - MOST_NAMED) > 0:
        prices[MOST_NAMED:] = [f"{more} more"]
    held = [f"{symbol} {plain(quantity)}" for symbol, quantity in now.positions.items()]
    timer = "" if now.next_timer is None else f", next timer wake at {_time(now.next_timer)[11:]}"
    return (
        f"equity {cents(now.equity)}, {', '.join(held) or 'flat'}; "
        f"{', '.join(prices) or 'no price yet'}; "
        f"{now.evaluations:,} evaluations, {now.wakes:,} wakes{timer}"
    )


def _time(ms: int) -> str:
    return moment(ms)[:16]
