"""Has the model write diary entries on closed trades and on days: each in one call without tools.

The prompt of an entry has facts from the journal as lines of text, and quotes texts by other authors as data.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final, Protocol

import msgspec

from ocw_mcp.adapters.store.views.days import DayPage
from ocw_mcp.adapters.store.views.story import Story
from ocw_mcp.adapters.store.views.trades import TradePage, TradeRow
from ocw_mcp.agent.conversation import MAY_BE_BILLED
from ocw_mcp.agent.memory.diary import Situation, situation
from ocw_mcp.agent.messages import Messages, Request, Trouble, trouble_of
from ocw_mcp.agent.pricing import cost, worst_cost
from ocw_mcp.agent.prompts import Prompts
from ocw_mcp.domain import events
from ocw_mcp.domain.asks import DecisionKey
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.orders import CLAUDE, RULES, OrderRef, Purpose
from ocw_mcp.domain.policies import RulesPolicy
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.time import DAY, day_begins, iso, utc_day
from ocw_mcp.render.quotations import name, quotation
from ocw_mcp.render.text import cents, funding_text, span

LESSON: Final = "Lesson:"
"""Prefix of the last line of a reflection if this line is the lesson."""
MOST_TRADES: Final = 12
"""Largest number of trades in the facts of a day."""
OWN: Final = (CLAUDE, RULES)
"""Deciders whose reasons for a trade are in the facts of the trade."""
MOST_EVENTS: Final = 4_000
"""Largest number of events that are counted for the facts of a day."""
_COUNTED: Final = ("day.opened", "wake.raised", "decision.made", "order.refused", "incident")


class WriterTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The model that writes the diary, and its limits in tokens, time and money."""

    model: str
    max_tokens: int = 1_000
    """Largest number of output tokens of one entry, including thinking."""
    timeout_s: float = 45
    usd_per_day: Decimal = Decimal("0.05")
    """Largest cost (USD) of all entries of a UTC day; the LLM budget of the policies applies, too."""


class Draft(msgspec.Struct, frozen=True):
    """The request for a diary entry, and its worst-case cost (USD)."""

    request: Request
    worst_usd: Decimal


class Written(msgspec.Struct, frozen=True):
    """A written entry and its cost (USD). A failed call has a `trouble` and no text, but may have a cost."""

    text: str
    lesson: str
    cost_usd: Decimal
    trouble: Trouble | None = None


class Writer(msgspec.Struct, frozen=True):
    """Drafts diary entries, and has the model write them."""

    messages: Messages
    prompts: Prompts
    prompts_hash: str
    terms: WriterTerms

    def draft(self, number: int, template: str, facts: Iterable[str], at: int) -> Draft:
        """Return the draft of an entry on `facts`, with its worst-case cost at the model prices of `at` (ms)."""
        terms, prompt = self.terms, self.prompts.fill(template, facts="\n".join(facts))
        turn = {"role": "user", "content": [{"type": "text", "text": prompt}]}
        body = {"model": terms.model, "max_tokens": terms.max_tokens, "messages": [turn]}
        worst = worst_cost(len(msgspec.json.encode(body)), terms.max_tokens, terms.model, at)
        return Draft(Request(number, 0, body), worst)

    async def write(self, draft: Draft, at: int) -> Written:
        """Have the model write an entry in one call without a retry."""
        terms = self.terms
        try:
            async with asyncio.timeout(terms.timeout_s):
                reply = await self.messages.create(draft.request)
        except TimeoutError:
            reply = Trouble(CauseKind.TIMEOUT, f"not within {terms.timeout_s:g} s")
        if isinstance(reply, Trouble):
            billed = reply.may_be_billed or reply.kind in MAY_BE_BILLED
            return Written("", "", draft.worst_usd if billed else ZERO, reply)
        spent = cost(reply.usage, terms.model, at)
        trouble = trouble_of(reply)
        text, lesson = split_lesson(reply.text)
        if trouble is None and (reply.calls or not text):
            trouble = Trouble(CauseKind.MALFORMED, "the model wrote no text")
        return Written("", "", spent, trouble) if trouble is not None else Written(text, lesson, spent)


