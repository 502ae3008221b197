"""The commands that show a book: they only read, and need no running engine."""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocw_mcp.app.cli.options import STATE, BookOption, JsonOption, LimitOption, one_of
from ocw_mcp.app.output import say

if TYPE_CHECKING:
    from rich.console import RenderableType

ROWS = 20


def positions(state: BookOption, as_json: JsonOption = False) -> None:
    """Show the open positions: entry price, mark price, unrealised profit, and the stop of each."""
    from ocw_mcp.adapters.store.reader import ask_book
    from ocw_mcp.adapters.store.views.orders import find_positions
    from ocw_mcp.app.cli import lists

    view = ask_book(state, lambda db, _book: find_positions(db))
    _print(view, lists.positions_text(view), as_json)


def orders(
    state: BookOption,
    all_: Annotated[bool, typer.Option("--all", help="Also show filled, canceled and rejected orders.")] = False,
    limit: LimitOption = ROWS,
    as_json: JsonOption = False,
) -> None:
    """Show the live orders, and each refused order with its limit and the largest size that passes; newest last."""
    from ocw_mcp.adapters.store.reader import ask_book
    from ocw_mcp.adapters.store.views.orders import find_orders
    from ocw_mcp.app.cli import lists

    view = ask_book(state, lambda db, _book: find_orders(db, limit, finished=all_, approvals=True))
    _print(view, lists.orders_text(view), as_json)


def trades(state: BookOption, limit: LimitOption = ROWS, as_json: JsonOption = False) -> None:
    """Show the closed trades, newest last, and their total after fees."""
    from ocw_mcp.adapters.store.reader import ask_book
    from ocw_mcp.adapters.store.views.trades import find_trades
    from ocw_mcp.app.cli import lists

    view = ask_book(state, lambda db, _book: find_trades(db, limit))
    _print(view, lists.trades_text(view), as_json)


def decisions(
    state: BookOption,
    limit: LimitOption = ROWS,
    acted: Annotated[bool, typer.Option("--acted", help="Leave out decisions that are only HOLD.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the decisions with their reasons, newest last."""
    from ocw_mcp.adapters.store.reader import ask_book
    from ocw_mcp.adapters.store.views.decisions import find_decisions
    from ocw_mcp.app.cli import lists

    view = ask_book(state, lambda db, _book: find_decisions(db, limit, acted=acted))
    _print(view, lists.decisions_text(view, acted=acted), as_json)


def explain(
    id_: Annotated[
        str,
        typer.Argument(metavar="ID", help="A wake (12), an order (order:3, 3-e-0, its client id) or a refusal."),
    ],
    state: BookOption,
    as_json: JsonOption = False,
) -> None:
    """Show one wake from its reasons to its last fill: the decision, refusals, orders, fills and outcome."""
    from ocw_mcp.adapters.store.reader import ask_book
    from ocw_mcp.adapters.store.views.story import find_story
    from ocw_mcp.app.cli.story import story_text

    view = ask_book(state, lambda db, book: find_story(db, book, id_))
    _print(view, story_text(view), as_json)


def doctor(
    state: Annotated[
        Path | None,
        typer.Option("--state", envvar=STATE, show_envvar=False, help=f"Also check this book; or set {STATE}."),
    ] = None,
    env: Annotated[Path | None, typer.Option("--env", help="A file of settings, as for ocw run.")] = None,
    policies: Annotated[Path | None, typer.Option("--policies", help="Policies in place of the shipped ones.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check the installation, the settings and a book. Each check is ok, a warning or a problem; a problem exits 1."""
    from ocw_mcp.app.cli.checks import checks_text
    from ocw_mcp.app.views.checks import CheckVerdict, examine

    found = examine(state, env, policies, os.environ)
    sound = all(check.verdict is not CheckVerdict.PROBLEM for check in found)
    _print({"ok": sound, "checks": found}, checks_text(found), as_json)
    if not sound:
        raise typer.Exit(1)


def watch(
    state: BookOption,
    once: Annotated[bool, typer.Option("--once", help="Draw once and exit, as without a terminal.")] = False,
) -> None:
    """Show a book in the terminal and update it every second; q quits. The engine is not affected."""
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
    format_: Annotated[
        str,
        typer.Option(
            "--format", help="csv, or parquet (needs ocw-mcp[parquet]).", autocompletion=one_of("csv", "parquet")
        ),
    ] = "csv",
    output: Annotated[Path | None, typer.Option("--output", help="A file; without it CSV on standard output.")] = None,
) -> None:
    """Write a table of a book for other programs: exact amounts, UTC times with milliseconds, oldest row first."""
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


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (positions, orders, trades, decisions, explain, doctor, watch, export):
        app.command()(command)


def _print(view: Any, text: "Iterable[RenderableType]", as_json: bool) -> None:
    if as_json:
        from ocw_mcp.adapters.store.views import jsonable

        typer.echo(json.dumps(jsonable(view), indent=2, allow_nan=False))
        return
    from ocw_mcp.app.cli.tables import terminal

    console = terminal()
    for part in text:
        console.print(part, crop=False)
