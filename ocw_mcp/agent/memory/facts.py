"""The facts of a closed trade and of a day, gathered from the store, as text for the model that writes on them.

Text of others is quoted as data.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final, Protocol

import msgspec

from ocw_mcp.adapters.store.views.days import DayPage
from ocw_mcp.adapters.store.views.story import Story
from ocw_mcp.adapters.store.views.trades import TradePage, TradeRow
from ocw_mcp.agent.memory.situations import Situation, situation
from ocw_mcp.domain import events
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.orders import CLAUDE, RULES
from ocw_mcp.domain.policies import RulesPolicy
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.time import DAY, day_begins, iso, utc_day
from ocw_mcp.render.quotations import name, quotation
from ocw_mcp.render.text import cents, funding_text, span

MOST_TRADES: Final = 12
"""Trades of a day that are listed."""
OWN: Final = (CLAUDE, RULES)
"""Deciders whose words on a trade are given to the model."""
MOST_EVENTS: Final = 4_000
"""Events of a day that are counted."""
_COUNTED: Final = ("day.opened", "wake.raised", "decision.made", "order.refused", "incident")


class TradeFacts(msgspec.Struct, frozen=True):
    """A closed trade, the decision behind it, and how it ended. Excursions are shares of its price."""

    trade: TradeRow
    situation: Situation
    """At the time of the decision."""
    wake: int | None = None
    decider: str = ""
    thesis: str = ""
    """In the words of the decider."""
    signals: tuple[str, ...] = ()
    """Named by the decider."""
    confidence: float | None = None
    mfe: float | None = None
    mae: float | None = None
    rule: str = ""
    """The rule of the policy file by which the guard closed the trade; empty if something else closed it."""

    def text(self, earlier: Sequence[str] = ()) -> str:
        """Return the facts line by line. `earlier` are lines on the lessons of similar trades."""
        return "\n".join([*self._lines(), *earlier])

    def _lines(self) -> Iterator[str]:
        trade = self.trade
        yield (
            f"trade of order {trade.order}: {name(trade.side)} {name(trade.symbol)}, {iso(trade.opened_at)} to "
            f"{iso(trade.closed_at)}, open for {span(trade.closed_at - trade.opened_at)}"
        )
        yield (
            f"quantity {plain(trade.quantity)}, entry {_plain(trade.entry_price)}, exit {_plain(trade.exit_price)}, "
            f"pnl {cents(trade.pnl, signed=True)} after fees {cents(trade.fees)} and "
            f"{funding_text(trade.funding)}"
        )
        yield f"best gain (mfe) {_percent(self.mfe)}, worst (mae) {_percent(self.mae)}"
        rule = f", decided by the guard: {name(self.rule)}" if self.rule else ""
        yield f"closed by {name(trade.closed_by)}{rule}"
        signals = " ".join(f"{signal} {value:+.2f}" for signal, value in self.situation.signals) or "?"
        regime = "?" if self.situation.regime is None else name(self.situation.regime)
        yield f"at the decision: regime {regime}, signals {signals}"
        if self.wake is None:
            yield "no wake: an attached client or the operator traded"
            return
        sure = "" if self.confidence is None else f", confidence {self.confidence:.2f}"
        yield f"decided by {name(self.decider)} at wake {self.wake}{sure}"
        yield quotation("thesis", self.decider, None, self.thesis)
        yield quotation("signals named", self.decider, None, ", ".join(self.signals))


class DayFacts(msgspec.Struct, frozen=True):
    """A UTC day of the book. Money in quote currency."""

    day: str
    opened_with: Decimal | None
    closed_with: Decimal | None
    """Equity; None if it is not known."""
    wakes: int
    decided: Mapping[str, int]
    """Number of decisions by decider."""
    acted: int
    """Decisions with a leg other than HOLD."""
    refused: Mapping[str, int]
    """Number of refused orders by code."""
    incidents: int
    trades: tuple[TradeRow, ...]
    """The newest closed trades, oldest first."""
    closed: int
    pnl: Decimal
    fees: Decimal
    funding: Decimal

    def text(self, reflections: Sequence[str] = ()) -> str:
        """Return the facts line by line. `reflections` are lines on the reflections on the day's trades."""
        return "\n".join([*self._lines(), *reflections])

    def _lines(self) -> Iterator[str]:
        yield f"day {self.day}: equity {_cents(self.opened_with)} to {_cents(self.closed_with)}"
        yield (
            f"trades closed {self.closed}, pnl {cents(self.pnl, signed=True)} after fees {cents(self.fees)} and "
            f"{funding_text(self.funding)}"
        )
        yield f"wakes {self.wakes}, decided by {_counts(self.decided)}; with a trade {self.acted}"
        yield f"orders refused {_counts(self.refused)}, incidents {self.incidents}"
        for trade in self.trades:
            yield (
                f"trade of order {trade.order}: {name(trade.side)} {name(trade.symbol)} "
                f"{cents(trade.pnl, signed=True)}, open for {span(trade.closed_at - trade.opened_at)}, closed by "
                f"{name(trade.closed_by)}"
            )