def split_lesson(text: str) -> tuple[str, str]:
    """Return a reflection and its lesson; a text that is only a lesson is returned as the reflection."""
    *before, last = text.strip().splitlines() or [""]
    if last.startswith(LESSON) and any(line.strip() for line in before):
        return "\n".join(before).strip(), last.removeprefix(LESSON).strip()
    return text.strip().removeprefix(LESSON).strip(), ""


class Past(Protocol):
    """The history of a book, such as `runtime.history.History`. Its methods may raise RequestError."""

    async def trades(self, limit: int, *, since: int, until: int) -> TradePage: ...

    async def story(self, id_: str) -> Story: ...

    async def day(self, day: str, kinds: tuple[str, ...], limit: int) -> DayPage: ...


class TradeFacts(msgspec.Struct, frozen=True):
    """A closed trade, the decision that opened it, and its exit. `mfe` and `mae` are shares of the entry price."""

    trade: TradeRow
    situation: Situation
    """The situation at the time of the decision."""
    wake: int | None
    """The wake of the decision; None if no wake led to the trade."""
    decider: str
    leg: Leg
    """The leg of the decision; a HOLD without text if the model must not see that leg."""
    mfe: float | None = None
    mae: float | None = None
    rule: str = ""
    """The exit rule of the policy file by which the position guard closed the trade; empty for any other exit."""

    def lines(self) -> Iterator[str]:
        """Yield the facts line by line."""
        trade = self.trade
        opened_at, closed_at = trade.opened_at, trade.closed_at
        yield (
            f"trade of order {trade.order}: {name(trade.side)} {name(trade.symbol)}, {iso(opened_at)} to "
            f"{iso(closed_at)}, open for {span(closed_at - opened_at)}"
        )
        entry, exit_ = ("?" if price is None else plain(price) for price in (trade.entry_price, trade.exit_price))
        yield f"quantity {plain(trade.quantity)}, entry {entry}, exit {exit_}, {_result(trade)}"
        mfe, mae = ("?" if share is None else f"{share:+.2%}" for share in (self.mfe, self.mae))
        yield f"best gain (mfe) {mfe}, worst (mae) {mae}"
        rule = f", decided by the guard: {name(self.rule)}" if self.rule else ""
        yield f"closed by {name(trade.closed_by)}{rule}"
        signals = " ".join(f"{signal} {value:+.2f}" for signal, value in self.situation.signals) or "?"
        regime = "?" if self.situation.regime is None else name(self.situation.regime)
        yield f"at the decision: regime {regime}, signals {signals}"
        if self.wake is None:
            yield "no wake: an attached client or the operator traded"
            return
        sure = "" if self.leg.confidence is None else f", confidence {self.leg.confidence:.2f}"
        yield f"decided by {name(self.decider)} at wake {self.wake}{sure}"
        yield quotation("thesis", self.decider, None, self.leg.reasoning)
        yield quotation("signals named", self.decider, None, ", ".join(self.leg.signals))


async def trade_facts(past: Past, trade: TradeRow, rules: RulesPolicy) -> TradeFacts:
    """Return the facts of a trade: the decision that opened it, and its exit. Raises RequestError."""
    story = await past.story(f"order:{trade.order}")
    seen = story.seen
    decider, leg = _carried_out(story, trade)
    then = situation(seen, trade.symbol, rules) if isinstance(seen, Snapshot) else Situation(trade.symbol)
    facts = TradeFacts(trade, then, story.wake_id, decider, leg)
    rule = ""
    for step in story.steps:
        event = step.event
        if isinstance(event, events.ExitDecided) and event.symbol == trade.symbol and step.at >= trade.opened_at:
            rule = event.rule
        elif isinstance(event, events.PositionClosed) and (event.symbol, step.at) == (trade.symbol, trade.closed_at):
            # A stop may have closed the trade before the guard's exit.
            closed_by = rule if trade.closed_by == "exit" else ""
            return msgspec.structs.replace(facts, mfe=event.mfe, mae=event.mae, rule=closed_by)
    return facts


