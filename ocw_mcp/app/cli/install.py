"""`ocw install`: registers the OCW server with Claude Desktop and Claude Code."""

from pathlib import Path
from typing import Annotated

import typer

from ocw_mcp.app.cli.options import BookOption
from ocw_mcp.app.output import say

install = typer.Typer(
    help="Register OCW with Claude Desktop or Claude Code; no key is written.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

ReadOnlyOption = Annotated[bool, typer.Option("--read-only", help="Offer no tool that changes anything.")]


@install.command("claude-desktop")
def claude_desktop(
    state: BookOption,
    read_only: ReadOnlyOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the new configuration file, and write nothing.")
    ] = False,
    config: Annotated[Path | None, typer.Option("--config", help="Another configuration file.")] = None,
) -> None:
    """Add OCW to Claude Desktop's configuration; other entries stay, and the old file is kept as a backup."""
    from ocw_mcp.app import install as installing

    path = config if config is not None else installing.desktop_config()
    done = installing.for_claude_desktop(path, state, read_only=read_only, dry_run=dry_run)
    if dry_run:
        say(f"{path} would contain:", err=True)
        say(done.after, nl=False)
    elif not done.changed:
        say(f"{path} already has this entry; nothing was changed")
    else:
        kept = f"; the old file: {done.backup}" if done.backup is not None else ""
        say(f"{path} is written{kept}; restart Claude Desktop")


@install.command("claude-code")
def claude_code(state: BookOption, read_only: ReadOnlyOption = False) -> None:
    """Print the command that adds OCW to Claude Code; run it yourself."""
    from ocw_mcp.app import install as installing

    say(installing.for_claude_code(state, read_only=read_only))
