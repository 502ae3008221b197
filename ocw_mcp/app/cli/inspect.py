"""The commands that look into a book: they only read, whether an engine runs or not."""

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
    """Show the open positions: what they cost, what they are worth, and the stop each is under."""
    from ocw_mcp.adapters.store.reader import ask_book
    from ocw_mcp.adapters.store.views.positions import find_positions
    from ocw_mcp.app.cli import lists

    view = ask_book(state, lambda db, _book: find_positions(db))
    _print(view, lists.positions_text(view), as_json)


def orders(
    state: BookOption,
    all_: Annotated[bool, typer.Option("--all", help="Also those that are filled, canceled or rejected.")] = False,
    limit: LimitOption = ROWS,
    as_json: JsonOption = False,
) -> None:
    """Show the live orders, and what was refused with its limit and what would have passed; newest last."""
    from ocw_mcp.adapters.store.reader import ask_book
    from ocw_mcp.adapters.store.views.orders import find_orders
    from ocw_mcp.app.cli import lists

    view = ask_book(state, lambda db, _book: find_orders(db, limit, finished=all_, approvals=True))
    _print(view, lists.orders_text(view), as_json)


def trades(state: BookOption, limit: LimitOption = ROWS, as_json: JsonOption = False) -> None:
    """Show the closed trades, newest last, and what all of them came to after fees."""
    from ocw_mcp.adapters.store.reader import ask_book
    from ocw_mcp.adapters.store.views.trades import find_trades
    from ocw_mcp.app.cli import lists

    view = ask_book(state, lambda db, _book: find_trades(db, limit))
    _print(view, lists.trades_text(view), as_json)


def decisions(
    state: BookOption,
    limit: LimitOption = ROWS,
    acted: Annotated[bool, typer.Option("--acted", help="Without those that only held.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what was decided and why, newest last."""
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
    """Tell one wake from its reasons to its last fill: what was decided, refused, sent, filled, and how it ended."""
    from ocw_mcp.adapters.store.reader import ask_book
    from ocw_mcp.adapters.store.views.story import find_story
    from ocw_mcp.app.cli.story import story_text

    view = ask_book(state, lambda db, book: find_story(db, book, id_))
    _print(view, story_text(view), as_json)


def doctor(
    state: Annotated[
        Path | None, typer.Option("--state", envvar=STATE, show_envvar=False, help=f"Check this book, too; or {STATE}.")
    ] = None,
    env: Annotated[Path | None, typer.Option("--env", help="A file of settings, as a run would be given.")] = None,
    policies: Annotated[Path | None, typer.Option("--policies", help="Policies in place of the shipped.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check the installation, the settings and a book: ok, warning or problem, and what to do. 1 where one is."""
    from ocw_mcp.app.cli.checks import checks_text
    from ocw_mcp.app.views.checks import CheckVerdict, examine

    found = examine(state, env, policies, os.environ)
    sound = all(check.verdict is not CheckVerdict.PROBLEM for check in found)
    _print({"ok": sound, "checks": found}, checks_text(found), as_json)
    if not sound:
        raise typer.Exit(1)


def watch(
    state: BookOption,
    once: Annotated[bool, typer.Option("--once", help="Draw one picture and end, as without a terminal.")] = False,
) -> None:
    """Watch a book in the terminal, drawn again every second; q quits. The engine does not notice."""
    from ocw_mcp.app.cli.tables import terminal
    from ocw_mcp.app.cli.watch import watch as draw

    # FORCE_COLOR asks for colours in a pipe, and not for a screen there.
    draw(state, terminal(), once=once or not sys.stdout.isatty())


def export(
    table: Annotated[
        str,
        typer.Argument(
            help="trades, equity (as each UTC day began, and now), orders or decisions.",
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
        from ocw_mcp.adapters.store.views.plain_json import jsonable

        typer.echo(json.dumps(jsonable(view), indent=2, allow_nan=False))
        return
    from ocw_mcp.app.cli.tables import terminal

    console = terminal()
    for part in text:
        console.print(part, crop=False)
