"""`ocw mcp`: the server over standard input and output that Claude Desktop and Claude Code start."""

from pathlib import Path
from typing import Annotated

import typer

from ocw_mcp import __version__
from ocw_mcp.app.cli.options import home, one_of


def mcp(
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            envvar="OCW_STATE",
            show_envvar=False,
            help="The book to attach to, or OCW_STATE; the default is a book of its own in your user data.",
        ),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Offer no tool that changes anything.")] = False,
    toolsets: Annotated[
        str | None,
        typer.Option(
            "--toolsets",
            help="Offer only these: some of market,account,history,trade.",
            autocompletion=one_of("market", "account", "history", "trade"),
        ),
    ] = None,
    agent: Annotated[
        str | None,
        typer.Option(
            "--agent",
            show_default=False,
            autocompletion=one_of("none", "attached", "rules"),
            help="Which agent decides on an engine that is started here: none, attached (the client answers its wakes; "
            "the rules answer a wake that the client does not), or rules, which trade by themselves beside the client. "
            "[default: none; a book that ran before keeps its agent]",
        ),
    ] = None,
) -> None:
    """Serve MCP over standard input and output: attach to the running engine of a book, or start one on paper.

    The list of tools needs no engine; the first tool call finds the engine, or starts one on paper. The engine goes on
    when this command ends. An engine that runs already, and a book that ran before, keep the agent that they have: if
    rules or another agent trade there beside the client, ocw_get_status and the first answer say so.
    """
    import asyncio

    from ocw_mcp.app.attach import Attachment
    from ocw_mcp.interfaces.mcp.bridge import Bridge

    chosen = [name.strip() for name in toolsets.split(",")] if toolsets is not None else None
    attachment = Attachment((state if state is not None else home()).absolute(), agent=agent)
    bridge = Bridge(attachment, __version__, chosen, read_only=read_only)
    asyncio.run(bridge.serve())


def alone(arguments: list[str]) -> None:
    """Run `ocw mcp` without importing the other commands."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(mcp)
    app(arguments, prog_name="ocw mcp")
