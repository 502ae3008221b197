"""The operator's commands on a book, and the checks that a person is at a terminal."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ocw_mcp.app.cli.options import BookOption, JsonOption, group, option
from ocw_mcp.app.output import say
from ocw_mcp.app.terminal import drop_typed, silent
from ocw_mcp.domain.errors import BookError, SettingsError

TRIES = 3

passphrases = group("The passphrase that lets a halted book take new risk again.")
agent = group("Pause the agent, take over a symbol, or let the agent go on.")

IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The approval's id, such as a3; ocw status shows the pending approvals.")
]


def halt(state: BookOption, as_json: JsonOption = False) -> None:
    """Take no new risk: cancel entries, and keep stops. A running engine halts within a second."""
    _send(state, "halt", as_json)


def flatten(state: BookOption, as_json: JsonOption = False) -> None:
    """Halt, cancel entries and targets, and close every position.

    On futures each stop stays until its position is flat. On spot a stop is cancelled before its position is sold,
    because it locks the balance.
    """
    _send(state, "flatten", as_json)


def resume(
    state: BookOption,
    paper: Annotated[bool, option("--paper", "Confirm that a paper book may take new risk again.")] = False,
    accept_drawdown: Annotated[
        bool,
        option(
            "--accept-drawdown",
            "Confirm that equity fell beyond the drawdown limit; the next drawdown is measured from here.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Let a halted book take new risk again. A person confirms with --paper (paper book) or the passphrase.

    If equity fell beyond the drawdown limit, a second confirmation is needed.
    """
    from ocw_mcp.app.cli import operate

    operate.resume(state, paper=paper, accept_drawdown=accept_drawdown, as_json=as_json)


def approve(id_: IdArgument, state: BookOption, as_json: JsonOption = False) -> None:
    """Approve a pending order with the passphrase. The engine checks every policy again at the current price."""
    _answer(state, id_, "approve", as_json)


def deny(id_: IdArgument, state: BookOption, as_json: JsonOption = False) -> None:
    """Deny a pending order with the passphrase. An order that is not answered before it expires is denied, too."""
    _answer(state, id_, "deny", as_json)


