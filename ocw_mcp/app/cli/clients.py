"""Commands for clients of a book: the MCP server, its registration with clients, and tokens for HTTP and MCP.

`ocw mcp` is started by Claude Desktop and Claude Code, which wait for its list of tools: this file imports little.
"""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocw_mcp import __version__
from ocw_mcp.app.cli.control import require_directory
from ocw_mcp.app.cli.options import BookOption, JsonOption, group, option, print_json, print_result, state_option
from ocw_mcp.app.output import say
from ocw_mcp.app.resources import STATE, home
from ocw_mcp.domain.errors import OcwError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ocw_mcp.adapters.control.tokens import TokenRow

install = group("Register OCW with Claude Desktop, Claude Code and others.")
tokens = group("Make, list and revoke tokens for HTTP and MCP.")

_TOOLSETS = ("market", "account", "history", "trade")
ReadOnlyOption = Annotated[bool, option("--read-only", "Offer no tool that changes anything.")]
MarketOption = Annotated[
    str,
    option(
        "--market",
        "The market of a new book: binance (live prices, fills on paper) or sim (simulated). auto is the live market "
        "if it can be reached, and an error if not; a book that exists keeps its market.",
        *("auto", "binance", "sim"),
    ),
]


def mcp(
    state: Annotated[
        Path | None,
        state_option(f"The book to attach to, or {STATE}; the default is a book of its own in your user data."),
    ] = None,
    read_only: ReadOnlyOption = False,
    toolsets: Annotated[
        str | None,
        option(
            "--toolsets",
            "Offer only these: some of market,account,history,trade.",
            "market",
            "account",
            "history",
            "trade",
        ),
    ] = None,
    agent: Annotated[
        str | None,
        option(
            "--agent",
            "Which agent decides on an engine that is started here: none, attached (the client answers its wakes; "
            "the rules answer a wake that the client does not), or rules, which trade by themselves beside the client. "
            "[default: none; a book that ran before keeps its agent]",
            *("none", "attached", "rules"),
        ),
    ] = None,
    market: MarketOption = "auto",
) -> None:
    """Serve MCP over standard input and output.

    The list of tools needs no engine; the first tool call attaches to the running engine of the book, or starts one on
    paper. The engine continues when this command ends. A running engine and an existing book keep their agent and their
    market. If the book's agent also trades, the first answer and ocw_get_status warn of this.
    """
    import asyncio

    from ocw_mcp.app.attach import Attachment
    from ocw_mcp.interfaces.mcp.bridge import Bridge

    chosen = [name.strip() for name in toolsets.split(",")] if toolsets is not None else None
    attachment = Attachment((state if state is not None else home()).absolute(), agent=agent, market=market)
    bridge = Bridge(attachment, __version__, chosen, read_only=read_only)
    try:
        asyncio.run(bridge.serve())
    except ExceptionGroup as errors:
        # The client has gone: the SDK reports that as a group.
        gone, others = errors.split(BrokenPipeError)
        if gone is None or others is not None:
            raise
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None


def alone(arguments: list[str]) -> None:
    """Run `ocw mcp` without importing the other commands."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(mcp)
    app(arguments, prog_name="ocw mcp")


DryRunOption = Annotated[bool, option("--dry-run", "Print the new configuration file, and write nothing.")]
ConfigOption = Annotated[Path | None, option("--config", "Another configuration file, such as that of a project.")]


@install.command("claude-desktop")
def claude_desktop(
    state: BookOption,
    read_only: ReadOnlyOption = False,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    market: MarketOption = "auto",
) -> None:
    """Add OCW to Claude Desktop's configuration. Other entries stay, the old file is kept, and no key is written."""
    _add_entry("claude-desktop", state, read_only, market, dry_run, config)


@install.command("cursor")
def cursor(
    state: BookOption,
    read_only: ReadOnlyOption = False,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    market: MarketOption = "auto",
) -> None:
    """Add OCW to Cursor's configuration, as for Claude Desktop.

    The file is ~/.cursor/mcp.json; for one project, name its .cursor/mcp.json with --config.
    """
    _add_entry("cursor", state, read_only, market, dry_run, config)


