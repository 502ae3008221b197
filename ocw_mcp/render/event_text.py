"""Events of the journal as sentences, for `ocw explain` and for MCP.

A `Quote` renders each text by a model, a client or the venue. In sentences for a model, it replaces the text by a
pointer to a separate quotation.
"""

from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.domain import asks, events
from ocw_mcp.domain.account_events import AccountFound
from ocw_mcp.domain.causes import Cause
from ocw_mcp.domain.decision import Decision, Leg
from ocw_mcp.domain.events import JournalEvent
from ocw_mcp.domain.figures import Levels, TradePart
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.orders import OrderIntent, Purpose
from ocw_mcp.domain.outlook_events import ContextRead, MacroRead, ModelFitted, RegimeChanged
from ocw_mcp.domain.reasons import QUOTING, Refusal
from ocw_mcp.domain.reject_reasons import NOT_SENT_FOR
from ocw_mcp.domain.snapshot import SymbolWake
from ocw_mcp.domain.text import printable
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.render.quotations import Quote, is_name
from ocw_mcp.render.text import HASH_SHOWN, average, cents, funding_text, moment, span, usd

VENUE: Final = "venue"
DECIDER: Final = "decider"
CLIENT: Final = "client"
"""Authors of untrusted texts in events. Names of principals and operators are trusted: the operator chose them."""


def inline(source: str, text: str) -> str:
    """Return the text itself: the `Quote` for sentences that a person reads."""
    return printable(text)


def _named(source: str, text: str, quote: Quote) -> str:
    """Return a name unchanged, and any other text through `quote`."""
    return text if is_name(text) else quote(source, text)


def leg_text(leg: Leg, quote: Quote = inline, quantity: Decimal | None = None) -> str:
    """Return a leg as text: `BUY ETHUSDT 13.5% of equity, stop 2836.82`.

    With `quantity` (base asset) it is `BUY 0.5 ETHUSDT, stop 2836.82` instead.
    """
    symbol = _named(DECIDER, leg.symbol, quote)
    if quantity is not None:
        named = f"{leg.action} {plain(quantity)} {symbol}"
    elif leg.action.adds_risk:
        sizes = {"of equity": leg.size, "of equity at risk": leg.risk}
        given = [f"{_percent(value)} {unit}" for unit, value in sizes.items() if value is not None]
        named = f"{leg.action} {symbol} {' and '.join(given) or 'without a size'}"
    else:
        named = f"{leg.action} {symbol}{'' if leg.share is None else f' {_percent(leg.share)} of the position'}"
    return ", ".join(part for part in (named, _levels(leg.stop, leg.target, leg.trail)) if part)


def taken_text(taken: asks.Taken) -> str:
    """Return a leg as it was carried out: `0.83 = 10.8% of equity, risk 0.31% of equity, stop 2320`.

    A replaced value follows the new one: `stop 2330 (was 2320), trail 2% (was none)`, or `stop 2330 (asked 2330.02)`.
    """
    levels = {"stop": taken.stop, "target": taken.target, "trail": taken.trail}
    asked = "asked" if taken.risk is not None else "was"
    before = {name: f" ({asked} {_level(name, value)})" for name, value in taken.replaced}
    parts = [
        _size(taken) + before.pop("limit", ""),
        "" if taken.risk is None else f"risk {_percent(taken.risk)} of equity",
    ]
    for name, value in levels.items():
        parts += [f"{name} {_level(name, value)}{before.get(name, '')}"] if name in before or value is not None else []
    parts += ["" if taken.leverage is None else f"leverage {taken.leverage}", *taken.changed]
    return ", ".join(part for part in parts if part)


def _size(taken: asks.Taken) -> str:
    """Return the quantity with its price: the worst of an entry, the mark of a closing, the limit of a CANCEL."""
    if taken.quantity is None:
        return ""
    quantity, price = plain(taken.quantity), "an unknown price" if taken.price is None else plain(taken.price)
    if taken.share is None:
        return f"{quantity} at {price}"
    if taken.risk is not None:
        return f"{quantity} = {_percent(taken.share)} of equity, counted at {price}"
    part = "the whole position" if taken.share == 1 else f"{_percent(taken.share)} of the position"
    return f"{quantity} = {part}, mark {price}"