def settle(
    order: Annotated[str, typer.Argument(metavar="REF", help="The order, such as 12-e-0; ocw orders shows them.")],
    outcome: Annotated[list[str], typer.Argument(metavar="gone | filled PRICE QUANTITY", help="What became of it.")],
    state: BookOption,
    paper: Annotated[bool, option("--paper", "Confirm it for a paper book, without passphrase.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Declare what became of an order of unknown outcome.

    The exchange's own pages show what became of it.

    A fill that the exchange reports later is booked all the same. A person confirms as for ocw resume.
    """
    from ocw_mcp.app.cli import operate

    operate.settle(state, " ".join((order, *outcome)), paper=paper, as_json=as_json)


def init(state: BookOption) -> None:
    """Make a state directory with a `.env` to fill in. Only you can read the file."""
    from ocw_mcp.app.resources import write_env_example

    made = write_env_example(state)
    say(f"{made} is made, and only you can read it; add the keys that you have, paper trading needs none")


@agent.command()
def pause(state: BookOption, as_json: JsonOption = False) -> None:
    """Pause the agent: it is not woken. Positions keep their stops, and the position guard continues."""
    _send(state, "agent-pause", as_json)


@agent.command()
def takeover(
    symbol: Annotated[str, typer.Argument(help="A symbol of the book, such as ETHUSDT.")],
    state: BookOption,
    as_json: JsonOption = False,
) -> None:
    """Put a symbol under manual control. The agent cannot see or trade the symbol, and is not woken for it."""
    _send(state, "takeover", as_json, _known(state, symbol))


@agent.command("resume")
def resume_agent(
    state: BookOption,
    symbol: Annotated[str | None, typer.Argument(help="Give only this symbol back to the agent.")] = None,
    paper: Annotated[bool, option("--paper", "Confirm it for a paper book, without passphrase.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Let the agent continue, on every symbol. A person confirms with --paper (paper book) or the passphrase."""
    from ocw_mcp.app.cli.operate import require_person

    subject = "" if symbol is None else _known(state, symbol)
    require_person(state, "let the agent of this {mode} book continue", paper=paper)
    _send(state, "agent-resume", as_json, subject)


def _send(state: Path, verb: str, as_json: bool, subject: str = "", after: str = "") -> None:
    from ocw_mcp.app.cli.operate import send_command
    from ocw_mcp.domain.steps import Verb

    send_command(state, Verb(verb), subject, as_json=as_json, after=after)


def _answer(state: Path, id_: str, verb: str, as_json: bool) -> None:
    from ocw_mcp.adapters.control import passphrase
    from ocw_mcp.adapters.store.reader import read_book
    from ocw_mcp.app.cli.operate import approval_text

    waiting = (read_book(state).summary or {}).get("approvals", [])
    found = next((each for each in waiting if each["id"] == id_), None)
    if found is None:
        pending = ", ".join(each["id"] for each in waiting) or "none"
        raise SettingsError(f"no approval {id_[:40]!r} is pending; pending approvals: {pending}; see ocw status")
    if not passphrase.is_set(state):
        raise SettingsError(
            f"an answer to {id_} needs the passphrase, and none is set; set one first, at a terminal: "
            f"ocw passphrase set --state {state}"
        )
    say(approval_text(found).strip(), err=as_json)
    ask_passphrase(state, f"the passphrase, to {verb} it: ")
    checked = f"the engine checks every policy again, at the price of that time; ocw orders shows the result of {id_}"
    _send(state, verb, as_json, id_, checked if verb == "approve" else "")


def _known(state: Path, symbol: str) -> str:
    """Return the name of a symbol in a book, for any spelling. Raises SettingsError if the book lacks the symbol."""
    from ocw_mcp.adapters.store.reader import read_book
    from ocw_mcp.domain.symbols import of_market

    symbols = read_book(state).stamp.market.symbols
    name = of_market(symbol, symbols)
    if name is None:
        raise SettingsError(f"this book has no symbol {symbol[:40]!r}; expected one of {', '.join(symbols)}")
    return name


@passphrases.command("set")
def set_passphrase(state: BookOption) -> None:
    """Set or change the passphrase of a book. The passphrase is typed twice at a terminal and not shown."""
    from ocw_mcp.adapters.control import passphrase
    from ocw_mcp.adapters.control.mandate import MANDATE
    from ocw_mcp.adapters.store.directory import prepare

    require_terminal("a passphrase is set")
    require_directory(state)
    prepare(state)  # it exists, so this only checks it
    with silent():
        if passphrase.is_set(state):
            ask_passphrase(state, "the current passphrase: ")
        fresh = typed(f"a new passphrase, {passphrase.SHORTEST} characters or more: ")
        if len(fresh) >= passphrase.SHORTEST and typed("the same once more: ") != fresh:
            raise SettingsError("the two passphrases differ; nothing was changed; start again")
        passphrase.keep(state, fresh, passphrase.USUAL)
    typer.echo("the passphrase is set; only its scrypt hash is stored, so a lost passphrase cannot be recovered")
    if (state / MANDATE).exists():
        say(
            f"the mandate was sealed with the earlier one: renew it with ocw connect --mandate --state {state}",
            err=True,
        )


def require_directory(state: Path) -> None:
    """Raise BookError if a state directory does not exist. The directory need not contain a book yet."""
    if not state.is_dir():
        raise BookError(
            f"the state directory {state} does not exist; give the directory of a book, or make one first: "
            f"ocw init --state {state}"
        )


def ask_passphrase(state: Path, prompt: str, otherwise: str = "") -> None:
    """Ask for the passphrase, at most `TRIES` times; after that many wrong answers exit with code 1.

    `otherwise` names an alternative to the passphrase, in the error raised without a terminal. Raises SettingsError
    without a terminal, BookError for a passphrase that is missing or whose file cannot be trusted.
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
            f"{action} by a person at a terminal, and standard input is not a terminal; run the command at one: an "
            f"argument, the environment or a pipe is not accepted{otherwise}"
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


COMMANDS = (halt, flatten, resume, approve, deny, settle, init)
"""The commands of this file that belong to no group, in the order of `ocw --help`."""
