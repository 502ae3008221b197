"""What the model is told of a closed trade and of a day, before it writes on them. Others' words are marked as data."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from ocw_mcp.adapters.store.views.trades import TradeRow
from ocw_mcp.agent.memory.situations import Situation
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.time import iso
from ocw_mcp.render.quotations import name, quotation
from ocw_mcp.render.text import cents, span


class TradeFacts(msgspec.Struct, frozen=True):
    """A closed trade, why it was made, and how it ended. Excursions are shares of its price."""

    trade: TradeRow
    situation: Situation
    """When it was decided on."""
    wake: int | None = None
    decider: str = ""
    thesis: str = ""
    """In the words of whoever decided."""
    signals: tuple[str, ...] = ()
    """That he named."""
    confidence: float | None = None
    mfe: float | None = None
    mae: float | None = None
    rule: str = ""
    """Of the policy file, by which the guard ended it; none where something else did."""

    def text(self, earlier: Sequence[str] = ()) -> str:
        """The facts, a line each. `earlier` are lines on earlier lessons from like trades."""
        return "\n".join([*self._lines(), *earlier])

    def _lines(self) -> Iterator[str]:
        trade = self.trade
        yield (
            f"trade of order {trade.order}: {name(trade.side)} {name(trade.symbol)}, {iso(trade.opened_at)} to "
            f"{iso(trade.closed_at)}, held {span(trade.closed_at - trade.opened_at)}"
        )
        yield (
            f"quantity {plain(trade.quantity)}, entry {_plain(trade.entry_price)}, exit {_plain(trade.exit_price)}, "
            f"pnl {cents(trade.pnl, signed=True)} after fees {cents(trade.fees)} and funding "
            f"{cents(trade.funding, signed=True)}"
        )
        yield f"went for it at most (mfe) {_percent(self.mfe)}, against it (mae) {_percent(self.mae)}"
        rule = f", decided by the guard: {name(self.rule)}" if self.rule else ""
        yield f"closed by {name(trade.closed_by)}{rule}"
        told = " ".join(f"{signal} {value:+.2f}" for signal, value in self.situation.signals) or "?"
        regime = "?" if self.situation.regime is None else name(self.situation.regime)
        yield f"when it was decided on: regime {regime}, signals {told}"
        if self.wake is None:
            yield "no wake led to it: somebody attached, or a person, traded"
            return
        sure = "" if self.confidence is None else f", confidence {self.confidence:.2f}"
        yield f"decided by {name(self.decider)} at wake {self.wake}{sure}"
        yield quotation("thesis", self.decider, None, self.thesis)
        yield quotation("signals named", self.decider, None, ", ".join(self.signals))


class DayFacts(msgspec.Struct, frozen=True):
    """A UTC day of the desk. Money in quote currency."""

    day: str
    opened_with: Decimal | None
    closed_with: Decimal | None
    """Equity; None where nothing tells it."""
    wakes: int
    decided: Mapping[str, int]
    """How many answers came of whom."""
    acted: int
    """Answers with a leg that is no HOLD."""
    refused: Mapping[str, int]
    """Orders that did not pass, by code."""
    incidents: int
    trades: tuple[TradeRow, ...]
    """The newest of those that were closed, oldest first."""
    closed: int
    pnl: Decimal
    fees: Decimal
    funding: Decimal

    def text(self, reflections: Sequence[str] = ()) -> str:
        """The facts, a line each. `reflections` are lines on what was written of its trades."""
        return "\n".join([*self._lines(), *reflections])

    def _lines(self) -> Iterator[str]:
        yield f"day {self.day}: equity {_cents(self.opened_with)} to {_cents(self.closed_with)}"
        yield (
            f"trades closed {self.closed}, pnl {cents(self.pnl, signed=True)} after fees {cents(self.fees)} and "
            f"funding {cents(self.funding, signed=True)}"
        )
        yield f"wakes {self.wakes}, answers {_counts(self.decided)}, of which acted {self.acted}"
        yield f"orders refused {_counts(self.refused)}, incidents {self.incidents}"
        for trade in self.trades:
            yield (
                f"trade of order {trade.order}: {name(trade.side)} {name(trade.symbol)} "
                f"{cents(trade.pnl, signed=True)}, held {span(trade.closed_at - trade.opened_at)}, closed by "
                f"{name(trade.closed_by)}"
            )


def _plain(value: Decimal | None) -> str:
    return "?" if value is None else plain(value)


def _cents(value: Decimal | None) -> str:
    return "?" if value is None else cents(value)


def _percent(share: float | None) -> str:
    return "?" if share is None else f"{share:+.2%}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name(what)} {number}" for what, number in sorted(counts.items())) or "none"
