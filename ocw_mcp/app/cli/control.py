"""A person's hand on the desk: yes or no to an order that waits, and whose hands the symbols are in."""

from pathlib import Path
from typing import Annotated

import typer

from ocw_mcp.app.cli.options import BookOption, JsonOption
from ocw_mcp.app.output import say
from ocw_mcp.domain.errors import SettingsError

agent = typer.Typer(
    help="Whose hands the book is in: pause the agent, or take a symbol over.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The approval's id, such as a3: ocw status shows what waits.")
]
SymbolArgument = Annotated[str, typer.Argument(help="A symbol of the book, such as ETHUSDT.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(approve)
    app.command()(deny)
    app.add_typer(agent, name="agent")


def approve(id_: IdArgument, state: BookOption, as_json: JsonOption = False) -> None:
    """Let an order pass that waits for a person, with the passphrase; every policy is asked again at today's price."""
    _answer(state, id_, approved=True, as_json=as_json)


def deny(id_: IdArgument, state: BookOption, as_json: JsonOption = False) -> None:
    """Say no to an order that waits, with the passphrase. So does whoever says nothing until its time is up."""
    _answer(state, id_, approved=False, as_json=as_json)


@agent.command()
def pause(state: BookOption, as_json: JsonOption = False) -> None:
    """Wake the agent no more. Positions keep their stops, and the guard goes on."""
    from ocw_mcp.app.cli.operate import leave, show
    from ocw_mcp.domain.steps import Verb

    show(leave(state, Verb.PAUSE), as_json=as_json)


@agent.command()
def takeover(symbol: SymbolArgument, state: BookOption, as_json: JsonOption = False) -> None:
    """Take a symbol out of the agent's hands: it is not shown it, not woken for it, and may not trade it."""
    from ocw_mcp.app.cli.operate import leave, show
    from ocw_mcp.domain.steps import Verb

    show(leave(state, Verb.TAKE_OVER, _known(state, symbol)), as_json=as_json)


@agent.command()
def resume(
    state: BookOption,
    symbol: Annotated[str | None, typer.Argument(help="Give back only this one.")] = None,
    paper: Annotated[bool, typer.Option("--paper", help="Yes: on paper, without the passphrase.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Let the agent go on, and give it back every symbol: a person's word, by --paper on paper, else the passphrase."""
    from ocw_mcp.app.cli.operate import leave, require_person, show
    from ocw_mcp.domain.steps import Verb

    subject = "" if symbol is None else _known(state, symbol)
    require_person(state, "let the agent of this {mode} book go on", paper=paper)
    show(leave(state, Verb.GO_ON, subject), as_json=as_json)


def _answer(state: Path, id_: str, *, approved: bool, as_json: bool) -> None:
    from ocw_mcp.adapters.control import passphrase
    from ocw_mcp.adapters.store.reader import read_book
    from ocw_mcp.app.cli.operate import approval_text, leave, show
    from ocw_mcp.app.cli.person import show_who_you_are
    from ocw_mcp.domain.steps import Verb

    waiting = (read_book(state).summary or {}).get("approvals", [])
    found = next((each for each in waiting if each["id"] == id_), None)
    if found is None:
        there = f"there waits {', '.join(each['id'] for each in waiting)}" if waiting else "none waits at all"
        raise SettingsError(f"no order waits for a person as {id_[:40]!r}; {there}: see ocw status")
    if not passphrase.is_set(state):
        raise SettingsError(
            f"whoever answers {id_} has to show who they are; set a passphrase first, at a terminal: "
            f"ocw passphrase set --state {state}"
        )
    verb = Verb.APPROVE if approved else Verb.DENY
    say(approval_text(found).strip(), err=as_json)
    show_who_you_are(state, f"the passphrase, to {verb} it: ")
    done = leave(state, verb, id_)
    if approved:
        done = done.followed_by(
            f"every policy is asked again, at the price of that moment; ocw orders shows what came of {id_}"
        )
    show(done, as_json=as_json)


def _known(state: Path, symbol: str) -> str:
    from ocw_mcp.adapters.store.reader import read_book
    from ocw_mcp.domain.symbols import of_market

    symbols = read_book(state).stamp.market.symbols
    name = of_market(symbol, symbols)
    if name is None:
        raise SettingsError(f"this book has no {symbol[:40]!r}; it has {', '.join(symbols)}")
    return name