def _plain(value: Decimal | None) -> str:
    return "?" if value is None else plain(value)


def _cents(value: Decimal | None) -> str:
    return "?" if value is None else cents(value)


def _percent(share: float | None) -> str:
    return "?" if share is None else f"{share:+.2%}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name(kind)} {number}" for kind, number in sorted(counts.items())) or "none"


class Past(Protocol):
    """The history of a book, such as `runtime.history.History`. All methods raise RequestError."""

    async def trades(self, limit: int, *, since: int, until: int) -> TradePage: ...

    async def story(self, id_: str) -> Story: ...

    async def day(self, day: str, kinds: tuple[str, ...], limit: int) -> DayPage: ...


async def trade_facts(past: Past, trade: TradeRow, rules: RulesPolicy) -> TradeFacts:
    """Return the facts of a trade: its decision, and how it ended. Raises RequestError."""
    story = await past.story(f"order:{trade.order}")
    seen = story.seen
    answer = story.answer
    # Legs of other deciders, and legs decided after reading text of others, are left out: the model would write on them
    # as if they were its own.
    legs = answer.decision.legs if answer is not None and answer.decider in OWN and not answer.tainted else ()
    leg = next((leg for leg in legs if leg.symbol == trade.symbol), None)
    facts = TradeFacts(
        trade,
        situation(seen, trade.symbol, rules) if isinstance(seen, Snapshot) else Situation(trade.symbol),
        wake=story.wake_id,
        decider=answer.decider if answer is not None else "",
        thesis=leg.reasoning if leg is not None else "",
        signals=leg.signals if leg is not None else (),
        confidence=leg.confidence if leg is not None else None,
    )
    return _with_ending(facts, story)


def _with_ending(facts: TradeFacts, story: Story) -> TradeFacts:
    trade, rule = facts.trade, ""
    for step in story.steps:
        event = step.event
        if isinstance(event, events.ExitDecided) and event.symbol == trade.symbol and step.at >= trade.opened_at:
            rule = event.rule
        elif isinstance(event, events.PositionClosed) and (event.symbol, step.at) == (trade.symbol, trade.closed_at):
            # A stop may have closed the trade before the guard's exit.
            closed_by = rule if trade.closed_by == "exit" else ""
            return msgspec.structs.replace(facts, mfe=event.mfe, mae=event.mae, rule=closed_by)
    return facts


async def day_facts(past: Past, day: str) -> DayFacts | None:
    """Return the facts of a UTC day; None for a day without a decision and a closed trade. Raises RequestError."""
    begins = day_begins(day)
    page = await past.day(day, _COUNTED, MOST_EVENTS)
    happened = [row.event for row in page.events]
    decisions = [event for event in happened if isinstance(event, events.DecisionMade)]
    trades = await past.trades(MOST_TRADES, since=begins, until=begins + DAY)
    if not decisions and not trades.found:
        return None
    after = await past.day(utc_day(begins + DAY), ("day.opened",), 1)
    return DayFacts(
        day=day,
        opened_with=_opening_equity(page, day),
        closed_with=_opening_equity(after, utc_day(begins + DAY)),
        wakes=sum(isinstance(event, events.WakeRaised) for event in happened),
        decided=Counter(event.decider for event in decisions),
        acted=sum(not event.decision.holds for event in decisions),
        refused=Counter(str(event.refusal.code) for event in happened if isinstance(event, events.OrderRefused)),
        incidents=sum(isinstance(event, events.Incident) for event in happened),
        trades=tuple(reversed(trades.trades)),
        closed=trades.found,
        pnl=trades.pnl,
        fees=trades.fees,
        funding=trades.funding,
    )


def _opening_equity(page: DayPage, day: str) -> Decimal | None:
    opened = (row.event for row in page.events)
    return next((each.equity for each in opened if isinstance(each, events.DayOpened) and each.day == day), None)
