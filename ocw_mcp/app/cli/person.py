"""The passphrase of a book: the command that sets it, and the checks that a person types at a terminal."""

import sys
from pathlib import Path

import typer

from ocw_mcp.app.cli.options import BookOption, group
from ocw_mcp.app.terminal import drop_typed, silent
from ocw_mcp.domain.errors import BookError, SettingsError

TRIES = 3

person = group("The passphrase that lets a halted book take new risk again.")


@person.command("set")
def set_passphrase(state: BookOption) -> None:
    """Set or change the passphrase of a book. It is typed twice at a terminal, and never shown or given as argument."""
    from ocw_mcp.adapters.control import passphrase

    require_terminal("a passphrase is set")
    require_state_directory(state)
    with silent():
        if passphrase.is_set(state):
            ask_passphrase(state, "the current passphrase: ")
        fresh = typed(f"a new passphrase, {passphrase.SHORTEST} characters or more: ")
        if len(fresh) >= passphrase.SHORTEST and typed("the same once more: ") != fresh:
            raise SettingsError("the two passphrases differ; nothing was changed; start again")
        passphrase.keep(state, fresh, passphrase.USUAL)
    typer.echo("the passphrase is set; only its scrypt hash is stored, so a lost passphrase cannot be recovered")


def require_state_directory(state: Path) -> None:
    """Raise BookError if a directory does not exist, or cannot be a book's. Its book need not exist yet."""
    from ocw_mcp.adapters.store.directory import prepare

    if not state.is_dir():
        raise BookError(
            f"the state directory {state} does not exist; give the directory of a book, or make one first: "
            f"ocw init --state {state}"
        )
    prepare(state)  # it exists, so this only checks it


def ask_passphrase(state: Path, prompt: str, otherwise: str = "") -> None:
    """Ask for the passphrase, at most `TRIES` times; after that many wrong answers exit with code 1.

    `otherwise` is a clause that names an alternative. Raises SettingsError without a terminal, BookError for a
    passphrase that is missing or whose file cannot be trusted.
    """
    from ocw_mcp.adapters.control import passphrase

    require_terminal("a passphrase is checked", otherwise)
    passphrase.require_sound(state)
    with silent():
        for left in reversed(range(TRIES)):
            if passphrase.matches(state, typed(prompt)):
                return
            if left:
                typer.echo(f"wrong passphrase; {left} more {'tries' if left > 1 else 'try'}", err=True)
    typer.echo(f"ocw: wrong passphrase, {TRIES} times; nothing was changed", err=True)
    raise typer.Exit(1)


def require_terminal(action: str, otherwise: str = "") -> None:
    """Raise SettingsError if standard input is not a terminal, so that only a person at a keyboard passes."""
    if not sys.stdin.isatty():
        raise SettingsError(
            f"{action} by a person at a terminal, and standard input is not a terminal; type it at one: an argument, "
            f"the environment or a pipe is not accepted{otherwise}"
        )


def typed(prompt: str) -> str:
    """Return a line typed after the prompt at the terminal of standard input; no typed character is shown.

    Text typed before the prompt is discarded. Raises SettingsError if the terminal is closed or the line is not UTF-8.
    """
    with silent():
        drop_typed()
        sys.stderr.write(prompt)
        sys.stderr.flush()
        try:
            line = sys.stdin.readline()
        except UnicodeDecodeError:
            raise SettingsError("the typed text is not UTF-8; set the terminal to UTF-8, or type it again") from None
        finally:
            sys.stderr.write("\n")
            sys.stderr.flush()
    if not line.endswith("\n"):
        raise SettingsError("the terminal was closed before a line was typed; nothing was changed; start again")
    return line.rstrip("\r\n")
