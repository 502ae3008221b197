"""Prints the events of a run for the operator, one line each, and shows the progress of the run on a terminal."""

from collections.abc import Callable
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec
from rich.text import Text

from ocw_mcp.agent.messages import ANSWERED
from ocw_mcp.app.output import STATE_STYLES, StatusLine, gain_style
from ocw_mcp.domain import events
from ocw_mcp.domain.account_events import AccountFound
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.figures import Levels
from ocw_mcp.domain.money import exact, plain
from ocw_mcp.domain.orders import GUARD, RULES, OrderRef, Purpose
from ocw_mcp.domain.outlook_events import RegimeChanged
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.text import printable
from ocw_mcp.domain.time import HOUR, SECOND, iso
from ocw_mcp.render.event_text import event_text
from ocw_mcp.render.quotations import untrusted
from ocw_mcp.render.text import cents, moment

LIMIT = "bold red"
LONGEST_CAUSE = 200
STILL_DECIDES = (*ANSWERED, CauseKind.THROTTLED)
"""Causes for which the rules decide one wake in place of the agent, which still decides other wakes."""

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


class _Closings:
    """Finds why a position closed: its stop, its target, a rule of the guard, a caller, or a fill from outside OCW."""

    def __init__(self) -> None:
        self._rules: dict[str, str] = {}
        self._exits: dict[str, str] = {}
        self._closed: dict[str, str] = {}

    def take(self, event: events.DomainEvent) -> None:
        """Process one event."""
        match event:
            case events.ExitDecided(symbol, rule, why):
                self._rules[symbol] = f"{rule}: {why}"
            case events.OrderIntended(_, intent) if intent.purpose is Purpose.EXIT:
                rule = self._rules.pop(intent.symbol, "") if intent.principal == GUARD else ""
                self._exits[intent.symbol] = rule or f"closed by {intent.principal}"
            case events.OrderFilled(ref=ref, symbol=symbol) if ref.leg is Purpose.EXIT:
                self._closed[symbol] = self._exits.get(symbol, "closed")
            case events.OrderFilled(ref=ref, symbol=symbol, maker=maker) if ref.leg in (Purpose.STOP, Purpose.TARGET):
                # On spot both are one OCO order with the leg of the stop: its target fills as maker, its stop as taker.
                self._closed[symbol] = "its stop" if ref.leg is Purpose.STOP and not maker else "its target"
            case events.OutsideFilled(symbol=symbol, cause=cause):
                self._closed[symbol] = cause

    def why(self, symbol: str) -> str:
        """Return why a position has just closed; empty if no earlier event gave a reason."""
        self._rules.pop(symbol, None)
        self._exits.pop(symbol, None)
        return self._closed.pop(symbol, "")


class _Unasked:
    """Tells the cancels that this book did not ask for, and the refusals to cancel what may not exist."""

    def __init__(self) -> None:
        self._stops: dict[OrderRef, str] = {}
        """The symbol of each live stop that is not being cancelled."""
        self._unknown: set[OrderRef] = set()

    def take(self, event: events.DomainEvent) -> str:
        """Process one event. Return a line on a stop that others cancelled, or the exchange; else empty."""
        match event:
            case events.OrderIntended(ref, intent) if intent.purpose is Purpose.STOP:
                self._stops[ref] = intent.symbol
            case events.OrderUnknown(ref=ref):
                self._unknown.add(ref)
            case events.OrderCanceled(ref=ref, why=why) if ref in self._stops:
                return f"canceled  {ref}, the stop of {self._stops.pop(ref)}, without being asked: {why}"
            case events.OrderCancelRequested(ref=ref) | events.OrderTriggered(ref=ref):
                self._stops.pop(ref, None)
            case events.OrderCanceled(ref=ref) | events.OrderRejected(ref=ref):
                self._stops.pop(ref, None)
                self._unknown.discard(ref)
            case events.PositionClosed(symbol=symbol):
                self._stops = {ref: each for ref, each in self._stops.items() if each != symbol}
        return ""

    def may_not_exist(self, ref: OrderRef) -> bool:
        """Return whether the outcome of an order is unknown, so that a refusal to cancel it says little."""
        return ref in self._unknown


