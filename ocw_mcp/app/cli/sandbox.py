"""`ocw sandbox`: local servers that stand in for external services, to test the engine against."""

from typing import Annotated

import typer

from ocw_mcp.domain.errors import SettingsError

HOST = "127.0.0.1"

sandbox = typer.Typer(
    help="Local servers that stand in for external services, to test the engine against.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@sandbox.callback()
def _root() -> None:
    """Local servers that stand in for external services, to test the engine against."""


def _characters(incomplete: str) -> list[str]:
    from ocw_mcp.sandbox.claude.characters import CHARACTERS

    return [name for name in CHARACTERS if name.startswith(incomplete)]


@sandbox.command()
def claude(
    character: Annotated[
        str,
        typer.Option(
            "--character",
            help="The behaviour of the answers; an unknown name lists all.",
            autocompletion=_characters,
        ),
    ] = "trader",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="0 chooses a free port.")] = 0,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the character's random choices.")] = 1,
) -> None:
    """Serve a Messages API with a scripted character in place of a model, without a key or network; Ctrl-C ends it."""
    import asyncio

    import uvicorn

    from ocw_mcp.interfaces.serving import listen
    from ocw_mcp.runtime.clock import LiveClock
    from ocw_mcp.sandbox.claude.app import MessagesApi
    from ocw_mcp.sandbox.claude.characters import CHARACTERS

    if character not in CHARACTERS:
        raise SettingsError(f"--character is {character[:40]!r}; expected one of {', '.join(CHARACTERS)}")
    bound = listen(HOST, port, "--port")
    app = MessagesApi(CHARACTERS[character], LiveClock(), seed).application()
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, ws="none"))
    typer.echo(f"ANTHROPIC_BASE_URL=http://{HOST}:{bound.getsockname()[1]}")
    typer.echo(f"the {character} answers at this address, and accepts any key; Ctrl-C ends it", err=True)
    asyncio.run(server.serve([bound]))