def _level(name: str, value: Decimal | None) -> str:
    """Return a stop, a target, or a trail, which is a share of the price."""
    return "none" if value is None else _percent(value) if name == "trail" else plain(value)


def _percent(share: Decimal) -> str:
    return f"{plain(round(share * 100, 2))}%"


def _levels(stop: Decimal | None, target: Decimal | None, trail: Decimal | None) -> str:
    """Return the given values of a protection: `stop 2300, target 2500, trailing 2%`."""
    prices = {"stop": stop, "target": target}
    texts = [f"{name} {plain(price)}" for name, price in prices.items() if price is not None]
    return ", ".join([*texts, *([] if trail is None else [f"trailing {_percent(trail)}"])])


def part_text(part: TradePart) -> str:
    """Return why a part of a trade was traded, and by whom: `REDUCE by claude at wake 12`, `stop`."""
    at = f" at wake {part.wake_id}" if part.wake_id is not None else ""
    by = f" by {printable(part.by)}" if part.by and part.reason not in ("stop", "target", part.by) else ""
    return f"{printable(part.reason)}{by}{at}"


def part_line(part: TradePart) -> str:
    """Return a part of a trade in one line: `out 50% at 143.1 +15.20: REDUCE by claude at wake 12`."""
    price = "" if part.price is None else f" at {plain(average(part.price))}"
    result = "" if part.kind == "entry" else f" {cents(part.realised, signed=True)}"
    return f"{'in' if part.kind == 'entry' else 'out'} {part.share:.0%}{price}{result}: {part_text(part)}"


def _moved(before: Levels, after: Levels) -> str:
    """Return the differences between two protections: `stop 138 -> 139, target 150 -> 152`."""
    levels = {"stop": (before.stop, after.stop), "target": (before.target, after.target)}
    texts = [
        f"{name} {'' if old is None else f'{plain(old)} -> '}{plain(new)}"
        for name, (old, new) in levels.items()
        if new is not None and new != old
    ]
    if after.trail is not None and after.trail != before.trail:
        texts.append(f"trailing {_percent(after.trail)}")
    return ", ".join(texts)


def event_text(
    book: str, event: JournalEvent, quote: Quote = inline, before: Levels | None = None, moves: int = 1
) -> str:
    """Return a journal event of a book as one line of text.

    `before` is the protection before an event that sets a stop or a target; `moves` is the number of moves of a
    trailing stop of which the event is the last one.
    """
    return (
        _order_text(book, event, quote)
        or _position_text(event, before, moves)
        or _decision_text(event, quote)
        or _run_text(event, quote)
        or _outlook_text(event)
        or _fields_text(event)
    )


def _order_text(book: str, event: JournalEvent, quote: Quote) -> str:
    """Return an event of an order as one line of text; empty for any other event."""
    match event:
        case events.OrderIntended(ref, intent, policy_hash):
            return f"order {ref.client_id(book)}: {_intent(intent, quote)}; policy {policy_hash[:HASH_SHOWN]}"
        case events.OrderRefused(intent, refusal):
            what = f"{intent.wanted} of {_named(DECIDER, intent.symbol, quote)}"
            return f"refused {what}: {refusal_text(refusal, quote)}"
        case events.OrderAccepted(ref, venue_order_id):
            return f"{ref} accepted by the venue as {_named(VENUE, venue_order_id, quote)}"
        case events.EntryContinued(ref, previous, first):
            return f"{ref} takes the place of {previous}" + (f" in the entry {first}" if first != previous else "")
        case events.EntryLapsed(ref, left, why):
            return f"the entry of {ref} ended, {plain(left)} of it unfilled: {printable(why)}"
        case events.OrderRejected(ref, reason, text):
            if reason in NOT_SENT_FOR:
                return f"{ref} was not sent: {printable(text)}"
            return f"{ref} rejected by the venue with {reason} ({reason.meaning}): {quote(VENUE, text)}"
        case events.OrderTriggered(ref, venue_order_id):
            return f"{ref} triggered, and trades at the venue as {_named(VENUE, venue_order_id, quote)}"
        case events.OrderCancelRefused(ref, why):
            return f"{ref} was not cancelled by the venue: {quote(VENUE, why)}"
        case events.OrderUnknown(ref, why):
            return f"the outcome of {ref} is unknown: {quote(VENUE, why)}; its budget stays reserved"
        case events.OrderCancelRequested(ref, why):
            return f"cancel of {ref} requested: {printable(why)}"
        case events.OrderCanceled(ref, why, untraded, limit):
            missed = ""
            if untraded is not None and limit is not None:
                missed = f"; {plain(untraded)} did not fill within the limit price {plain(limit)}"
            return f"{ref} canceled: {_named(VENUE, why, quote)}{missed}"
        case events.OrderFilled():
            realised = f", realised {cents(event.realised, signed=True)} before fees" if event.realised else ""
            return (
                f"{event.ref} filled: {event.side} {plain(event.quantity)} {printable(event.symbol)} at "
                f"{plain(event.price)}, fee {plain(round(event.fee, 4))}{realised}; position {plain(event.position)}"
            )
    return ""