class Narrator:
    """Turns domain events into lines. Wakes with a HOLD decision are counted, and the count is shown once a day."""

    def __init__(self, say: Callable[[Text], None]) -> None:
        self._say = say
        self.lines = 0
        self._held = 0
        self._closings = _Closings()
        self._unasked = _Unasked()
        self._levels: dict[str, Levels] = {}
        self._absent = False
        self._takes_over = False
        """Whether the account was found, and its balance is booked next."""

    def __call__(self, at: int, event: events.DomainEvent) -> None:
        """Print the line of an event, if it has one, with the time `at` (ms)."""
        self._closings.take(event)
        self.show(at, self._unasked.take(event), LIMIT)
        if isinstance(event, events.DecisionMade):
            self.show(at, self._change_of_agent(event), "yellow")
        self.show(at, *self._line(event))

    def _change_of_agent(self, made: events.DecisionMade) -> str:
        """Return a line at the first decision that the agent cannot make, and at the first that it makes again."""
        failure = made.in_its_place
        if failure is not None and not self._absent and failure.kind not in STILL_DECIDES:
            self._absent = True
            return f"agent     cannot decide, the rules do in its place: {untrusted(str(failure), LONGEST_CAUSE)}"
        if failure is None and self._absent and made.decider != RULES and made.decision.answered:
            self._absent = False
            return f"agent     {made.decider} decides again"
        return ""

    def show(self, at: int, line: str, style: str = "") -> None:
        """Print a line with its time (ms); an empty text prints nothing."""
        if line:
            self.lines += 1
            # Reasons come from outside, so they are printed without control characters, line breaks and markup.
            self._say(Text.assemble((f"{moment(at)[:16]}  ", "dim"), (printable(line), style)))

    def waits(self, at: int, task: str, longest_s: float) -> None:
        """Print at `at` (ms) that the run waits for Claude's answer, with the longest wait (s, wall time)."""
        self.show(at, f"waiting   for Claude on {task}, up to {longest_s:g} s", "dim")

    def _line(self, event: events.DomainEvent) -> tuple[str, str]:
        """Return the line of an event and its colour; the line is empty for an event that is not shown."""
        match event:
            case events.DayOpened(day=day, equity=equity):
                held, self._held = self._held, 0
                before = f", {held} wakes were HOLD since the last day" if held else ""
                return f"day       {day} opens with {plain(round(equity, 2))}{before}", "bold"
            case events.DecisionMade(decider=decider, decision=decision):
                legs = [leg for leg in decision.legs if leg.action is not Action.HOLD]
                self._held += not legs
                acts = "; ".join(f"{leg.action} {leg.symbol} ({leg.reasoning})" for leg in legs)
                return f"decision  {decider}: {acts}" if legs else "", ""
            case events.OrderFilled():
                fill = f"{event.side} {plain(event.quantity)} {event.symbol} at {plain(event.price)}"
                return f"fill      {fill}, fee {plain(round(event.fee, 4))}, position {plain(event.position)}", "cyan"
            case events.ApprovalAsked(name, intent, price, expires_at):
                order = f"{intent.side} {plain(intent.quantity)} {intent.symbol} at about {plain(price)}"
                pending = f"{name} is pending until {moment(expires_at)[:16]}: {order}"
                return f"approval  {pending}; ocw approve {name} or ocw deny {name}", "yellow"
            case events.ApprovalEnded(name, outcome, by):
                return f"approval  {name} {outcome} by {by}", ""
            case events.OrderRefused(intent=intent, refusal=refusal):
                word = "approval" if refusal.code is RefusalCode.APPROVAL_REQUIRED else "refused"
                side = "" if intent.action else f"{intent.side} "
                return f"{word:9} {intent.wanted} {side}{intent.symbol}: {refusal}", "yellow"
            case events.OrderRejected(ref=ref, reason=reason, text=text):
                return f"rejected  {ref}: {reason} {text}", "red"
            case events.OrderCanceled(ref=ref, untraded=Decimal() as untraded, limit=Decimal() as limit):
                return f"canceled  {ref}: {plain(untraded)} of it did not trade within its limit of {plain(limit)}", ""
            case events.PositionProtected() | events.ProtectionSet():
                return self._moved(event), ""
            case events.PositionClosed(symbol=symbol, pnl=pnl):
                self._levels.pop(symbol, None)
                why = self._closings.why(symbol)
                made = f"{'+' if pnl >= 0 else ''}{plain(round(pnl, 2))} after fees and funding"
                return f"closed    {symbol}, {made}{f' ({why})' if why else ''}", gain_style(pnl)
            case events.FundingBooked(symbol=symbol, amount=amount, rate=rate, assumed=assumed):
                paid = f"{'received' if amount > 0 else 'paid'} {plain(abs(round(amount, 4)))}"
                rated = "" if rate is None else f" at {plain(rate * 100)}%{', assumed' if assumed else ''}"
                return f"funding   {symbol}: funding {paid}{rated}", "dim"
            case events.OrderCancelRefused(ref=ref, why=why) if not self._unasked.may_not_exist(ref):
                return f"refused   the venue did not cancel {ref}: {why}", "yellow"
            case AccountFound():
                self._takes_over = True
                return f"account   {event_text('', event)}", ""
            case events.TransferBooked() if self._takes_over:
                # The balance with which the book begins.
                self._takes_over = False
            case events.TransferBooked(amount=amount):
                return f"transfer  {cents(amount, signed=True)}: {'into' if amount > 0 else 'out of'} the account", ""
            case events.DailyLossReached(equity=equity, floor=floor):
                return f"limit     daily loss: equity {plain(round(equity, 2))}, limit {plain(round(floor, 2))}", LIMIT
            case events.DrawdownReached(equity=equity, peak=peak):
                return f"limit     drawdown: equity {plain(round(equity, 2))}, peak {plain(round(peak, 2))}", LIMIT
            case events.EntriesPaused(until=until):
                return f"limit     too many losses in a row: no entries until {iso(until)[:16]}", LIMIT
            case events.BudgetSpent(spent_usd=spent, until=until):
                reached = f"LLM cost has reached {plain(spent)} USD"
                return f"budget    {reached}: the rules decide until {iso(until)[:16]}", "yellow"
            case events.StateChanged(before=before_state, after=after_state, why=why):
                return f"state     {before_state} -> {after_state}: {why}", STATE_STYLES[after_state]
            case events.HoleFound(symbol=symbol, since=since, until=until):
                return f"data gap  {symbol} has no candles from {iso(since)} to {iso(until)}", "yellow"
            case events.SymbolEnded(symbol=symbol, last=last):
                return f"ended     {symbol} has no candle after {iso(last)}", ""
            case RegimeChanged() if event.before or event.after:
                return f"regime    {event_text('', event).removeprefix('regime of ')}", ""
            case events.Incident(text=text):
                return f"incident  {text}", LIMIT
        return "", ""

    def _moved(self, event: events.PositionProtected | events.ProtectionSet) -> str:
        """Return the line of a stop or a target that was moved; empty for a trailing stop, which moves often."""
        before = self._levels.get(event.symbol)
        if isinstance(event, events.ProtectionSet):
            self._levels[event.symbol] = Levels(event.stop, event.target, event.trail)
            return f"protect   {event_text('', event, before=before)}"
        self._levels[event.symbol] = msgspec.structs.replace(before or Levels(), stop=event.trigger_price)
        if before is not None and (before.trail is not None or before.stop == event.trigger_price):
            return ""
        return f"stop      {event.symbol}: stop at {plain(event.trigger_price)}"


class RunMoment(NamedTuple):
    """The state of a run between two frames: times in ms, money in quote currency, positions signed in base assets."""

    at: int
    ends_at: int | None
    """The time (ms) at which the run ends; None if that is not known."""
    catching_up: bool
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
        """Return the progress of an unpaced run since the state `first`, which it had at the wall time `began_ms`."""
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
    """Return equity, positions, prices and the numbers of evaluations and wakes in one line."""
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
