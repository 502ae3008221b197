"""The exits that close a position without a decision: the hard exits of the policy file, and the score of the rules.

The engine compares the hard exits with the mark price on every frame, and live also on a timer. At the policy's
scoring interval, the rules score every position. A score in the exit band closes the position, and a score that rises
into the review band wakes the decider.
"""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple, Self

import msgspec

from ocw_mcp.core.market.market import Market
from ocw_mcp.core.orders.ledger import Position
from ocw_mcp.core.strategy.position_score import ScoredPosition, score_held
from ocw_mcp.core.strategy.rule_score import CandlePart, read_candles
from ocw_mcp.domain.events import ExitDecided, ScoreTaken
from ocw_mcp.domain.happenings import GuardPlan
from ocw_mcp.domain.orders import GUARD
from ocw_mcp.domain.policies import ExitsPolicy
from ocw_mcp.domain.snapshot import PositionView, WakeKind, WakeReason
from ocw_mcp.domain.stateful import Stateful
from ocw_mcp.domain.steps import Timer, TimerKind
from ocw_mcp.domain.time import HOUR, SECOND, span_ms
from ocw_mcp.domain.unknown import Reading, Unknown
from ocw_mcp.engine.guard import Guard
from ocw_mcp.engine.snapshot import indicator_values

POSITIONS_TIMER: Final = Timer(TimerKind.POSITIONS)
CHECK_EVERY_MS: Final = 30 * SECOND

_ROUNDING: Final = 1e-12
"""A gain that is farther than this from a limit is on its same side, whatever is rounded."""
HOLD, REVIEW, EXIT = "hold", "review", "exit"


class ExitsState(msgspec.Struct):
    """The time of the last scores (ms), and the band of each position at that time."""

    scored_at: int = 0
    bands: dict[str, str] = {}