def _position_text(event: JournalEvent, before: Levels | None, moves: int) -> str:
    """Return an event of a position as one line of text; empty for any other event."""
    match event:
        case events.PositionUnprotected(symbol, deadline):
            return f"{printable(symbol)} waits for a stop; without one it is closed at {moment(deadline)[11:]}"
        case events.PositionProtected(symbol, stop, trigger):
            if before is None or before.stop is None or before.stop == trigger:
                return f"{printable(symbol)} is protected by stop {stop} at {plain(trigger)}"
            how = "by the guard" if before.trail is None else "trailing" if moves == 1 else f"in {moves} trailing moves"
            return f"{printable(symbol)} stop {plain(before.stop)} -> {plain(trigger)} {how}"
        case events.ProtectionSet(symbol, by, stop, target, trail, wake_id):
            moved = "" if before is None else _moved(before, Levels(stop, target, trail))
            who = f"by {printable(by)}{'' if wake_id is None else f' at wake {wake_id}'}"
            return f"{printable(symbol)} {moved or _levels(stop, target, trail)} {who}"
        case events.PositionClosed(symbol, _, pnl, fees, funding):
            funded = f" and {funding_text(funding)}" if funding else ""
            return f"{printable(symbol)} closed: {cents(pnl, signed=True)} after fees {cents(fees)}{funded}"
        case events.FundingBooked(symbol=symbol, amount=amount, rate=rate, assumed=assumed):
            at = " at an assumed rate" if assumed else "" if rate is None else f" at a rate of {rate:.4%}"
            return f"{printable(symbol)} {funding_text(amount)}{at}"
        case events.ExitDecided(symbol, rule, why):
            return f"exit rule {printable(rule)} closes {printable(symbol)}: {printable(why)}"
        case events.ScoreTaken(symbol, score, band, worst):
            part = printable(worst.replace("_", " "))
            return f"score against holding {printable(symbol)} {score:.2f}, {printable(band)}; largest part: {part}"
        case events.OutsideFilled():
            what = f"{event.side} {plain(event.quantity)} {printable(event.symbol)} at {plain(event.price)}"
            realised = cents(event.realised, signed=True)
            return f"{printable(event.cause)}: {what}, realised {realised}; position {plain(event.position)}"
    return ""


