"""`ocw watch`: a book in a terminal, read from its store and drawn every second."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from ocw_mcp.app.cli.lists import decisions_grid, orders_grid, positions_grid
from ocw_mcp.app.cli.operate import approval_text, outlook_lines
from ocw_mcp.app.cli.tables import Column, amounts, gains, grid, money
from ocw_mcp.app.output import STATE_STYLES
from ocw_mcp.app.terminal import keys
from ocw_mcp.app.views.live import EngineSummary, FillRow, LiveSummary, read_live_summary
from ocw_mcp.domain.errors import OcwError
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.state import MARKET_DATA
from ocw_mcp.domain.text import printable
from ocw_mcp.render.text import cents, day_result, lowered_text, moment

EVERY_S = 1.0
QUIT = "q"
ROWS_ONCE = 5
_LINES_AROUND = 18
"""Lines of the screen that are not rows of a list: headers, titles and counters."""


def watch(state: Path, console: Console, *, once: bool, wait: Callable[[float], str] | None = None) -> None:
    """Draw the book until `q` is pressed or a signal arrives; with `once`, or without a terminal, draw it only once.

    `wait` waits for a number of seconds and returns the keys that were pressed. Raises BookError if there is no book
    at the start.
    """
    if once or not console.is_terminal:
        console.print(_screen(state, ROWS_ONCE), crop=False)
        return
    shown: RenderableType = ""
    with suppress(KeyboardInterrupt), _interrupted_by_signals(), keys() as typed:
        shown = last = _screen(state, _rows(console))
        with Live(last, console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
            while True:
                live.update(Group(shown, Text("\nq quits", "dim")), refresh=True)
                if QUIT in (wait or typed)(EVERY_S).lower():
                    break
                try:
                    shown = last = _screen(state, _rows(console))
                except OcwError as error:
                    shown = Group(Text(printable(f"cannot be read now: {error}"), style="red"), last)
    console.print(shown, crop=False)


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """Make each signal that ends a process raise KeyboardInterrupt, so that the terminal is restored."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, signal.default_int_handler)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _screen(state: Path, rows: int) -> RenderableType:
    return Group(*_parts(read_live_summary(state, rows)))


def _rows(console: Console) -> int:
    """Return the number of rows of each of the four lists that fit on the screen."""
    return max(2, min(12, (console.height - _LINES_AROUND) // 4))


def _parts(glance: LiveSummary) -> Iterator[RenderableType]:
    stamp = glance.stamp
    yield Text(
        f"book {glance.book} · {stamp.mode} · {stamp.market.kind} {stamp.product} {', '.join(stamp.market.symbols)}",
        style="bold",
    )
    yield _state(glance)
    if glance.engine is None:
        return
    if glance.engine.prices:
        yield Text(" · ".join(f"{printable(symbol)} {plain(price)}" for symbol, price in glance.engine.prices.items()))
    if glance.engine.outlook is not None and glance.engine.scale is not None:
        yield from (Text(printable(each)) for each in outlook_lines(plain(glance.engine.scale), glance.engine.outlook))
    if glance.engine.lowered is not None:
        lowered = glance.engine.lowered
        ends = "it ends when the data return" if lowered.by == MARKET_DATA else "ocw resume ends it"
        yield Text(f"{glance.engine.state} {lowered_text(lowered)}; {ends}", style="yellow")
    for each in glance.engine.approvals:
        yield Text(approval_text(each), style="yellow")
    if glance.positions:
        yield from ("", positions_grid(glance.positions))
    yield from ("", orders_grid(glance.orders.orders) if glance.orders.orders else "no live order")
    if glance.decisions.decisions:
        yield from ("", decisions_grid(glance.decisions.decisions, short=True))
    if glance.fills:
        yield from ("", _fills_grid(glance.fills))
    yield from ("", _gate(glance, glance.engine))


def _state(glance: LiveSummary) -> Text:
    line = Text(f"engine {'running' if glance.running else 'not running'} · ")
    engine = glance.engine
    if engine is None:
        return line.append("no event yet")
    line.append(engine.state, style=STATE_STYLES.get(engine.state, ""))
    line.append(f" · {moment(engine.at)} UTC · equity {cents(engine.equity)} · {day_result(engine.daily_loss)}")
    if engine.daily_loss_reached:
        line.append(", at its limit: no entries today", style="red")
    line.append("" if glance.positions else " · flat")
    if glance.waiting_commands:
        line.append(f" · {glance.waiting_commands} command(s) waiting", style="yellow")
    return line


def _fills_grid(rows: list[FillRow]) -> RenderableType:
    return grid(
        "Fills",
        Column("order", [row.name for row in rows]),
        Column("at (UTC)", [moment(row.at)[:16] for row in rows]),
        Column("symbol", [printable(row.symbol) for row in rows]),
        Column("side", [row.side for row in rows]),
        Column("quantity", amounts(row.quantity for row in rows), number=True, styles=["cyan"] * len(rows)),
        Column("price", amounts(row.price for row in rows), number=True, styles=["cyan"] * len(rows)),
        Column("fee", money(row.fee for row in rows), number=True),
        gains("realised", [row.realised for row in rows]),
        Column("position", amounts(row.position for row in rows), number=True),
    )


def _gate(glance: LiveSummary, engine: EngineSummary) -> str:
    skips = ", ".join(f"{printable(reason)} {number:,}" for reason, number in engine.skips.items()) or "none"
    return (
        f"gate: {engine.evaluations:,} evaluations on {engine.candles:,} candles, {glance.wakes:,} wakes, "
        f"skipped: {skips}"
        f" · refusals: {len(glance.orders.refusals) + glance.orders.more_refusals:,}"
    )
