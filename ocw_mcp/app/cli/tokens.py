"""`ocw token`: who may come in through the doors of a running engine."""

import time
from typing import Annotated

import typer
from rich.table import Table

from ocw_mcp.adapters.control.tokens import add_token, read_tokens, revoke_token
from ocw_mcp.adapters.store.directory import prepare
from ocw_mcp.app.cli.options import BookOption
from ocw_mcp.app.cli.tables import Clean
from ocw_mcp.app.output import say
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.time import iso

tokens = typer.Typer(
    help="Tokens for HTTP and MCP: made, listed, taken away.", no_args_is_help=True, rich_markup_mode=None
)


@tokens.command("new")
def new_token(
    state: BookOption,
    scope: Annotated[str, typer.Option("--scope", help="read, trade (reads, too), or operate (trades, too).")] = "read",
    name: Annotated[str | None, typer.Option("--name", help="What orders and logs call whoever has it.")] = None,
) -> None:
    """Make a token and print it, this once: only its hash is kept. A running engine knows it at once."""
    if not state.is_dir():
        raise BookError(
            f"the state directory {state} does not exist; give that of a book, or make one first: "
            f"ocw init --state {state}"
        )
    prepare(state)  # it exists, so this only looks
    token, row = add_token(state, scope, name, time.time_ns() // 1_000_000)  # noqa: TID251 - a date for people
    say(f"token {row.name}, scope {row.scope}; it is not shown again:", err=True)
    say(token)


@tokens.command("list")
def list_tokens(state: BookOption) -> None:
    """List the tokens by name; not even their hashes are shown."""
    rows = read_tokens(state)
    if not rows:
        say("there is no token; make one with ocw token new --scope read")
        return
    table = Table(box=None, title="Tokens", title_justify="left", pad_edge=False)
    for head in ("name", "scope", "made (UTC)"):
        table.add_column(head)
    for row in rows:
        table.add_row(row.name, row.scope, iso(row.created_at)[:16].replace("T", " "))
    Clean(highlight=False).print(table)


@tokens.command("revoke")
def revoke(name: Annotated[str, typer.Argument(help="As ocw token list shows it.")], state: BookOption) -> None:
    """Revoke a token: a running engine refuses its next request and ends its open streams."""
    revoke_token(state, name)
    say(f"token {name} is revoked")
