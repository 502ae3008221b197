"""Learning in the engine: what the signals said at entries and decisions, and what came of it.

Every outcome is one event of the journal (`outcome.scored`), and the learner is a function of these events in their
order: a learner that cannot be restored is rebuilt from them.
"""

import hashlib
import math
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from ocw_mcp.core import signals
from ocw_mcp.core.learning.claims import Claims
from ocw_mcp.core.learning.learner import Learner, LearnerState, LearningSettings
from ocw_mcp.core.learning.payoffs import share_budget
from ocw_mcp.core.market.market import Market
from ocw_mcp.core.strategy import proposed_stop
from ocw_mcp.domain import events
from ocw_mcp.domain.asks import DecisionKey
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.events import DomainEvent
from ocw_mcp.domain.learning import REGIMES, UNKNOWN_REGIME, Learned, LearningView, OutcomeSource
from ocw_mcp.domain.learning_events import OutcomeImported, OutcomeScored, SignalsRecorded
from ocw_mcp.domain.market import Candle, Frame
from ocw_mcp.domain.orders import NOBODY, RULES, Purpose, Side
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.rounding import rounded
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.time import HOUR
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.engine.entry_choices import entry_choices
from ocw_mcp.engine.following import Followed, Following, FollowingState
from ocw_mcp.engine.guard import Guard
from ocw_mcp.engine.learned import SEED, count_regret, known_at_first, outcome_of, summed
from ocw_mcp.engine.open_trades import Closed, OpenTrades, OpenTradesState
from ocw_mcp.engine.snapshot import positions, take_readings

CLEAR: Final = 0.2
"""The mean weight (log-odds) at which a vote is clear: that of signals that are right in 55 % of cases."""
ENOUGH: Final = 30
"""The trades after which a vote counts for half: until then it is mostly chance."""
MOST_CLAIMS: Final = 64
"""The most legs whose named signals are kept until their orders are sent."""


class LearningState(msgspec.Struct):
    """The saved state of `Learning`. The learner is bytes, so that a damaged one does not lose the other parts."""

    learner: bytes
    digest: str
    trades: OpenTradesState
    following: FollowingState
    claims: dict[str, dict[str, float]]
    regrets: dict[str, list[float]]
    begun: bool = False
    """Whether the book has begun: it then has the outcomes that it was to begin with."""
    claim_counts: dict[str, list[float]] = {}


