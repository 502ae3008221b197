"""The engine: it takes an event and the time, and returns effects. Its code is synchronous, and the same in every mode.

The path of one tick: a frame closes candles → the market stores them → equity is checked → the gate evaluates each
symbol → a wake asks for a decision → its legs become intents → the order manager has them checked, records and sends
them → the venue's reports come back as events → the ledger books the fills and the guard places stops for them.
"""

from collections.abc import Mapping
from functools import partial

import msgspec

from ocw_mcp.core.gate.gate import Gate
from ocw_mcp.core.market.market import Closed, Market
from ocw_mcp.core.risk.limits import limits_in_force
from ocw_mcp.domain import steps
from ocw_mcp.domain.asks import CallerRequest
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.events import HoleFound, PoliciesLoaded, SymbolEnded, WakeConditionsSet
from ocw_mcp.domain.market import Candle, Frame
from ocw_mcp.domain.orders import FundingPaid, OrderRef
from ocw_mcp.domain.snapshot import PositionView, Snapshot, SymbolWake, WakeReason
from ocw_mcp.domain.stateful import SavedPart
from ocw_mcp.domain.time import HOUR
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.callers import Callers, OperatorCommands
from ocw_mcp.engine.changes import follow_prices
from ocw_mcp.engine.checkpoint import ENGINE_FORMAT, EngineState, RunCounters, read_checkpoint, write_checkpoint
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.decisions import DecisionCycle, Settled
from ocw_mcp.engine.effect_buffer import EffectBuffer, Timekeeper
from ocw_mcp.engine.exits import Exits
from ocw_mcp.engine.exposure import limit_usage
from ocw_mcp.engine.guard import Guard
from ocw_mcp.engine.idempotency import Answer
from ocw_mcp.engine.learning import Learning
from ocw_mcp.engine.leg_executor import LegExecutor
from ocw_mcp.engine.levels import PriceLevels, price_levels
from ocw_mcp.engine.live import LiveMarket
from ocw_mcp.engine.near_exits import NearExits
from ocw_mcp.engine.order_manager import OrderManager
from ocw_mcp.engine.price_board import PriceBoard, read_metric
from ocw_mcp.engine.since import Since
from ocw_mcp.engine.snapshot import brief_snapshot, leave_out, positions, take_snapshot
from ocw_mcp.engine.venue_reports import VenueReports
from ocw_mcp.engine.warm_up import warm_up


