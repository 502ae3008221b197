"""The commands that show, check and export a book: they only read, and need no running engine."""

import os
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from ocw_mcp.app.cli.options import (
    BookOption,
    JsonOption,
    LimitOption,
    group,
    one_of,
    option,
    print_result,
    state_option,
)
from ocw_mcp.app.output import say
from ocw_mcp.app.resources import STATE

if TYPE_CHECKING:
    from rich.console import RenderableType
    from sqlite_utils import Database

    from ocw_mcp.adapters.store.book import StoredBook

_V = TypeVar("_V")
ROWS = 20

journal = group("Check the journal of a book.")


def status(state: BookOption, as_json: JsonOption = False) -> None:
    """Show a book: its state, positions, stops and counters. The command only reads, and needs no running engine."""
    from ocw_mcp.app.cli import operate

    view = operate.status(state)
    print_result(view, [operate.status_text(view)], as_json)


def positions(state: BookOption, as_json: JsonOption = False) -> None:
    """Show the open positions. Each has its entry price, mark price, unrealised profit and stop."""
    from ocw_mcp.adapters.store.views.orders import find_positions
    from ocw_mcp.app.cli.lists import positions_text

    _show(state, lambda db, _book: find_positions(db), positions_text, as_json)


def orders(
    state: BookOption,
    all_: Annotated[bool, option("--all", "Also show filled, canceled and rejected orders.")] = False,
    limit: LimitOption = ROWS,
    as_json: JsonOption = False,
) -> None:
    """Show live and refused orders, newest last. A refusal shows its limit and the largest size that passes."""
    from ocw_mcp.adapters.store.views.orders import find_orders
    from ocw_mcp.app.cli.lists import orders_text

    _show(state, lambda db, _book: find_orders(db, limit, finished=all_, approvals=True), orders_text, as_json)


def trades(state: BookOption, limit: LimitOption = ROWS, as_json: JsonOption = False) -> None:
    """Show the closed trades, newest last, and their total."""
    from ocw_mcp.adapters.store.views.trades import find_trades
    from ocw_mcp.app.cli.lists import trades_text

    _show(state, lambda db, _book: find_trades(db, limit), trades_text, as_json)


def decisions(
    state: BookOption,
    limit: LimitOption = ROWS,
    acted: Annotated[bool, option("--acted", "Leave out decisions that are only HOLD.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the decisions with their reasons, newest last."""
    from ocw_mcp.adapters.store.views.decisions import find_decisions
    from ocw_mcp.app.cli.lists import decisions_text

    text = partial(decisions_text, acted=acted)
    _show(state, lambda db, _book: find_decisions(db, limit, acted=acted), text, as_json)


def explain(
    id_: Annotated[
        str, typer.Argument(metavar="ID", help="A wake (12), an order (order:3, 3-e-0, its client id) or a refusal.")
    ],
    state: BookOption,
    as_json: JsonOption = False,
) -> None:
    """Show one wake from its reasons to its last fill. The page has the decision, refusals, orders and outcome."""
    from ocw_mcp.adapters.store.views.story import find_story
    from ocw_mcp.app.cli.story import story_text

    _show(state, lambda db, book: find_story(db, book, id_), story_text, as_json)


def watch(
    state: BookOption, once: Annotated[bool, option("--once", "Draw once and exit, as without a terminal.")] = False
) -> None:
    """Show a book, updated every second; q quits. Quitting does not stop the engine."""
    from ocw_mcp.app.cli.tables import terminal
    from ocw_mcp.app.cli.watch import watch as draw

    # With FORCE_COLOR a pipe gets colours, but no full-screen display.
    draw(state, terminal(), once=once or not sys.stdout.isatty())


def export(
    table: Annotated[
        str,
        typer.Argument(
            help="trades, equity (at the start of each UTC day, and now), orders or decisions.",
            autocompletion=one_of("trades", "equity", "orders", "decisions"),
        ),
    ],
    state: BookOption,
    format_: Annotated[str, option("--format", "csv, or parquet (needs ocw-mcp[parquet]).", "csv", "parquet")] = "csv",
    output: Annotated[Path | None, option("--output", "A file; without it CSV on standard output.")] = None,
) -> None:
    """Write a table of a book for other programs. Amounts are exact, times are UTC, and the oldest row is first."""
    from ocw_mcp.app import export as exporting
    from ocw_mcp.app.output import working

    exporting.require_export(table, format_, output)
    with working(f"reading {table}"):
        rows = exporting.read_table(state, table)
        data = exporting.encoded(table, rows, format_)
    if output is None:
        typer.echo(data.decode(), nl=False)
        return
    exporting.write(output, data)
    say(f"{len(rows):,} rows of {table} are in {output}", err=True)


def doctor(
    state: Annotated[Path | None, state_option(f"Also check this book; or set {STATE}.")] = None,
    env: Annotated[Path | None, option("--env", "A file of settings, as for ocw run.")] = None,
    policies: Annotated[Path | None, option("--policies", "Policies in place of the shipped ones.")] = None,
    exchange: Annotated[
        bool, option("--exchange", "Also check the exchange of the live market, as for a book that trades on it.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the installation, the settings and a book. Each check is ok, a warning or a problem; a problem exits 1.

    For a book of the live market, the exchange is asked for its time, the symbols, and the weight of requests.
    """
    import msgspec

    from ocw_mcp.app.cli.lists import checks_text
    from ocw_mcp.app.views.checks import examine
    from ocw_mcp.app.views.market_checks import CheckVerdict

    found = examine(state, env, policies, os.environ, exchange=exchange)
    sound = all(check.verdict is not CheckVerdict.PROBLEM for check in found)
    result = {"ok": sound, "checks": msgspec.to_builtins(found)}
    print_result(result, checks_text(found), as_json, soft_wrap=False)
    if not sound:
        raise typer.Exit(1)


@journal.command()
def verify(
    state: BookOption,
    as_json: JsonOption = False,
    head: Annotated[
        str | None, option("--head", "The chain's head that you noted: detects a journal that was cut off.")
    ] = None,
) -> None:
    """Check the journal of a book from its first row. The tables that derive from the journal are checked, too."""
    import msgspec

    from ocw_mcp.adapters.store.reader import verify_book
    from ocw_mcp.app.cli.lists import verification_text
    from ocw_mcp.app.output import working

    with working("checking the journal", quiet=as_json) as show_progress:
        found = verify_book(state, head, lambda rows: show_progress(f"checking the journal: {rows:,} rows"))
    print_result(msgspec.to_builtins(found), [verification_text(found)], as_json)
    if not found.ok:
        raise typer.Exit(1)


def _show(
    state: Path,
    find: "Callable[[Database, StoredBook], _V]",
    text: "Callable[[_V], Iterable[RenderableType]]",
    as_json: bool,
) -> None:
    """Read a view of a book, and print it as text or as JSON."""
    from ocw_mcp.adapters.store.reader import ask_book
    from ocw_mcp.adapters.store.views import jsonable

    view = ask_book(state, find)
    print_result(jsonable(view) if as_json else None, text(view), as_json, soft_wrap=False)


COMMANDS = (status, positions, orders, trades, decisions, explain, watch, export, doctor)
"""The commands of this file that belong to no group, in the order of `ocw --help`."""
