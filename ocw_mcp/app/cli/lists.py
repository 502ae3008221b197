"""Positions, orders, refusals, trades and decisions of a book, and the checks of `ocw doctor`, as tables."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ocw_mcp.adapters.store.verify import Verification
from ocw_mcp.adapters.store.views.decisions import DecisionRow, DecisionsPage, ThinkingCost
from ocw_mcp.adapters.store.views.orders import ApprovalRow, OrderRow, Orders, PositionRow, Positions, RefusalRow
from ocw_mcp.adapters.store.views.trades import Trades
from ocw_mcp.app.cli.tables import Column, amounts, averages, gains, grid, more
from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.figures import TradePart
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.text import printable
from ocw_mcp.render.event_text import leg_text, part_text
from ocw_mcp.render.text import cents, funding_text, moment, span, usd

if TYPE_CHECKING:
    from ocw_mcp.app.views.market_checks import Check

STATUS = {"partially_filled": "part filled", "cancel_requested": "canceling"}
"""Short forms of order statuses that are too long for a column."""
STATUS_STYLES = {"filled": "cyan", "partially_filled": "cyan", "rejected": "red", "unknown": "yellow"}
CHECK_STYLES = {"problem": "bold red", "warning": "yellow", "ok": "green"}
"""The colour of each verdict of `ocw doctor`, the worst first."""
MOST_PARTS = 24
"""The most parts of one trade in a table."""
SHORT = 36
"""The most characters of a decision that is shown on one line."""


def positions_text(view: Positions) -> Iterator[RenderableType]:
    """Yield the table of open positions, a warning for each without a stop, and the time of the data."""
    if view.at is None:
        yield "no engine has run this book yet; start one with ocw run"
        return
    rows = view.positions
    if rows:
        yield positions_grid(rows)
    for row in rows:
        if not row.protected:
            until = moment(row.unprotected_until)
            yield Text(f"{row.symbol} is UNPROTECTED; the engine closes it at {until} UTC at the latest", "bold red")
    yield f"{'' if rows else 'no open position '}as of {moment(view.at)} UTC, the engine's last summary"


def positions_grid(rows: list[PositionRow]) -> RenderableType:
    """Return only the table of positions."""
    return grid(
        "Positions",
        Column("symbol", [printable(row.symbol) for row in rows]),
        Column("side", ["long" if row.quantity > 0 else "short" for row in rows]),
        Column("quantity", amounts(abs(row.quantity) for row in rows), number=True),
        Column("entry", averages(row.average_price for row in rows), number=True),
        Column("mark", amounts(row.mark for row in rows), number=True),
        gains("unrealised", [row.unrealised for row in rows]),
        Column("stop", _stops(rows), number=True, styles=["" if row.protected else "bold red" for row in rows]),
        *([Column("trail", [_trail(row.trail) for row in rows], number=True)] if any(r.trail for r in rows) else ()),
        *([Column("target", amounts(r.target for r in rows), number=True)] if any(r.target for r in rows) else ()),
        Column("opened (UTC)", [moment(row.opened_at)[:16] for row in rows]),
    )


def orders_text(view: Orders) -> Iterator[RenderableType]:
    """Yield orders, then refusals and approvals, and the number of rows that are not shown."""
    none = "no order is live" if view.finished_left_out else "no order has been sent"
    yield orders_grid(view.orders) if view.orders else none
    yield from more(view.more_orders, "order(s)")
    if view.finished_left_out:
        yield f"{view.finished_left_out:,} finished order(s) are not shown; --all shows them"
    if view.refusals:
        yield ""
        yield _refusals_grid(view.refusals, {each.refusal: each.id for each in view.approvals})
        yield from more(view.more_refusals, "refusal(s)")
    else:
        yield "nothing was refused"
    if view.approvals:
        yield ""
        yield _approvals_grid(view.approvals)


def _approvals_grid(rows: list[ApprovalRow]) -> RenderableType:
    return grid(
        "Approvals",
        Column("approval", [row.id for row in rows]),
        Column("requested (UTC)", [moment(row.at)[:16] for row in rows]),
        Column("order", [order_text(row) for row in rows]),
        Column("answer", [f"{row.outcome}{f' by {printable(row.by)}' if row.by else ''}" for row in rows], wraps=True),
        Column("result", [_approval_result(row) for row in rows]),
        Column("requested by", [printable(row.principal) for row in rows], wraps=True),
    )


def _approval_result(row: ApprovalRow) -> str:
    """Return the order and its status, such as `1-e-0 filled`, or the refusal code of the approved order."""
    status = "" if row.status is None else STATUS.get(row.status, row.status)
    if row.order is not None:
        return f"{row.order} {status}".strip()
    return f"refused: {status}" if status else "-"


def orders_grid(rows: list[OrderRow]) -> RenderableType:
    """Return only the table of orders."""
    return grid(
        "Orders",
        Column("order", [row.name for row in rows]),
        Column("sent (UTC)", [moment(row.at)[:16] for row in rows]),
        Column("symbol", [printable(row.symbol) for row in rows]),
        Column("purpose", [row.purpose for row in rows]),
        Column("side", [row.side for row in rows]),
        Column("quantity", amounts(row.quantity for row in rows), number=True),
        Column("trigger", amounts(row.trigger_price for row in rows), number=True),
        Column(
            "status",
            [STATUS.get(row.status, row.status) for row in rows],
            styles=[STATUS_STYLES.get(row.status, "") for row in rows],
        ),
        Column("price", averages(row.average_price for row in rows), number=True),
        Column("by", [printable(row.principal) for row in rows], wraps=True),
    )


def _refusals_grid(rows: list[RefusalRow], approvals: Mapping[str | None, str]) -> RenderableType:
    return grid(
        "Refused",
        Column("refusal", [row.id for row in rows]),
        Column("at (UTC)", [moment(row.at)[:16] for row in rows]),
        Column("order", [order_text(row) for row in rows]),
        Column(
            "refused for", [_refused_for(row, approvals) for row in rows], wraps=True, styles=["yellow"] * len(rows)
        ),
        Column("by", [printable(row.principal) for row in rows], wraps=True),
    )


def _refused_for(row: RefusalRow, approvals: Mapping[str | None, str]) -> str:
    """Return the reason of a refusal; for an order that needed an approval, a reference to the table of approvals."""
    asked = approvals.get(row.id)
    return refusal_text(row) if asked is None else f"{row.code}: see approval {asked} below"


def order_text(row: RefusalRow | ApprovalRow) -> str:
    """Return a requested order as `entry buy 19.31 SOLUSDT`, or a refused leg without a side as `protect SOLUSDT`."""
    if row.purpose.upper() not in Purpose.__members__:
        return f"{row.purpose} {printable(row.symbol)}"
    quantity = f"{plain(row.quantity)} " if row.quantity else ""
    return f"{row.purpose} {row.side} {quantity}{printable(row.symbol)}"


def refusal_text(row: RefusalRow) -> str:
    """Return the reason of a refusal: code, limit, actual value, and the largest quantity that passes, if any."""
    helps = f", largest {plain(row.largest)}" if row.largest else ""
    return f"{row.code}: limit {printable(row.limit)}, actual {printable(row.actual)}{helps}"


def trades_text(view: Trades) -> Iterator[RenderableType]:
    """Yield the table of trades, and the sums over all of them."""
    rows = view.trades
    if not rows:
        yield "no trade has been closed yet"
        return
    yield grid(
        "Trades",
        Column("order", [str(row.order or "-") for row in rows]),
        Column("closed (UTC)", [moment(row.closed_at)[:16] for row in rows]),
        Column("symbol", [printable(row.symbol) for row in rows]),
        Column("side", [row.side or "-" for row in rows]),
        Column("quantity", amounts(row.quantity for row in rows), number=True),
        Column("entry", averages(row.entry_price for row in rows), number=True),
        Column("exit", averages(row.exit_price for row in rows), number=True),
        Column("held", [span(row.closed_at - row.opened_at) for row in rows]),
        Column("by", [row.closed_by or "-" for row in rows]),
        gains("pnl", [row.pnl for row in rows]),
    )
    in_parts = {str(row.order or "-"): [part for part in row.parts if part.traded] for row in rows if row.in_parts}
    if in_parts:
        yield ""
        yield parts_grid("Parts of trades with several entries or exits", in_parts)
        yield ""
    yield from more(view.more, "trade(s)")
    yield (
        f"all {len(rows) + view.more:,}: {view.won:,} won, {view.lost:,} lost, "
        f"{cents(view.pnl, signed=True)} after fees {cents(view.fees)} and {funding_text(view.funding)}"
    )


def parts_grid(title: str, trades: Mapping[str, Sequence[TradePart]], *, theses: bool = False) -> RenderableType:
    """Return the table of the parts of trades, each trade under the counter of its first order.

    With `theses` there are no counters, and each part has the reason that its author gave.
    """
    shown = [(order, part) for order, parts in trades.items() for part in parts[:MOST_PARTS]]
    rows = [part for _, part in shown]
    left = sum(max(0, len(parts) - MOST_PARTS) for parts in trades.values())
    first = [order if place == 0 or shown[place - 1][0] != order else "" for place, (order, _) in enumerate(shown)]
    why = [": ".join(filter(None, (part_text(each), printable(each.thesis) if theses else ""))) for each in rows]
    counters = [] if theses else [Column("order", first)]
    return grid(
        title + (f" ({left:,} later ones are not shown)" if left else ""),
        *counters,
        Column("at (UTC)", [moment(each.at)[:16] for each in rows]),
        Column("part", ["in" if each.kind == "entry" else "out" for each in rows]),
        Column("share", [f"{each.share:.0%}" for each in rows], number=True),
        Column("quantity", amounts(each.quantity for each in rows), number=True),
        Column("price", averages(each.price for each in rows), number=True),
        gains("before fees", [None if each.kind == "entry" else each.realised for each in rows]),
        Column("why", why, wraps=True),
    )


def decisions_text(view: DecisionsPage, *, acted: bool) -> Iterator[RenderableType]:
    """Yield the table of decisions, the number of older ones, and the LLM cost."""
    if not view.decisions:
        yield "no decision other than HOLD has been made yet" if acted else "no decision has been made yet"
        return
    yield decisions_grid(view.decisions)
    yield from more(view.more, "decision(s)")
    if paid := spent_text(view.thinking):
        yield paid
    yield "ocw explain WAKE shows one from wake to fill" + ("" if acted else "; --acted leaves out HOLD decisions")


def spent_text(spent: ThinkingCost | None) -> str:
    """Return the LLM cost of a day, of its month and in total; empty if the cost is zero or unknown."""
    if spent is None or not spent.total_usd:
        return ""
    today, this_month, all_ = map(usd, (spent.today_usd, spent.this_month_usd, spent.total_usd))
    return f"LLM cost {today} on {spent.day}, {this_month} in that month, {all_} in all"


def decisions_grid(rows: list[DecisionRow], *, short: bool = False) -> RenderableType:
    """Return only the table of decisions; `short` keeps each decision on one line."""
    decided = [_in_short(row) if short else _decided(row) for row in rows]
    costs = [None if row.cost_usd is None else round(row.cost_usd, 4) for row in rows]
    # The column of costs is left out if there are none, as for decisions by the rules.
    paid = [Column("USD", amounts(costs), number=True)] if any(costs) else []
    return grid(
        "Decisions",
        Column("wake", [str(row.wake_id) for row in rows]),
        Column("at (UTC)", [moment(row.at)[:16] for row in rows]),
        Column("by", [printable(row.decider)[:12] for row in rows]),
        Column("took", [span(row.thinking_ms) for row in rows]),
        Column("decision", decided, wraps=not short),
        Column("sent", [str(row.orders) for row in rows], number=True),
        Column("refused", [str(row.refusals) for row in rows], number=True),
        *paid,
    )


def _decided(row: DecisionRow) -> str:
    legs = [leg for leg in row.decision.legs if leg.action is not Action.HOLD]
    if not legs:
        return f"hold: {printable(str(row.decision.cause or row.decision.note)) or 'no cause given'}"
    return "\n".join(": ".join(filter(None, (leg_text(leg), printable(leg.reasoning)))) for leg in legs)


def _in_short(row: DecisionRow) -> str:
    legs = [f"{leg.action} {printable(leg.symbol)}" for leg in row.decision.legs if leg.action is not Action.HOLD]
    text = ", ".join(legs) or _decided(row)
    return text if len(text) <= SHORT else f"{text[: SHORT - 3]}..."


def _stops(rows: list[PositionRow]) -> list[str]:
    return [text if row.protected else "NONE" for text, row in zip(amounts(r.stop for r in rows), rows, strict=True)]


def _trail(trail: Decimal | None) -> str:
    return "-" if trail is None else f"{plain(trail * 100)}%"


def checks_text(checks: "list[Check]") -> Iterator[RenderableType]:
    """Yield the table of checks, an action for each that needs one, and the number of checks by verdict."""
    page = Table.grid(padding=(0, 2, 0, 0))
    page.add_column(no_wrap=True)
    page.add_column(no_wrap=True)
    page.add_column(overflow="fold")
    for check in checks:
        todo = f": {printable(check.todo)}" if check.todo else ""
        if check.expected and check.verdict != "ok":
            todo = f"; expected {printable(check.expected)}{todo}"
        style = CHECK_STYLES[check.verdict]
        page.add_row(Text(check.verdict, style=style), check.name, Text(printable(check.found) + todo))
    yield page
    counts = [sum(check.verdict == verdict for check in checks) for verdict in CHECK_STYLES]
    yield "{} problem(s), {} warning(s), {} ok".format(*counts)


def verification_text(found: Verification) -> str:
    """Return the result of a check of the journal as text."""
    if found.ok:
        return f"the journal is consistent: {found.events} events, head {found.head}"
    problems = (f"  - {problem}" for problem in found.problems)
    todo = "run no engine on this book; restore its whole state directory from one backup, or start another book"
    return "\n".join(["the journal is NOT consistent:", *problems, todo])