class Exits(Stateful[ExitsState]):
    """Closes positions that meet a hard exit of the policy or have a score in the exit band."""

    def __init__(self, market: Market, guard: Guard) -> None:
        super().__init__(ExitsState())
        self._market = market
        self._guard = guard
        self._manager = guard.manager
        self._account = guard.manager.account
        self._effects = guard.manager.effects
        self._config = guard.manager.config
        self._policies = self._config.policies
        self._hard = HardExits.of(self._policies.exits)
        self._timeframe = span_ms(self._policies.rules.timeframe)
        self._averages: dict[str, tuple[Decimal, Decimal, float]] = {}
        """The cost, the quantity and the average price (quote) of each symbol's last position."""
        self._calm: dict[str, CalmPosition] = {}
        """The gains at which each symbol's last position needs no check, to be fast."""
        self._candle_parts: dict[str, tuple[Mapping[str, Reading], CandlePart | None]] = {}
        """The indicators of each symbol that had a position, and what was computed from them."""

    def set_timer(self, now: int) -> None:
        """Set a live engine's timer for the next check of the positions, in case no candle comes."""
        if self._config.live:
            self._effects.set_timer(POSITIONS_TIMER, now + CHECK_EVERY_MS)

    def check(self, now: int) -> list[tuple[str, WakeReason]]:
        """Close the positions that meet an exit. Return the symbols for the decider to review, with reasons."""
        held = self._account.ledger.positions
        if not held:
            self._state.bands.clear()
            return []
        for symbol in self._state.bands.keys() - held.keys():
            del self._state.bands[symbol]
        for symbol in sorted(held):
            if symbol in self._account.ended or symbol in self._account.exchange.adopted:
                # An order would wait for a price that never comes; the exits are for positions of this book.
                continue
            position = held[symbol]
            average, sign = self._average(position), 1 if position.quantity > 0 else -1
            gain, held_ms = sign * (float(self._account.ledger.marks[symbol]) / average - 1), now - position.opened_at
            extreme, crest = position.highest if sign > 0 else position.lowest, position.crest
            calm = self._calm.get(symbol)
            if (
                calm is not None
                and calm.lowest < gain < calm.highest
                and held_ms < self._hard.max_hold_ms
                and (average, extreme, crest, sign) == calm.position
            ):
                continue
            best, _, best_now = position.extremes(average)
            if (found := hard_exit(gain, best, held_ms, self._hard, best_now)) is not None:
                self._close(symbol, *found, now)
            self._calm[symbol] = CalmPosition.of((average, extreme, crest, sign), best, best_now, self._hard)
        if now - self._state.scored_at < self._policies.score.every_s * SECOND:
            return []
        self._state.scored_at = now
        return self._score(now)

    def _score(self, now: int) -> list[tuple[str, WakeReason]]:
        """Score every position. Return the symbols that rose into the review band, each with the wake reason."""
        policy, most_h, ledger = self._policies.score, self._policies.exits.max_hold_h, self._account.ledger
        own = sorted(ledger.positions.keys() - set(self._account.exchange.adopted))
        held = [self._scored(ledger.positions[symbol]) for symbol in own]
        asked, bands, regime = [], {}, self._account.outlook.regime(now)
        for position in held:
            symbol = position.symbol
            score = score_held(position, held, self._market.correlation, now, most_h, regime)
            band = EXIT if score.total >= policy.exit else REVIEW if score.total >= policy.review else HOLD
            before = self._state.bands.get(symbol, HOLD)
            bands[symbol] = band
            if band != before:
                self._effects.record(ScoreTaken(symbol, round(score.total, 4), band, score.worst))
            if band == EXIT:
                worst = score.worst.replace("_", " ")
                self._close(symbol, "score", f"the score is {score.total:.2f}, mostly because of {worst}", now)
            elif band == REVIEW and before == HOLD:
                asked.append((symbol, WakeReason(WakeKind.SCORE, f"{score.total:.2f}", score.worst.replace("_", " "))))
        self._state.bands = bands
        return asked

    def _scored(self, position: Position) -> ScoredPosition:
        """Return a position with the values of its score, without the costly view of it."""
        symbol, average, sign = position.symbol, self._average(position), 1 if position.quantity > 0 else -1
        candles, part = self._market.symbols[symbol], self._candle_part(symbol)
        protection, last = self._guard.protections.get(symbol), candles.last
        stop = protection.trigger if protection is not None and protection.protected else None
        trend = momentum = None
        if part is not None and not isinstance(last, Unknown):
            trend, momentum = part.trend, part.momentum(last, candles.change_over(4 * HOUR))
        return ScoredPosition(
            symbol=symbol,
            sign=sign,
            opened_at=position.opened_at,
            gain=sign * (float(self._account.ledger.marks[symbol]) / average - 1),
            best=sign * (position.crest / average - 1),
            gain_at_stop=None if stop is None else sign * (float(stop) / average - 1),
            trend=trend,
            momentum=momentum,
        )

    def _average(self, position: Position) -> float:
        """Return the average price of a position, computed only when its cost or its quantity has changed."""
        known = self._averages.get(position.symbol)
        if known is None or known[0] is not position.cost or known[1] is not position.quantity:
            known = position.cost, position.quantity, float(position.average_price)
            self._averages[position.symbol] = known
        return known[2]

    def _candle_part(self, symbol: str) -> CandlePart | None:
        """Return the part of the score that candles give, computed only when a candle has closed."""
        candles, known = self._market.symbols[symbol], self._candle_parts.get(symbol)
        readings = candles.readings_of(self._timeframe)
        if readings is None:
            return None
        if known is None or known[0] is not readings:
            values = candles.indicators_of(self._timeframe)
            assert values is not None, "a timeframe with readings has values"
            known = readings, read_candles(indicator_values(values), self._policies.rules)
            self._candle_parts[symbol] = known
        return known[1]

    def planned(self, view: PositionView) -> PositionView:
        """Return a position with what the guard will do; a position that others opened has only its stop."""
        if view.symbol in self._account.exchange.adopted:
            return view
        terms, average, sign = self._hard, float(view.average_price), 1 if view.quantity > 0 else -1
        protection, best, best_now, trail_at = self._guard.protections.get(view.symbol), view.mfe, view.best, None
        if not isinstance(best, Unknown) and not isinstance(best_now, Unknown) and best >= terms.trail_from:
            trail_at = average * (1 + sign * best_now * (1 - terms.trail_gives_back))
        plan = GuardPlan(
            max_loss_at=average * (1 - sign * terms.max_loss),
            take_profit_at=average * (1 + sign * terms.take_profit),
            trail_from=average * (1 + sign * terms.trail_from),
            trail_at=trail_at,
            max_hold_until=view.opened_at + round(terms.max_hold_ms),
            deadline=None if protection is None else protection.deadline,
            reduce_to=None if protection is None else protection.most,
            stop_trail=None if protection is None else protection.trail,
            band=self._state.bands.get(view.symbol, HOLD),
        )
        return msgspec.structs.replace(view, guard=plan)

    def _close(self, symbol: str, rule: str, why: str, now: int) -> None:
        if self._manager.closing(symbol) or symbol in self._account.ended:
            return
        self._effects.record(ExitDecided(symbol, rule, why))
        self._manager.close(symbol, GUARD, now)


