"""The text of `ocw explain`: one wake from its reasons to its last fill, on one page."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ocw_mcp.adapters.store.views.orders import RefusalRow
from ocw_mcp.adapters.store.views.story import FIRST_STEPS, Story, StoryAnswer, StoryTurn
from ocw_mcp.adapters.store.views.trades import OpenTrade, TradeRow
from ocw_mcp.app.cli.lists import order_text, parts_grid, refusal_text
from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Leg
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.text import printable
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.render.event_text import event_text, leg_text, reason_text
from ocw_mcp.render.snapshot_text import compact
from ocw_mcp.render.text import HASH_SHOWN, cents, funding_text, moment, span, usd


def story_text(story: Story) -> Iterator[RenderableType]:
    """Yield the parts of the page on a wake, an order or a refusal."""
    name = "no wake" if story.wake_id is None else f"wake {story.wake_id}"
    only = f", {printable(story.symbol)} only" if story.symbol else ""
    yield Text(f"{name} of book {story.book}{only}", style="bold")
    page = _grid()
    for label, lines in _sections(story):
        page.add_row(label, Text("\n".join(lines)))
    if story.steps:
        page.add_row("happened", _steps(story))
    page.add_row("outcome", Text("\n".join(_outcome(story))))
    yield page
    for trade in story.trades:
        yield ""
        yield from _trade(trade)
    if isinstance(story.seen, Snapshot):
        yield Text(f"\nsnapshot of wake {story.wake_id}", style="bold")
        yield Text("\n".join(printable(line) for line in compact(story.seen).splitlines()))


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def _sections(story: Story) -> Iterator[tuple[str, list[str]]]:
    if story.wake_id is not None:
        yield "woke", [f"{moment(story.woken_at)} UTC", *map(reason_text, story.reasons)]
        missing = f"not stored: {printable(story.seen.reason)}" if isinstance(story.seen, Unknown) else ""
        yield "snapshot", [missing or "at the end of this page"]
        yield "decided", _answer(story.answer, story.symbol)
        for turn in story.after_answer:
            yield "and then", _turn(story, turn)
        if story.cost_usd:
            yield "LLM cost", [f"{usd(story.cost_usd)} for all requests of this wake"]
    if story.asks:
        yield "asked", [f"{moment(each.at)} UTC {event_text(story.book, each.event)}" for each in story.asks]
    if story.refusals:
        yield "refused", list(map(_refusal, story.refusals))


def _refusal(row: RefusalRow) -> str:
    who = f"requested by {printable(row.principal)} under policy {row.policy_hash[:HASH_SHOWN]}"
    return f"{order_text(row)}, {who}\n  {refusal_text(row)}\n  {RefusalCode(row.code).meaning}"


def _answer(answer: StoryAnswer | None, symbol: str | None) -> list[str]:
    if answer is None:
        return ["not yet: there is no answer"]
    paid = f" for {usd(answer.cost_usd)}" if answer.cost_usd else ""
    took = f"after {span(answer.thinking_ms)} of thinking{paid}"
    lines = [f"{moment(answer.at)} UTC by {printable(answer.decider)}, {took}"]
    legs = [leg for leg in answer.decision.legs if symbol in (None, leg.symbol)]
    lines += [_leg(leg) for leg in legs]
    if left := len(answer.decision.legs) - len(legs):
        lines.append(f"and {left} leg(s) on other symbols")
    if not answer.decision.legs:
        lines.append("hold everything")
    if answer.decision.cause is not None:
        lines.append(f"cause: {printable(str(answer.decision.cause))}")
    if answer.decision.note:
        lines.append(f"note to itself: {printable(answer.decision.note)}")
    return lines + [f"-> {printable(each.symbol)} {each.outcome} as {each.id}" for each in answer.came]


def _turn(story: Story, turn: StoryTurn) -> list[str]:
    """Return the lines of an event that follows the agent's first answer, such as a corrected answer."""
    made = turn.event
    if not isinstance(made, events.DecisionMade | events.DecisionCorrected):
        return [event_text(story.book, made)]
    answer = StoryAnswer(turn.at, made.decider, made.thinking_ms, made.decision, made.cost_usd, list(turn.came))
    head = ["corrected the refused legs"] if isinstance(made, events.DecisionCorrected) else []
    return head + _answer(answer, story.symbol)


def _leg(leg: Leg) -> str:
    parts = [leg_text(leg)]
    parts += [f"confidence {leg.confidence:.2f}"] if leg.confidence is not None else []
    parts += [f"signals {', '.join(map(printable, leg.signals))}"] if leg.signals else []
    return "\n  ".join(filter(None, (", ".join(parts), printable(leg.reasoning))))


def _steps(story: Story) -> Table:
    steps, before = _grid(), None
    for number, step in enumerate(story.steps):
        if story.left_out and number == FIRST_STEPS:
            steps.add_row("", f"... {story.left_out:,} more ...")
        # A time is shown once, at the first event of that time.
        text = event_text(story.book, step.event, before=step.before, moves=step.moves)
        steps.add_row("" if step.at == before else moment(step.at), Text(text))
        before = step.at
    return steps


def _trade(trade: TradeRow | OpenTrade) -> Iterator[RenderableType]:
    """Yield a trade: its parts with the reasons of their authors, and how its result is made up."""
    closed = isinstance(trade, TradeRow)
    name = f"trade order:{trade.order}, {trade.side} {printable(trade.symbol)}{'' if closed else ', still open'}"
    yield parts_grid(name, {"": trade.parts}, theses=True)
    if isinstance(trade, TradeRow):
        yield (
            f"result {cents(trade.pnl, signed=True)}: {cents(trade.realised, signed=True)} before fees, "
            f"fees {cents(trade.fees)}, {funding_text(trade.funding)}"
        )


def _outcome(story: Story) -> list[str]:
    """Return the outcome of a wake, one line for each symbol."""
    last: dict[str, str] = {}
    for step in story.steps:
        match step.event:
            case events.OrderFilled(symbol=symbol, position=position):
                last[symbol] = f"position of {plain(position)} {printable(symbol)}, still open"
            case events.ProtectionSet(symbol=symbol):
                last.setdefault(symbol, f"the protection of {printable(symbol)} was changed, still open")
            case events.OrderCanceled(ref=ref) if ref.leg is Purpose.ENTRY:
                last.setdefault(str(ref), f"the entry {ref} was canceled")
            case events.PositionClosed(symbol=symbol, opened_at=opened_at, pnl=pnl):
                held = span(step.at - opened_at)
                last[symbol] = f"{printable(symbol)} closed with {cents(pnl, signed=True)} after fees, held for {held}"
    if not last:
        return ["nothing was filled" if story.steps else "nothing was sent" if story.answer else "open"]
    return list(last.values())
