"""Commands of the operator: approve or deny an order that waits, pause the agent, and take over a symbol."""

from pathlib import Path
from typing import Annotated

import typer

from ocw_mcp.app.cli.options import BookOption, JsonOption
from ocw_mcp.app.output import say
from ocw_mcp.domain.errors import SettingsError

agent = typer.Typer(
    help="Pause the agent, take a symbol over, or let the agent continue.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The approval's id, such as a3; ocw status shows the pending approvals.")
]
SymbolArgument = Annotated[str, typer.Argument(help="A symbol of the book, such as ETHUSDT.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(approve)
    app.command()(deny)
    app.add_typer(agent, name="agent")


def approve(id_: IdArgument, state: BookOption, as_json: JsonOption = False) -> None:
    """Approve a pending order with the passphrase; the engine checks every policy again at the current price."""
    _answer(state, id_, approved=True, as_json=as_json)


def deny(id_: IdArgument, state: BookOption, as_json: JsonOption = False) -> None:
    """Deny a pending order with the passphrase. An order that is not answered before it expires is denied, too."""
    _answer(state, id_, approved=False, as_json=as_json)


@agent.command()
def pause(state: BookOption, as_json: JsonOption = False) -> None:
    """Pause the agent: it is not woken. Positions keep their stops, and the position guard continues."""
    from ocw_mcp.app.cli.operate import send_command, show
    from ocw_mcp.domain.steps import Verb

    show(send_command(state, Verb.PAUSE), as_json=as_json)


@agent.command()
def takeover(symbol: SymbolArgument, state: BookOption, as_json: JsonOption = False) -> None:
    """Put a symbol under manual control: the agent does not see it, is not woken for it, and may not trade it."""
    from ocw_mcp.app.cli.operate import send_command, show
    from ocw_mcp.domain.steps import Verb

    show(send_command(state, Verb.TAKE_OVER, _known(state, symbol)), as_json=as_json)


@agent.command()
def resume(
    state: BookOption,
    symbol: Annotated[str | None, typer.Argument(help="Give only this symbol back to the agent.")] = None,
    paper: Annotated[bool, typer.Option("--paper", help="Confirm it for a paper book, without passphrase.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Let the agent continue, with every symbol. A person confirms it: --paper on paper, else the passphrase."""
    from ocw_mcp.app.cli.operate import require_person, send_command, show
    from ocw_mcp.domain.steps import Verb

    subject = "" if symbol is None else _known(state, symbol)
    require_person(state, "let the agent of this {mode} book continue", paper=paper)
    show(send_command(state, Verb.GO_ON, subject), as_json=as_json)


def _answer(state: Path, id_: str, *, approved: bool, as_json: bool) -> None:
    from ocw_mcp.adapters.control import passphrase
    from ocw_mcp.adapters.store.reader import read_book
    from ocw_mcp.app.cli.operate import approval_text, send_command, show
    from ocw_mcp.app.cli.person import ask_passphrase
    from ocw_mcp.domain.steps import Verb

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
    verb = Verb.APPROVE if approved else Verb.DENY
    say(approval_text(found).strip(), err=as_json)
    ask_passphrase(state, f"the passphrase, to {verb} it: ")
    done = send_command(state, verb, id_)
    if approved:
        done = done.followed_by(
            f"the engine checks every policy again, at the price of that time; ocw orders shows the result of {id_}"
        )
    show(done, as_json=as_json)


def _known(state: Path, symbol: str) -> str:
    from ocw_mcp.adapters.store.reader import read_book
    from ocw_mcp.domain.symbols import of_market

    symbols = read_book(state).stamp.market.symbols
    name = of_market(symbol, symbols)
    if name is None:
        raise SettingsError(f"this book has no symbol {symbol[:40]!r}; expected one of {', '.join(symbols)}")
    return name