class HardExits(NamedTuple):
    """The `[exits]` limits of the policy, converted once to floats and ms for the frequent checks."""

    max_loss: float
    take_profit: float
    trail_from: float
    trail_gives_back: float
    max_hold_ms: float

    @classmethod
    def of(cls, policy: ExitsPolicy) -> Self:
        """Return the hard exits of a policy."""
        shares = (policy.max_loss, policy.take_profit, policy.trail_from, policy.trail_gives_back)
        loss, profit, trail_from, gives_back = (float(share) for share in shares)
        return cls(loss, profit, trail_from, gives_back, policy.max_hold_h * HOUR)


class CalmPosition(NamedTuple):
    """The gains between which a position meets no hard exit, as long as its average and extreme prices are the same."""

    position: tuple[float, float, float, int]
    """The average price, the extreme and the crest (quote) on the side of a gain, and the sign of the quantity."""
    lowest: float
    highest: float

    @classmethod
    def of(cls, position: tuple[float, float, float, int], best: float, best_now: float, terms: HardExits) -> Self:
        """Return the gains of a position with its largest gain at present, as of `hard_exit`."""
        trails_at = best_now - terms.trail_gives_back * best_now + _ROUNDING if best >= terms.trail_from else -math.inf
        return cls(position, max(-terms.max_loss, trails_at), terms.take_profit)


def hard_exit(
    gain: float, best: float, held_ms: int, terms: HardExits, best_now: float | None = None
) -> tuple[str, str] | None:
    """Return the rule that closes a position, and a sentence that explains it; None if the position may stay.

    `gain` is the unrealised gain as a share of the average price, and `best` its largest value so far. `best_now` is
    the largest gain so far (quote) divided by the present cost; after an addition it differs from `best`.
    """
    best_now = best if best_now is None else best_now
    if gain <= -terms.max_loss:
        return "max_loss", f"the loss is {-gain:.2%}, and the limit is {terms.max_loss:.2%}"
    if gain >= terms.take_profit:
        return "take_profit", f"the gain is {gain:.2%}, and the profit is taken at {terms.take_profit:.2%}"
    if best >= terms.trail_from and best_now - gain >= terms.trail_gives_back * best_now:
        return "trail", f"the best gain was {best:.2%}, and {best_now - gain:.2%} is lost again"
    if held_ms >= terms.max_hold_ms:
        held, most = held_ms / HOUR, terms.max_hold_ms / HOUR
        return "max_hold", f"it was open for {held:.0f} h, and the limit is {most:g} h"
    return None
