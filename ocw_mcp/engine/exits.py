"""When a position is closed whoever opened it and whatever anybody thinks: the policy file's hard exits, and the score.

Looked at on every frame, and on a timer where time is real. The hard exits are held against the mark at each look; the
rules' score of every position is taken as often as the policy says. A score that rises into the review band wakes who
decides, one that rises to the exit band closes the position.
"""

from typing import Final, NamedTuple, Self

import msgspec

from ocw_mcp.core.market.market import Market
from ocw_mcp.core.strategy.position_score import PositionScore, score_position
from ocw_mcp.core.strategy.signals import read_signals
from ocw_mcp.domain.events import ExitDecided, ScoreTaken
from ocw_mcp.domain.orders import GUARD
from ocw_mcp.domain.policies import ExitsPolicy
from ocw_mcp.domain.snapshot import PositionView, Snapshot, WakeKind, WakeReason
from ocw_mcp.domain.stateful import Stateful
from ocw_mcp.domain.steps import Timer, TimerKind
from ocw_mcp.domain.time import HOUR, SECOND
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.effect_buffer import EffectBuffer
from ocw_mcp.engine.guard import Guard
from ocw_mcp.engine.order_manager import OrderManager
from ocw_mcp.engine.snapshot import positions, take_holdings

POSITIONS_TIMER: Final = Timer(TimerKind.POSITIONS)
LOOK_EVERY_MS: Final = 30 * SECOND

HOLD, REVIEW, EXIT = "hold", "review", "exit"


class ExitsState(msgspec.Struct):
    """When scores were last taken (ms), and the band of each position then."""

    scored_at: int = 0
    bands: dict[str, str] = {}


class Exits(Stateful[ExitsState]):
    """Closes what the policy does not let anybody hold."""

    def __init__(
        self,
        config: EngineConfig,
        market: Market,
        account: Account,
        manager: OrderManager,
        guard: Guard,
        effects: EffectBuffer,
    ) -> None:
        self._config = config
        self._policies = config.policies
        self._hard = HardExits.of(config.policies.exits)
        self._market = market
        self._account = account
        self._manager = manager
        self._guard = guard
        self._effects = effects
        super().__init__(ExitsState())

    def start(self, now: int) -> None:
        """Where time is real, look even when no candle comes."""
        if self._config.live and POSITIONS_TIMER not in self._effects.timers:
            self._effects.set_timer(POSITIONS_TIMER, now + LOOK_EVERY_MS)

    def on_timer(self, now: int) -> list[tuple[str, WakeReason]]:
        """The timer is due: look, and look again after as long."""
        self._effects.set_timer(POSITIONS_TIMER, now + LOOK_EVERY_MS)
        return self.look(now)

    def look(self, now: int) -> list[tuple[str, WakeReason]]:
        """Close what has to be closed; the symbols that who decides has to look at, each with the reason."""
        held = self._account.ledger.positions
        if not held:
            self._state.bands.clear()
            return []
        for symbol in sorted(held):
            if symbol in self._account.ended:
                # An order would wait for a price that never comes.
                continue
            position = held[symbol]
            average, way = float(position.average_price), 1 if position.quantity > 0 else -1
            gain = way * (float(self._account.ledger.marks[symbol]) / average - 1)
            best, _, best_now = position.extremes(average)
            found = hard_exit(gain, best, now - position.opened_at, self._hard, best_now)
            if found is not None:
                self._close(symbol, *found, now)
        if now - self._state.scored_at < self._policies.score.every_s * SECOND:
            return []
        self._state.scored_at = now
        return self._score(now)

    def _score(self, now: int) -> list[tuple[str, WakeReason]]:
        """Take every position's score; those that rose into the review band, with the reason to ask about them."""
        held = positions(self._account, self._guard, liquidation=False)
        snapshot = take_holdings(self._config, self._market, self._account, held, now)
        asked, bands = [], {}
        for view in held:
            score = self._score_of(view, snapshot)
            band = self._band(score.total)
            before = self._state.bands.get(view.symbol, HOLD)
            bands[view.symbol] = band
            if band != before:
                self._effects.record(ScoreTaken(view.symbol, round(score.total, 4), band, score.worst))
            worst = score.worst.replace("_", " ")
            if band == EXIT:
                self._close(view.symbol, "score", f"a score of {score.total:.2f} against it, most of it {worst}", now)
            elif band == REVIEW and before == HOLD:
                asked.append((view.symbol, WakeReason(WakeKind.SCORE, f"{score.total:.2f}", worst)))
        self._state.bands = bands
        return asked

    def _score_of(self, view: PositionView, snapshot: Snapshot) -> PositionScore:
        seen = snapshot.symbols.get(view.symbol)
        signals = read_signals(seen, self._policies.rules) if seen is not None else None
        return score_position(view, signals, snapshot, self._policies.exits.max_hold_h)

    def _band(self, score: float) -> str:
        policy = self._policies.score
        return EXIT if score >= policy.exit else REVIEW if score >= policy.review else HOLD

    def _close(self, symbol: str, rule: str, why: str, now: int) -> None:
        if self._manager.closing(symbol) or symbol in self._account.ended:
            return
        self._effects.record(ExitDecided(symbol, rule, why))
        self._manager.close(symbol, GUARD, now)


class HardExits(NamedTuple):
    """`[exits]` of the policy as floats and ms: it is held against every position at every look."""

    max_loss: float
    take_profit: float
    trail_from: float
    trail_gives_back: float
    max_hold_ms: float

    @classmethod
    def of(cls, policy: ExitsPolicy) -> Self:
        """Return the terms of a policy."""
        return cls(
            float(policy.max_loss),
            float(policy.take_profit),
            float(policy.trail_from),
            float(policy.trail_gives_back),
            policy.max_hold_h * HOUR,
        )


def hard_exit(
    gain: float, best: float, held_ms: int, terms: HardExits, best_now: float | None = None
) -> tuple[str, str] | None:
    """The rule that ends a position, and the sentence for people; None while it may be held.

    `gain` is what it is ahead by now, as a share of its average price, `best` the most that it was at any moment.
    `best_now` is the same amount as a share of what it costs now, which differs from `best` after an addition.
    """
    best_now = best if best_now is None else best_now
    if gain <= -terms.max_loss:
        return "max_loss", f"it is {-gain:.2%} behind, and none may be beyond {terms.max_loss:.2%}"
    if gain >= terms.take_profit:
        return "take_profit", f"it is {gain:.2%} ahead, and at {terms.take_profit:.2%} the profit is taken"
    if best >= terms.trail_from and best_now - gain >= terms.trail_gives_back * best_now:
        return "trail", f"it was {best:.2%} ahead and gave back {best_now - gain:.2%}"
    if held_ms >= terms.max_hold_ms:
        held, most = held_ms / HOUR, terms.max_hold_ms / HOUR
        return "max_hold", f"it was held for {held:.0f} h, and none may be for longer than {most:g} h"
    return None
