"""`ocw token`: the tokens with which clients use a running engine over HTTP and MCP."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ocw_mcp.app.cli.options import BookOption, JsonOption, home, one_of
from ocw_mcp.app.output import say
from ocw_mcp.domain.errors import BookError, OcwError

tokens = typer.Typer(help="Make, list and revoke tokens for HTTP and MCP.", no_args_is_help=True, rich_markup_mode=None)


@tokens.command("new")
def new_token(
    state: BookOption,
    scope: Annotated[
        str,
        typer.Option(
            "--scope",
            help="read, trade (includes read), or operate (includes trade).",
            autocompletion=one_of("read", "trade", "operate"),
        ),
    ] = "read",
    name: Annotated[str | None, typer.Option("--name", help="The name of its client in orders and logs.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token and print it once: only its hash is stored. A running engine accepts it at once."""
    import time

    from ocw_mcp.adapters.control.tokens import add_token
    from ocw_mcp.adapters.store.directory import prepare

    if not state.is_dir():
        raise BookError(
            f"the state directory {state} does not exist; give the directory of a book, or make one first: "
            f"ocw init --state {state}"
        )
    prepare(state)  # it exists, so this only checks it
    token, row = add_token(state, scope, name, time.time_ns() // 1_000_000)  # noqa: TID251 - a date for people
    if as_json:
        say(json.dumps({"name": row.name, "scope": row.scope, "created_at": row.created_at, "token": token}, indent=2))
        return
    say(f"token {row.name}, scope {row.scope}; it is not shown again:", err=True)
    say(token)


@tokens.command("list")
def list_tokens(state: BookOption, as_json: JsonOption = False) -> None:
    """List the tokens by name and scope; their hashes are not shown."""
    from ocw_mcp.adapters.control.tokens import read_tokens

    rows = read_tokens(state)
    if as_json:
        shown = [{"name": row.name, "scope": row.scope, "created_at": row.created_at} for row in rows]
        say(json.dumps({"tokens": shown}, indent=2))
        return
    if not rows:
        say("there is no token; make one with ocw token new --scope read")
        return
    from rich.table import Table

    from ocw_mcp.app.cli.tables import Clean
    from ocw_mcp.render.text import moment

    table = Table(box=None, title="Tokens", title_justify="left", pad_edge=False)
    for head in ("name", "scope", "made (UTC)"):
        table.add_column(head)
    for row in rows:
        table.add_row(row.name, row.scope, moment(row.created_at)[:16])
    Clean(highlight=False).print(table)


def _names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the token names of the book that begin with the typed text, for shell completion."""
    from ocw_mcp.adapters.control.tokens import read_tokens

    try:
        rows = read_tokens(Path(context.params.get("state") or home()))
    except OcwError:
        return []
    return [row.name for row in rows if row.name.startswith(incomplete)]


@tokens.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(help="As ocw token list shows it.", autocompletion=_names)],
    state: BookOption,
    as_json: JsonOption = False,
) -> None:
    """Revoke a token: a running engine refuses its next request and ends its open streams."""
    from ocw_mcp.adapters.control.tokens import revoke_token

    revoke_token(state, name)
    say(json.dumps({"revoked": name}, indent=2) if as_json else f"token {name} is revoked")