def _decision_text(event: JournalEvent, quote: Quote) -> str:
    """Return an event of a wake or a decision as one line of text; empty for any other event."""
    match event:
        case events.DecisionDiscarded(_, why, cost):
            return f"an answer{_paid(cost)} was discarded: {printable(why)}"
        case events.WakeConditionsSet(_, armed, _, ended) if ended:
            return f"wake conditions ended with the position: {printable('; '.join(ended))}; {armed} left"
        case events.WakeConditionsSet(_, armed, refused):
            wrong = f"; not taken: {'; '.join(quote(DECIDER, each) for each in refused)}" if refused else ""
            return f"{armed} wake condition(s) set{wrong}"
        case events.WakeRaised(wake_id, reasons):
            return f"wake {wake_id}: {'; '.join(reason_text(each, quote) for each in reasons)}"
        case events.DecisionMade(wake_id, decider, thinking_ms, decision, cost):
            cause = f" ({cause_text(decision.cause, quote)})" if decision.cause is not None else ""
            after = f"after {span(thinking_ms)}{_paid(cost)}"
            return f"{printable(decider)} decided on wake {wake_id} {after}: {_legs(decision, quote)}{cause}"
        case events.DecisionEnded(wake_id, cause, cost):
            why = f": {cause_text(cause, quote)}" if cause is not None else ""
            return f"wake {wake_id} ended{_paid(cost)}{why}"
        case events.DecisionCorrected(wake_id, decider, decision, _, cost):
            return f"{printable(decider)} corrected wake {wake_id}{_paid(cost)}: {_legs(decision, quote)}"
        case events.BudgetSpent(spent, until):
            return f"LLM cost reached {plain(spent)} USD; the rules decide until {moment(until)}"
    return ""


def _run_text(event: JournalEvent, quote: Quote) -> str:
    """Return an event of the run, its account or its callers as one line of text; empty for any other event."""
    match event:
        case events.StateChanged(state, became, why):
            return f"trading state {state} -> {became}: {printable(why)}"
        case events.CommandTaken(verb=verb, by=by, subject=subject):
            return f"command {printable(verb)}{f' {printable(subject)}' if subject else ''} by {printable(by)}"
        case events.DayOpened(day, equity):
            return f"day {day} opened with equity {cents(equity)}"
        case events.RunStarted(version, agent) | events.RunResumed(version, agent):
            verb = "started" if isinstance(event, events.RunStarted) else "resumed"
            return f"run {verb}, version {printable(version)}, agent {printable(agent)}"
        case events.RunStopped(why):
            return f"run stopped: {printable(why)}"
        case events.CheckpointSaved():
            return "checkpoint saved"
        case AccountFound(balances=balances, positions=positions, orders=orders):
            totals = ", ".join(f"{plain(each.total)} {printable(each.asset)}" for each in balances) or "no balance"
            return f"the account was taken over: {totals}; {len(positions)} position(s), {len(orders)} order(s)"
        case events.TransferBooked(amount=amount):
            return f"transfer of {cents(amount, signed=True)}"
        case events.CallerAsked(request=request):
            return f"{printable(request.principal)} requested: {_requested(request, quote)}"
        case events.RequestRefused(refusal=refusal):
            return f"request refused: {refusal_text(refusal, quote)}"
        case events.ApprovalAsked(name, intent, price, expires_at):
            until = moment(expires_at)
            return f"{name} waits for approval until {until}: {_intent(intent, quote)}, mark {plain(price)}"
        case events.ApprovalEnded(name, outcome, by):
            return f"{name} {printable(outcome)} by {printable(by)}"
        case events.SymbolEnded(symbol, last):
            return f"the market of {printable(symbol)} ended; its last candle closed at {moment(last)}"
        case events.Incident(text):
            return f"incident: {printable(text)}"
    return ""


def _outlook_text(event: JournalEvent) -> str:
    """Return an event about the market as a whole as one line of text; empty for any other event."""
    match event:
        case ModelFitted(symbol, at, found, failed):
            if isinstance(found, Unknown):
                word = "the fit failed" if failed else "the days give no model"
                return f"regime of {printable(symbol)}: {word} at {moment(at)}: {printable(found.reason)}"
            states = f"{found.model.states} states from {found.rows} days"
            return f"regime of {printable(symbol)}: a model of {states} fitted at {moment(at)}"
        case RegimeChanged(symbol, before, after, why):
            reason = f": {printable(why)}" if why else ""
            return f"regime of {printable(symbol)}: {before or 'unknown'} -> {after or 'unknown'}{reason}"
        case MacroRead(reading):
            if isinstance(reading, Unknown):
                return f"macro regime unknown: {printable(reading.reason)}"
            values = f"growth {reading.growth:+.2f}, inflation {reading.inflation:+.2f}"
            return f"macro regime {reading.quadrant}: {values}, published until {moment(reading.as_of)}"
        case ContextRead(items):
            sources = dict.fromkeys(printable(each.source) for each in items)
            return f"{len(items)} report(s) from {', '.join(sources)}"
    return ""


