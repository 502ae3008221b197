"""Gathers the facts of trades and days from what a book's store holds."""

from collections import Counter
from decimal import Decimal
from typing import Final, Literal, Protocol

import msgspec

from ocw_mcp.adapters.store.views.days import DayPage
from ocw_mcp.adapters.store.views.story import Story
from ocw_mcp.adapters.store.views.trades import TradePage, TradeRow
from ocw_mcp.agent.memory.facts import DayFacts, TradeFacts
from ocw_mcp.agent.memory.situations import Situation, situation
from ocw_mcp.domain import events
from ocw_mcp.domain.orders import CLAUDE, RULES
from ocw_mcp.domain.policies import RulesPolicy
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.time import DAY, day_begins, utc_day

MOST_TRADES: Final = 12
"""Of a day that are told of one by one."""
OWN: Final = (CLAUDE, RULES)
"""Whose words on a trade are written on."""
MOST_EVENTS: Final = 4_000
"""Of a day that are counted."""
_COUNTED: Final = ("day.opened", "wake.raised", "decision.made", "order.refused", "incident")


class Past(Protocol):
    """Whoever can tell what is over; `runtime.history.History` is one. All of it raises RequestError."""

    async def trades(
        self,
        limit: int,
        *,
        symbol: str | None = None,
        outcome: Literal["won", "lost"] | None = None,
        since: int | None = None,
        until: int | None = None,
        before: int | None = None,
    ) -> TradePage: ...

    async def story(self, id_: str | None) -> Story: ...

    async def day(self, day: str | None, kinds: tuple[str, ...], limit: int, after: int | None = None) -> DayPage: ...


async def trade_facts(past: Past, trade: TradeRow, rules: RulesPolicy) -> TradeFacts:
    """The facts of a trade: its wake's story, and how it ended. Raises RequestError."""
    story = await past.story(f"order:{trade.order}")
    seen = story.seen
    answer = story.answer
    # Others' words are not written on, nor what was written after reading them: an entry would tell them on as its own.
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
            # A stop may have been quicker than the exit that was decided on.
            ended_by = rule if trade.closed_by == "exit" else ""
            return msgspec.structs.replace(facts, mfe=event.mfe, mae=event.mae, rule=ended_by)
    return facts


async def day_facts(past: Past, day: str) -> DayFacts | None:
    """The facts of a UTC day; None where nothing was decided and nothing closed in it. Raises RequestError."""
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
        opened_with=_equity(page, day),
        closed_with=_equity(after, utc_day(begins + DAY)),
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


def _equity(page: DayPage, day: str) -> Decimal | None:
    """With which a day began."""
    opened = (row.event for row in page.events)
    return next((each.equity for each in opened if isinstance(each, events.DayOpened) and each.day == day), None)