def _carried_out(story: Story, trade: TradeRow) -> tuple[str, Leg]:
    """Return the decider of the order that opened a trade, and its leg: a refused leg of the same wake is none.

    The model would write on the legs of other deciders, and on legs decided after reading text by others, as if they
    were its own: a HOLD without text replaces these.
    """
    hidden, answer, wake_id = Leg(trade.symbol, Action.HOLD), story.answer, story.wake_id
    if answer is None or wake_id is None:
        return "", hidden
    answers = [(DecisionKey(wake_id), answer.decider, answer.decision, answer.tainted)]
    for turn in story.after_answer:
        event = turn.event
        if isinstance(event, events.DecisionCorrected):
            answers.append((DecisionKey(wake_id, "again"), event.decider, event.decision, event.tainted))
        elif isinstance(event, events.DecisionMade):
            answers.append((DecisionKey(wake_id, "rules"), event.decider, event.decision, event.tainted))
    opening = OrderRef(trade.order, Purpose.ENTRY)
    intents = (step.event for step in story.steps if isinstance(step.event, events.OrderIntended))
    sent = next((each.intent.idempotency_key for each in intents if each.ref == opening), None)
    for key, decider, decision, tainted in answers:
        for index, leg in enumerate(decision.legs):
            if str(key.leg(index)) == sent:
                return decider, leg if decider in OWN and not tainted else hidden
    return answer.decider, hidden


async def day_facts(past: Past, day: str) -> Sequence[str] | None:
    """Return the facts of a UTC day as lines; None for a day on which no trade closed. Raises RequestError."""
    begins = day_begins(day)
    trades = await past.trades(MOST_TRADES, since=begins, until=begins + DAY)
    if not trades.found:
        return None
    page = await past.day(day, _COUNTED, MOST_EVENTS)
    happened = [row.event for row in page.events]
    decisions = [event for event in happened if isinstance(event, events.DecisionMade)]
    after = await past.day(utc_day(begins + DAY), ("day.opened",), 1)
    kinds = Counter(type(event) for event in happened)
    decided = Counter(event.decider for event in decisions)
    acted = sum(not event.decision.holds for event in decisions)
    refused = Counter(str(event.refusal.code) for event in happened if isinstance(event, events.OrderRefused))
    return [
        f"day {day}: equity {_opening_equity(page, day)} to {_opening_equity(after, utc_day(begins + DAY))}",
        f"trades closed {trades.found}, {_result(trades)}",
        f"wakes {kinds[events.WakeRaised]}, decided by {_counts(decided)}; with a trade {acted}",
        f"orders refused {_counts(refused)}, incidents {kinds[events.Incident]}",
        *(
            f"trade of order {trade.order}: {name(trade.side)} {name(trade.symbol)} {cents(trade.pnl, signed=True)}, "
            f"open for {span(trade.closed_at - trade.opened_at)}, closed by {name(trade.closed_by)}"
            for trade in reversed(trades.trades)
        ),
    ]


def _result(of: TradeRow | TradePage) -> str:
    return f"pnl {cents(of.pnl, signed=True)} after fees {cents(of.fees)} and {funding_text(of.funding)}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name(kind)} {number}" for kind, number in sorted(counts.items())) or "none"


def _opening_equity(page: DayPage, day: str) -> str:
    opened = (row.event for row in page.events)
    equity = (each.equity for each in opened if isinstance(each, events.DayOpened) and each.day == day)
    return next(map(cents, equity), "?")