class Engine:
    """The engine of one book. Callers may read the engine's parts between two steps."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self._effects = EffectBuffer()
        self.market = Market(config.interval, config.symbols)
        self.gate = Gate(config.policies.gate, config.interval, config.symbols)
        self._read = partial(read_metric, self.market)
        self.prices = PriceBoard(config, self.market)
        self.account = Account(config, self._effects)
        self.manager = OrderManager(config, self.account, self.prices, self._effects)
        self.orders = self.manager.orders
        self.guard = Guard(self.manager)
        self._exits = Exits(self.market, self.guard)
        self._near = NearExits(self.market, self.guard)
        self._live = LiveMarket(self.market, self.gate, self.manager)
        self.executor = LegExecutor(self.guard)
        self.approvals, self.check = self.executor.approvals, self.executor.precheck.check
        self.decisions = DecisionCycle(self.manager, self.executor, self._after_decision)
        self.since = Since(self.manager, self.executor)
        self.learning = Learning(self.market, self.guard)
        self._effects.observers = [self.since.observe, self.learning.observe]
        self._reports = VenueReports(self.guard, self.executor.chased)
        self._operator = OperatorCommands(self.guard, self.executor, self.decisions, self._reports)
        self._callers = Callers(self.guard, self.executor, self.decisions, self._operator)
        self.counters = RunCounters()
        self._limits = limits_in_force(config.policies)
        self._time = Timekeeper()
        self._parts: dict[str, SavedPart] = {
            "market": self.market,
            "gate": self.gate,
            "order_books": self.prices,
            "account": self.account,
            "manager": self.manager,
            "guard": self.guard,
            "exits": self._exits,
            "near_exits": self._near,
            "decisions": self.decisions,
            "since": self.since,
            "learning": self.learning,
            "budget": self.decisions.budget,
            "outlook": self.account.outlook,
            "approvals": self.approvals,
            "manual_control": self.executor,
            "answers": self.executor.answers,
            "commands": self._operator,
            "live": self._live,
            "timers": self._effects,
            "time": self._time,
        }
        """The parts with a saved state, by their field of `EngineState`. The counters are its last field."""
        self.steps = 0
        """The number of events that this process has taken. While it does not change, no part of the engine does."""

    def start(self) -> list[steps.Effect]:
        """Return the effects before the first event: they set the saved timers and request a decision that is open."""
        self._effects.now = self.now
        hashes = (self.config.policy_hash, self.config.prompts_hash)
        if self.counters.hashes != hashes:
            self.counters.hashes = hashes
            policies = self.config.policies
            self._effects.record(PoliciesLoaded(policies.name, self.config.policy_hash, self.config.prompts_hash))
            # A changed daily loss limit applies to the current day, and a flat book would not check it before an entry.
            self._watch()
        self.learning.begin()
        for timer, at in sorted(self._effects.timers.items()):
            self._effects.set_timer(timer, at)
        if (asked := self.decisions.open_request) is not None:
            self._effects.add(steps.Ask(asked))
        return self._effects.take()

    def step(self, event: steps.StepEvent, now: int) -> list[steps.Effect]:
        """Take one event at `now` (ms), and return its effects in order. Engine time never goes back."""
        self.steps += 1
        if why := self._time.move_to(now):
            self.manager.lower(why)
        now = self._effects.now = self._time.state()
        if isinstance(event, Frame):
            self._on_frame(event, now)
            if self._reports.resume(now):
                self._watch()
        elif isinstance(event, steps.TimerFired):
            self._on_timer(event.timer, now)
        elif isinstance(event, steps.DecisionReady | steps.DecisionFailed | steps.DecisionSubmitted):
            self.decisions.receive(event, now)
        elif isinstance(event, steps.Command):
            self._operator.take(event, now)
        elif isinstance(event, steps.Asked):
            self._callers.take(event, now)
        elif isinstance(event, steps.RunEnds):
            self.manager.cancel_entries("the run ends")
        elif isinstance(event, steps.OutlookSeen):
            self.account.outlook.take(event)
        elif self._reports.take(event, now):
            if isinstance(event, FundingPaid):
                self.counters.paid(event)
            self._watch()
        if self.config.live:
            self._live.judge()
        if self.since.has_news:
            self._follow_up(now)
        return self._effects.take()

    def _follow_up(self, now: int) -> None:
        """End the wake conditions of closed positions, and keep the reasons to wake that the step gave."""
        for symbol in self.since.take_closed():
            if ended := self.gate.end_conditions(symbol, now):
                armed, last_wake = len(self.gate.standing(now, self._read)), self.decisions.state().last_wake
                self._effects.record(WakeConditionsSet(last_wake, armed, (), ended))
        self._raise(self.since.take_reasons())

    def _on_frame(self, frame: Frame, now: int) -> None:
        self.account.outlook.follower.see(frame, begins=self.counters.began_at is None)
        if frame.history:
            self.counters.warmed_until = frame.at
            self._take_derivatives(frame)
            warm_up(self.market, self.gate, frame.closed)
            return
        if (self.config.live or frame.at != now) and (why := self._time.compare(frame.at)):
            self.manager.lower(why)
        if self.counters.began_at is None:
            self.counters.began_at = now
            self.account.outlook.anomalies.warm(self.market)
            self.account.open_day(now)
            self._exits.set_timer(now)
        if frame.metrics or frame.funding:
            self._take_derivatives(frame)
            self.learning.take_market(frame)
        self.prices.take_books(frame.books)
        # A candle that closes at midnight is the last of its day; a decision on it belongs to the next day.
        if frame.at > self.account.day_ends:
            self.account.pass_midnight(frame.at, has_candles=bool(frame.closed))
        held, manual = self.account.ledger.positions, self.executor.manual_control
        moved = self.config.live and self._live.take(frame, now)
        changes: list[tuple[Candle, Closed]] = []
        for candle in frame.closed:
            if candle.open_time <= self.counters.warmed_until:
                # The first frame of the book closes candles that opened before it.
                warm_up(self.market, self.gate, (candle,))
                continue
            change = self._take(candle)
            if change is not None:
                changes.append((candle, change))
        liquidated = self.market.take_liquidations(frame.liquidations) if frame.liquidations else {}
        for symbol in frame.ended:
            self.account.ended[symbol] = frame.at
            self._effects.record(SymbolEnded(symbol, frame.at))
            self.manager.cancel_entries("its market has ended", symbol)
        if held and (frame.closed or moved):
            if why := self.account.watch_prices():
                self.manager.cancel_entries(why)
            if not frame.late:
                self._raise(self._exits.check(now))
            if frame.closed and not frame.late:
                follow_prices(self.guard, {candle.symbol for candle, _ in changes}, now)
                self._raise(self._near.check())
        for candle, change in changes:
            symbol, close_time, candles = candle.symbol, candle.close_time, self.market.symbols[candle.symbol]
            self.learning.take_close(symbol, change.timeframes)
            unusual = self.account.outlook.anomalies.close(symbol, candles, now) if HOUR in change.timeframes else None
            if frame.late or symbol in manual.held:
                # No decider is asked about the candle, and its return still counts for the outlier statistics.
                self.gate.warm(symbol, (candle.close,), close_time)
                continue
            self.gate.evaluate(
                symbol,
                candle.close,
                change.timeframes,
                at=now,
                close_time=close_time,
                read=self._read,
                in_position=symbol in held,
                near_stop=symbol in held and self._near.near_stop(symbol),
                liquidations=liquidated.get(symbol) if liquidated else None,
                anomaly=unusual,
            )
        if frame.at == self.account.day_ends:
            self.account.open_day(frame.at)
        if frame.closed and not frame.late and self.gate.has_reasons(now):
            self._wake(now)

    def _wake(self, now: int) -> None:
        """Ask for a decision if the gate has reasons to wake the agent."""
        manual = self.executor.manual_control
        self.gate.drop(manual.held)
        reasons = self.gate.wake(now, busy=self.decisions.open_request is not None or bool(manual.paused_by))
        if reasons:
            brief = brief_snapshot(self.market, self.guard, reasons, now, self.learning.view)
            self.decisions.ask(leave_out(manual.held, brief or self.snapshot(now, reasons)), now)

    def _take_derivatives(self, frame: Frame) -> None:
        for symbol in sorted(self.market.take_derivatives(frame.metrics, frame.funding)):
            self.gate.note_readings(symbol)
        for funding in frame.funding:
            self.counters.funded.setdefault(funding.symbol, funding.at)

    def _take(self, candle: Candle) -> Closed | None:
        symbol = candle.symbol
        change = self.market.symbols[symbol].close(candle)
        if change is None:
            self.counters.stale_candles += 1
            return None
        self.counters.closed(candle)
        if change.hole_since is not None:
            self.counters.holes += 1
            self._effects.record(HoleFound(symbol, change.hole_since, candle.open_time))
        if symbol in self.account.ledger.positions:
            # On a live market a mark price may be newer than the candle.
            self.account.see(candle, self.market.symbols[symbol].last if self.config.live else candle.close)
        return change

    def _raise(self, reasons: list[tuple[str, WakeReason]]) -> None:
        """Give the wake-up gate reasons to wake, except for symbols under manual control."""
        for symbol, reason in reasons:
            if symbol not in self.executor.manual_control.held:
                self.gate.raise_reason(symbol, reason)

    def _watch(self) -> None:
        if why := self.account.watch():
            self.manager.cancel_entries(why)

    def _on_timer(self, timer: steps.Timer, now: int) -> None:
        self._effects.timers.pop(timer, None)
        match timer:
            case steps.Timer(steps.TimerKind.APPROVAL, str(approval)):
                self.approvals.refuse(approval, "unanswered", "the operator")
            case steps.Timer(steps.TimerKind.CANCEL, OrderRef() as order, times):
                self.guard.on_silence(order, times)
            case steps.Timer(steps.TimerKind.CHASE, str(symbol)):
                self.executor.chased.on_timer(symbol, now)
            case steps.Timer(steps.TimerKind.DAY):
                self.account.open_day(now)
            case steps.Timer(steps.TimerKind.DECISION):
                self.decisions.on_deadline(now)
            case steps.Timer(steps.TimerKind.EXPIRY, OrderRef() as order):
                if (tracked := self.orders.get(order)) is not None:
                    self.manager.cancel(tracked, "it has expired")
            case steps.Timer(steps.TimerKind.POSITIONS):
                self._exits.set_timer(now)
                self._raise(self._exits.check(now))
                if self._live.watch(self.executor.manual_control.held, now):
                    self._wake(now)
            case steps.Timer(steps.TimerKind.PROTECTION, str(symbol)):
                self.guard.on_timer(symbol, now)
            case steps.Timer(steps.TimerKind.RETRY, str(symbol)):
                self.guard.on_retry(symbol, now)

    def _after_decision(self, decision: Decision, decider: str, now: int, *, correction: bool = False) -> Settled:
        """Set the check time and wake conditions of a decision. A correction only changes the ones that it gives."""
        asked, rejected, done = decision.next_check_s, [*decision.unread, *self.learning.unknown_signals(decision)], []
        if asked is not None or not correction:
            check = self.gate.set_timer(now, asked)
            if asked is not None and check != asked:
                bounds = self.config.policies.gate
                allowed = f"the policy allows {bounds.timer_min_s} to {bounds.timer_max_s}"
                fixed = f"next_check_s {asked} has no effect: the policy wakes every {bounds.every}"
                rejected.append(fixed if check is None else f"next_check_s {asked} became {check}: {allowed}")
            elif asked is not None:
                done.append(f"next check in {check} s")
        if decision.wake_conditions is not None:
            refused = self.gate.set_conditions(decision.wake_conditions, decider, now, self._read, self._exposed())
            armed, rejected = len(self.gate.standing(now, self._read)), [*refused, *rejected]
            self._effects.record(WakeConditionsSet(self.decisions.state().last_wake, armed, tuple(rejected)))
            done.append(f"{armed} condition{'' if armed == 1 else 's'} set, in place of all earlier ones")
        return Settled(tuple(done), tuple(rejected))

    def _exposed(self) -> set[str]:
        """Return the symbols with a position that is not being closed, or with an entry that is not being cancelled."""
        held = {symbol for symbol in self.account.ledger.positions if not self.manager.closing(symbol)}
        return held | {each.symbol for each in self.since.resting() if not each.cancelling}

    def state(self) -> bytes:
        """Return the engine's state for a checkpoint."""
        parts = {name: part.state() for name, part in self._parts.items()}
        return write_checkpoint(EngineState(format=ENGINE_FORMAT, counters=self.counters, **parts))

    def restore(self, state: bytes) -> None:
        """Restore a state that `state` returned, in an engine of the same configuration.

        Raises ValueError if another version saved the state; msgspec's errors are ValueErrors.
        """
        saved = read_checkpoint(state)
        for name, part in self._parts.items():
            part.restore(getattr(saved, name))
        self.counters = saved.counters

    def answer(self, request: CallerRequest) -> Answer | None:
        """Return the answer to a caller's request; None if no request with its key came, or its answer was dropped."""
        return self._callers.answer(request)

    def limit_usage(self) -> list[dict[str, str]]:
        """Return how much of each limit is used now."""
        return limit_usage(self.manager, self.decisions.budget, self.now)

    @property
    def now(self) -> int:
        """Engine time (ms) of the last step."""
        return self._time.state()

    def snapshot(self, now: int, wake: tuple[SymbolWake, ...] = ()) -> Snapshot:
        """Return the market and the account at `now` (ms), for a wake or for a caller between two steps."""
        since, happenings = self.since, self.since.happenings
        seen = take_snapshot(
            self.market,
            self.guard,
            wake,
            now,
            sizes=lambda symbol: self.manager.sizes(symbol, now),
            planned=self._planned,
            trades=self.account.trades,
            note=self.decisions.state().note,
            undone=self.decisions.state().undone,
            limits=self._limits,
            since=tuple(happenings.kept),
            since_wake=since.state().wake,
            since_dropped=happenings.dropped,
            note_refused=since.note_refused,
            resting=since.resting(),
            conditions=self.gate.standing(now, self._read),
            next_check_at=self.gate.next_check_at,
        )
        return msgspec.structs.replace(seen, learning=self.learning.view(now, seen))

    def positions(self) -> list[PositionView]:
        """Return the open positions by symbol, as snapshots have them."""
        return [self._planned(view) for view in positions(self.guard)]

    @property
    def data_at(self) -> int | None:
        """The time (ms) of the last market data; None before the first."""
        return self._live.state().data_at if self.config.live else self.counters.last_close_time

    @property
    def degraded(self) -> dict[str, str]:
        """The subjects whose market data cannot be relied on, sorted, each with the reason."""
        return dict(sorted(self.prices.degraded.items()))

    def levels(self) -> PriceLevels:
        """Return the prices around which a live feed has to report every price."""
        return price_levels(self.positions(), self.orders, self.market.prices())

    def _planned(self, view: PositionView) -> PositionView:
        planned = self._exits.planned(view)
        thesis = self.since.thesis(view.symbol)
        return planned if thesis is None else msgspec.structs.replace(planned, thesis=thesis)

    @property
    def timers(self) -> Mapping[steps.Timer, int]:
        """The timers that are set, and the time (ms) at which each is due."""
        return self._effects.timers