def _fields_text(event: JournalEvent) -> str:
    """Return any event as its kind and its fields."""
    fields = msgspec.to_builtins(event, builtin_types=(Decimal,))
    kind = fields.pop("kind")
    texts = {key: plain(value) if isinstance(value, Decimal) else str(value) for key, value in fields.items()}
    return " ".join([kind, *(f"{key}={printable(text)}" for key, text in texts.items())])


def _paid(cost_usd: Decimal) -> str:
    return f" for {usd(cost_usd)}" if cost_usd else ""


def cause_text(cause: Cause, quote: Quote = inline, by: str = DECIDER) -> str:
    """Return a cause in plain words; `quote` renders its detail, since a model or an error may have written it."""
    return cause.text(quote(by, cause.detail) if cause.detail else "")


def _legs(decision: Decision, quote: Quote) -> str:
    return "; ".join(leg_text(leg, quote) for leg in decision.legs) or "hold everything"


def reason_text(wake: SymbolWake, quote: Quote = inline) -> str:
    """Return why a symbol woke the decider: `BTCUSDT: close:1h, condition:price gt 60000, now 60010 (remark)`."""
    parts = [
        f"{printable(str(each))} ({quote(each.remark.by, each.remark.text)})" if each.remark else printable(str(each))
        for each in wake.reasons
    ]
    return f"{printable(wake.symbol)}: {', '.join(parts)}" if wake.symbol else ", ".join(parts)


def refusal_text(refusal: Refusal, quote: Quote = inline, author: str = DECIDER) -> str:
    """Return a refusal as text; `quote` renders its `actual` value if `author` wrote that value."""
    actual = _named(author, refusal.actual, quote) if refusal.code in QUOTING else printable(refusal.actual)
    return refusal.text(printable(refusal.limit), actual)


def _requested(request: asks.CallerRequest, quote: Quote) -> str:
    match request:
        case asks.LegRequest(leg=leg, quantity=quantity):
            return leg_text(leg, lambda _, text: quote(CLIENT, text), quantity) + _why(leg.reasoning, quote)
        case asks.HaltRequest(why=why):
            return f"halt{_why(why, quote)}"
        case asks.NoteRequest(text=text):
            return f"note{_why(text, quote)}"
        case asks.ConsentRequest(approval=approval, yes=yes):
            return f"{'approve' if yes else 'deny'} {quote(CLIENT, approval)}, answered by the person at the client"
        case asks.SubmitRequest(wake_id=wake_id, decision=decision):
            return f"on wake {wake_id}: {_legs(decision, quote)}"
        case asks.CloseRequest(symbol=symbol, why=why):
            return f"close {_named(CLIENT, symbol, quote)}{_why(why, quote)}"
        case asks.CancelRequest(ref=ref):
            return f"cancel {ref}"
        case asks.ProtectionRequest(symbol=symbol, stop=stop, target=target, trail=trail):
            return f"{_levels(stop, target, trail) or 'no stop and no target'} for {_named(CLIENT, symbol, quote)}"


def _why(text: str, quote: Quote) -> str:
    return f": {quote(CLIENT, text)}" if text else ""


def _intent(intent: OrderIntent, quote: Quote) -> str:
    symbol = _named(DECIDER, intent.symbol, quote)
    text = f"{intent.purpose.name.lower()} {intent.side} {plain(intent.quantity)} {symbol}"
    if intent.trigger_price is not None:
        text += f", triggers at {plain(intent.trigger_price)}"
    if intent.close_position:
        text += " and closes the whole position"
    if intent.purpose is Purpose.ENTRY and intent.protect_at is not None:
        text += f" with stop at {plain(intent.protect_at)}"
        text += f" and target at {plain(intent.target_at)}" if intent.target_at is not None else ""
    text += f", requested by {printable(intent.principal)}"
    return text + (f" at wake {intent.wake_id}" if intent.wake_id is not None else "")