@install.command("vscode")
def vscode(
    state: BookOption,
    read_only: ReadOnlyOption = False,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    market: MarketOption = "auto",
) -> None:
    """Add OCW to VS Code's configuration, as for Claude Desktop.

    The file is the mcp.json of your user; for one project, name its .vscode/mcp.json with --config.
    """
    _add_entry("vscode", state, read_only, market, dry_run, config)


def _add_entry(client: str, state: Path, read_only: bool, market: str, dry_run: bool, config: Path | None) -> None:
    from ocw_mcp.app import install as installing

    path = config if config is not None else installing.config_path(client)
    done = installing.add_entry(client, path, state, read_only=read_only, market=market, dry_run=dry_run)
    if dry_run:
        say(f"{path} would contain:", err=True)
        say(done.after, nl=False)
    elif not done.changed:
        say(f"{path} already has this entry; nothing was changed")
    else:
        kept = f"; the old file: {done.backup}" if done.backup is not None else ""
        say(f"{path} is written{kept}; {installing.EDITORS[client].next_}")


@install.command("claude-code")
def claude_code(state: BookOption, read_only: ReadOnlyOption = False, market: MarketOption = "auto") -> None:
    """Print the command that adds OCW to Claude Code. Run it yourself, in the directory that you work in."""
    _print_command("claude-code", state, read_only, market)


@install.command("codex")
def codex(state: BookOption, read_only: ReadOnlyOption = False, market: MarketOption = "auto") -> None:
    """Print the command that adds OCW to Codex. Run it yourself."""
    _print_command("codex", state, read_only, market)


@install.command("gemini-cli")
def gemini_cli(state: BookOption, read_only: ReadOnlyOption = False, market: MarketOption = "auto") -> None:
    """Print the command that adds OCW to Gemini CLI. Run it yourself."""
    _print_command("gemini-cli", state, read_only, market)


def _print_command(client: str, state: Path, read_only: bool, market: str) -> None:
    from ocw_mcp.app import install as installing

    say(installing.adding_command(client, state, read_only=read_only, market=market))


@tokens.command("new")
def new_token(
    state: BookOption,
    scope: Annotated[
        str, option("--scope", "read, trade (includes read), or operate (includes trade).", "read", "trade", "operate")
    ] = "read",
    name: Annotated[str | None, option("--name", "The name of its client in orders and logs.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token and print it once; only its hash is stored. A running engine needs no restart."""
    import time

    from ocw_mcp.adapters.control.tokens import add_token
    from ocw_mcp.adapters.store.directory import prepare

    require_directory(state)
    prepare(state)  # it exists, so this only checks it
    token, row = add_token(state, scope, name, time.time_ns() // 1_000_000)  # noqa: TID251 - a date for people
    if as_json:
        print_json(_shown(row) | {"token": token})
        return
    say(f"token {row.name}, scope {row.scope}; it is not shown again:", err=True)
    say(token)


@tokens.command("list")
def list_tokens(state: BookOption, as_json: JsonOption = False) -> None:
    """List the tokens by name and scope; their hashes are not shown."""
    from ocw_mcp.adapters.control.tokens import read_tokens

    require_directory(state)
    rows = read_tokens(state)
    print_result({"tokens": [_shown(row) for row in rows]}, _tokens_text(rows), as_json)


def _tokens_text(rows: "list[TokenRow]") -> "Iterator[RenderableType]":
    from ocw_mcp.app.cli.tables import Column, grid
    from ocw_mcp.render.text import moment

    if not rows:
        yield "there is no token; make one with ocw token new --scope read"
        return
    yield grid(
        "Tokens",
        Column("name", [row.name for row in rows]),
        Column("scope", [row.scope for row in rows]),
        Column("made (UTC)", [moment(row.created_at)[:16] for row in rows]),
    )


def _shown(row: "TokenRow") -> dict[str, str | int]:
    return {"name": row.name, "scope": row.scope, "created_at": row.created_at}


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
    """Revoke a token. A running engine refuses a revoked token and ends its open streams."""
    from ocw_mcp.adapters.control.tokens import revoke_token

    require_directory(state)
    revoke_token(state, name)
    print_result({"revoked": name}, [f"token {name} is revoked"], as_json)