class Learning:
    """Observes every recorded event, and keeps the learner."""

    def __init__(self, market: Market, guard: Guard) -> None:
        self._market, self._guard, self._manager = market, guard, guard.manager
        self._config, self._policy = guard.manager.config, guard.manager.config.policies.learning
        self._account = guard.manager.account
        self._trades, self._following = OpenTrades(guard.manager), Following()
        self._claims: dict[str, dict[str, float]] = {}
        self._candle = max(HOUR, guard.manager.config.interval)
        """The candles (ms) with which decisions without a trade are followed."""
        self._begun = False
        self._reset()
        self.broken = ""
        """Why the saved learner could not be restored; empty unless it has to be rebuilt."""
        handlers: dict[type[DomainEvent], Callable[[Any, int], None]] = {
            events.DecisionMade: self._on_decision,
            events.DecisionCorrected: self._on_correction,
            events.OrderIntended: self._on_intent,
            events.OrderRefused: self._on_refusal,
            events.EntryContinued: lambda event, at: self._continued(event),
            events.OrderFilled: self._trades.filled,
            events.OutsideFilled: self._trades.filled_outside,
            events.ExitDecided: lambda event, at: self._trades.saved.rules.__setitem__(event.symbol, event.rule),
            events.PositionClosed: self._on_close,
            OutcomeScored: self._count,
            OutcomeImported: lambda event, at: self._count(event.outcome, event.known_at),
        }
        self._handlers = handlers if self._policy.mode != "off" else {}

    def begin(self) -> None:
        """Record the outcomes of another book that a new book begins with. A book that has begun changes nothing."""
        if not self._begun and self._policy.mode != "off":
            for each in self._config.imported:
                self._manager.effects.record(each)
        self._begun = True

    def _reset(self) -> None:
        weight = LearningSettings().counterfactual_weight if self._policy.counterfactuals else 0.0
        settings = LearningSettings(seed=SEED, counterfactual_weight=weight)
        self.learner = Learner(signals.GROUPS, REGIMES, settings)
        self._regrets: dict[str, list[float]] = {}
        self._claim_counts = Claims()
        self._learned: dict[str, Learned] = {}
        self._saved: tuple[bytes, str] | None = None
        """The saved learner and its digest, until the next outcome."""

    def observe(self, event: DomainEvent, at: int) -> None:
        """Take an event that the engine records at `at` (ms)."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event, at)

    def unknown_signals(self, decision: Decision) -> list[str]:
        """Return one clause for each name in the `signal_weights` of a decision that is no signal."""
        return [
            f"signal_weights of {leg.symbol}: {wrong}"
            for leg in decision.legs
            for wrong in signals.unknown_names(name for name, _ in leg.signal_weights)
        ]

    def _on_decision(self, made: events.DecisionMade, at: int) -> None:
        self._claim(DecisionKey(made.wake_id), made.decision)
        if self._policy.counterfactuals:
            decided = {leg.symbol for leg in made.decision.legs if leg.asks}
            busy = decided | self._account.ledger.positions.keys()
            for symbol in self._config.symbols:
                if symbol not in busy and self._following.may_begin(OutcomeSource.HOLD, symbol, at):
                    # A symbol of which the signals say nothing is not read again at each decision, either.
                    self._following.pause(OutcomeSource.HOLD, symbol, at)
                    self._follow(OutcomeSource.HOLD, symbol, at)

    def _on_correction(self, event: events.DecisionCorrected, at: int) -> None:
        self._claim(DecisionKey(event.wake_id, "again"), event.decision)

    def _claim(self, key: DecisionKey, decision: Decision) -> None:
        """Keep the signals that the legs name, by the idempotency keys of their orders."""
        for index, leg in enumerate(decision.legs):
            if leg.signal_weights:
                known = {name: value for name, value in leg.signal_weights if name in signals.SIGNALS}
                self._claims[str(key.leg(index))] = known
        while len(self._claims) > MOST_CLAIMS:
            del self._claims[next(iter(self._claims))]

    def _on_intent(self, event: events.OrderIntended, at: int) -> None:
        intent = event.intent
        if intent.purpose is not Purpose.ENTRY or self._trades.knows(event):
            return
        seen = take_readings(self._market, self._guard, (intent.symbol,), at)
        view = seen.symbols[intent.symbol]
        scored = msgspec.structs.replace(seen, learning=self.view(at)) if self._policy.mode == "act" else seen
        recorded = SignalsRecorded(
            event.ref,
            intent.symbol,
            self._regime(at),
            1 if intent.side is Side.BUY else -1,
            signals.read_all(view, seen),
            self._claims.pop(intent.idempotency_key, {}),
            entry_choices(intent, view, scored, self._config.policies),
        )
        self._trades.entered(recorded)
        self._manager.effects.record(recorded)

    def _continued(self, event: events.EntryContinued) -> None:
        self._trades.continued(event)

    def _on_refusal(self, event: events.OrderRefused, at: int) -> None:
        intent = event.intent
        asked = intent.purpose is Purpose.ENTRY and event.refusal.code is not RefusalCode.APPROVAL_REQUIRED
        known = intent.symbol in self._market.symbols and intent.symbol not in self._account.ledger.positions
        if not (asked and known and self._policy.counterfactuals):
            return
        if self._following.may_begin(OutcomeSource.REFUSAL, intent.symbol, at):
            direction = 1 if intent.side is Side.BUY else -1
            stop = None if intent.protect_at is None else float(intent.protect_at)
            self._follow(OutcomeSource.REFUSAL, intent.symbol, at, direction, stop)

    def _on_close(self, event: events.PositionClosed, at: int) -> None:
        closed = self._trades.closed(event)
        if closed is None:
            return
        self._manager.effects.record(closed.outcome)
        if closed.outcome.excluded is None:
            self._follow_exit(closed, at)

    def _follow_exit(self, closed: Closed, at: int) -> None:
        trade, symbol, exited = closed.trade, closed.outcome.symbol, float(closed.trade.exited)
        values = self._read(symbol, at)
        if exited <= 0 or not any(values.values()) or not self._following.may_begin(OutcomeSource.EXIT, symbol, at):
            return
        risk, chosen = float(trade.risk / trade.quantity), closed.by_choice()
        followed = Followed(
            *(OutcomeSource.EXIT, symbol, at, self._regime(at), trade.direction, values, exited, risk), exited=chosen
        )
        protection, stop = self._guard.protections.get(symbol), None
        if chosen is not None and protection is not None and trade.direction * (exited - float(protection.trigger)) > 0:
            stop = float(protection.trigger)
        self._following.begin(followed, stop)

    def _follow(
        self, source: OutcomeSource, symbol: str, at: int, direction: int = 0, stop: float | None = None
    ) -> None:
        """Follow the trade that a decision left out; `direction` 0 means that of most signals."""
        price, policies = self._market.symbols[symbol].last, self._config.policies
        if isinstance(price, Unknown):
            return
        seen = take_readings(self._market, self._guard, (symbol,), at)
        view = seen.symbols[symbol]
        values = signals.read_all(view, seen)
        votes = sum((value > 0) - (value < 0) for value in values.values())
        direction = direction or (votes > 0) - (votes < 0)
        if stop is None or direction * (price - stop) <= 0:
            stop = proposed_stop(view, direction, policies)
        if not direction or stop is None or stop <= 0 or not any(values.values()):
            return
        cost = float(policies.learning.cost)
        risk = abs(price - stop)
        self._following.begin(
            Followed(source, symbol, at, self._regime(at), direction, values, price, risk, cost), stop
        )

    def take_market(self, frame: Frame) -> None:
        """Take the funding rates of a frame."""
        for each in frame.funding:
            self._following.fund(each.symbol, each.rate)

    def take_close(self, symbol: str, timeframes: tuple[int, ...]) -> None:
        """Take the timeframes (ms) of a symbol that have just closed; record the outcomes that are known by it."""
        if self._candle not in timeframes or not self._following.saved.followed.get(symbol):
            return
        series = self._market.symbols[symbol].series(self._candle)
        columns = (series.opens[-1], series.highs[-1], series.lows[-1], series.closes[-1], series.volumes[-1])
        for outcome in self._following.take(Candle(symbol, series.open_times[-1], self._candle, *columns)):
            self._manager.effects.record(outcome)

    def _regime(self, at: int) -> str:
        level = self._account.outlook.level(at)
        return UNKNOWN_REGIME if isinstance(level, Unknown) else level.value

    def _read(self, symbol: str, at: int) -> dict[str, float]:
        """Return the values of the signals of a symbol at `at` (ms)."""
        seen = take_readings(self._market, self._guard, (symbol,), at)
        return signals.read_all(seen.symbols[symbol], seen)

    def _count(self, event: OutcomeScored, at: int) -> None:
        self.learner.take(outcome_of(event, at))
        self._claim_counts.take(event)
        self._learned.clear()
        self._saved = None
        count_regret(self._regrets, event)

    def learned(self, at: int) -> Learned:
        """Return what was learned, read in the regime of `at` (ms)."""
        regime = self._regime(at)
        if regime not in self._learned:
            is_new = self.learner.is_new and not self._regrets and not self._claim_counts.state()
            found = (
                known_at_first(regime) if is_new else summed(regime, self.learner, self._regrets, self._claim_counts)
            )
            self._learned[regime] = found
        return self._learned[regime]

    def view(self, at: int, seen: Snapshot | None = None) -> LearningView | None:
        """Return what was learned and what it says about each symbol at `at` (ms).

        The readings come from `seen`, a whole snapshot of that time, if it is given. Returns None if OCW does not
        learn, or if the rules decide, and do not use it.
        """
        if self._policy.mode == "off" or (self._config.agent in (RULES, NOBODY) and self._policy.mode != "act"):
            return None
        learned = self.learned(at)
        if not learned.knows:
            return LearningView(learned, {}, {})
        seen = seen or take_readings(self._market, self._guard, self._config.symbols, at)
        return LearningView(learned, self._votes(seen, learned.regime), self._risks(seen, learned))

    def _votes(self, seen: Snapshot, regime: str) -> dict[str, float]:
        """Return tanh(mean weighted sign ÷ `CLEAR`) × n ÷ (n + `ENOUGH`) for each symbol, after n trades."""
        found, trades = {}, self.learner.read(regime).trades
        for symbol, view in seen.symbols.items():
            parts = self.learner.vote(signals.read_all(view, seen), regime).parts
            vote = math.tanh(math.fsum(parts.values()) / len(parts) / CLEAR) if parts else 0.0
            found[symbol] = rounded(vote * trades / (trades + ENOUGH))
        return found

    def _risks(self, seen: Snapshot, learned: Learned) -> dict[str, float]:
        """Return the advised risk of an entry in each flat symbol, within the limit on the risk of an entry."""
        policies, equity = self._config.policies, float(seen.equity)
        most = min(learned.size.risk, float(policies.risk.max_share * seen.scale))
        risks = {}
        for held in positions(self._guard, liquidation=False):
            at_stop = held.average_price if held.stop is None else abs(held.mark - held.stop)
            risks[held.symbol] = float(abs(held.quantity) * at_stop) / equity if equity > 0 else 0.0
        flat = {symbol: most for symbol in self._config.symbols if symbol not in risks}
        patterns = policies.correlated.symbols
        together = [each for each in self._config.symbols if any(fnmatchcase(each, pattern) for pattern in patterns)]
        return share_budget(flat, risks, [together] if together else [])

    def state(self) -> LearningState:
        """Return all that must survive a restart."""
        if self._saved is None:
            saved = msgspec.msgpack.encode(self.learner.state())
            self._saved = saved, hashlib.sha256(saved).hexdigest()
        saved, digest = self._saved
        following, claims = self._following.saved, self._claims
        counts = dict(self._claim_counts.state())
        return LearningState(saved, digest, self._trades.saved, following, claims, self._regrets, self._begun, counts)

    def restore(self, state: LearningState, /) -> None:
        """Restore a state that `state` returned. A learner that is damaged, or not as it is now, becomes `broken`."""
        self._trades.saved, self._following.saved = state.trades, state.following
        self._claims, self._begun = state.claims, state.begun
        self._reset()
        try:
            if hashlib.sha256(state.learner).hexdigest() != state.digest:
                raise ValueError("the saved learner is damaged")
            self.learner.restore(msgspec.msgpack.decode(state.learner, type=LearnerState))
            self._regrets = state.regrets
            self._claim_counts.restore(state.claim_counts)
        except ValueError as error:
            self.broken = str(error)

    def rebuild(self, recorded: Iterable[tuple[int, DomainEvent]]) -> int:
        """Learn again from the journal's events in their order, each with its time (ms). Return their number."""
        self._reset()
        self.broken, count = "", 0
        for at, event in recorded:
            if isinstance(event, OutcomeImported):
                at, event = event.known_at, event.outcome
            if isinstance(event, OutcomeScored):
                self._count(event, at)
                count += 1
        return count
