"""What takes a person at a terminal: to set a passphrase, and to show that they know it."""

import sys
from pathlib import Path

import typer

from ocw_mcp.app.cli.options import BookOption
from ocw_mcp.app.terminal import drop_typed, silent
from ocw_mcp.domain.errors import BookError, SettingsError

TRIES = 3

person = typer.Typer(
    help="The passphrase that lets a halted book take new risk again.", no_args_is_help=True, rich_markup_mode=None
)


@person.callback()
def _group() -> None:
    """The passphrase that lets a halted book take new risk again."""


@person.command("set")
def set_passphrase(state: BookOption) -> None:
    """Set the passphrase of a book, or change it; typed twice at a terminal, and never shown or passed in."""
    from ocw_mcp.adapters.control import passphrase
    from ocw_mcp.adapters.store.directory import prepare

    require_terminal("a passphrase is set")
    if not state.is_dir():
        raise BookError(f"the state directory {state} does not exist; make it first: ocw init --state {state}")
    prepare(state)  # it exists, so this only looks
    with silent():
        if passphrase.is_set(state):
            show_who_you_are(state, "the passphrase until now: ")
        fresh = typed(f"a new passphrase, {passphrase.SHORTEST} characters or more: ")
        if len(fresh) >= passphrase.SHORTEST and typed("the same once more: ") != fresh:
            raise SettingsError("the two passphrases differ; nothing was changed; begin again")
        passphrase.keep(state, fresh, passphrase.USUAL)
    typer.echo("the passphrase is set; only what scrypt makes of it is kept, so nobody can tell you what it was")


def show_who_you_are(state: Path, prompt: str, otherwise: str = "") -> None:
    """Let a person type the passphrase, a few times at most; whoever does not know it ends here, with exit code 1.

    `otherwise` is a clause on what else would do. Raises SettingsError without a terminal, BookError for a passphrase
    that is missing or cannot be trusted.
    """
    from ocw_mcp.adapters.control import passphrase

    require_terminal("a passphrase is checked", otherwise)
    passphrase.require_sound(state)
    with silent():
        for left in reversed(range(TRIES)):
            if passphrase.matches(state, typed(prompt)):
                return
            if left:
                typer.echo(f"that is not it; {left} more {'tries' if left > 1 else 'try'}", err=True)
    typer.echo(f"ocw: that is not it, {TRIES} times; nothing was changed", err=True)
    raise typer.Exit(1)


def require_terminal(what: str, otherwise: str = "") -> None:
    """Refuse whatever is no person at a keyboard. Raises SettingsError."""
    if not sys.stdin.isatty():
        raise SettingsError(
            f"{what} by a person at a terminal, and standard input is none; type it there: it is taken from no "
            f"argument, environment or pipe{otherwise}"
        )


def typed(prompt: str) -> str:
    """Return a line typed after the prompt at the terminal of standard input; nothing typed is shown.

    What was typed before the prompt is discarded. Raises SettingsError if the terminal is closed or the line is no
    UTF-8.
    """
    with silent():
        drop_typed()
        sys.stderr.write(prompt)
        sys.stderr.flush()
        try:
            line = sys.stdin.readline()
        except UnicodeDecodeError:
            raise SettingsError(
                "what was typed is no text in UTF-8; set the terminal to UTF-8, or type it again"
            ) from None
        finally:
            sys.stderr.write("\n")
            sys.stderr.flush()
    if not line.endswith("\n"):
        raise SettingsError("the terminal was closed before anything was typed; nothing was changed; begin again")
    return line.rstrip("\r\n")
