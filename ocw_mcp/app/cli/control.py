"""A person's hand on the desk: yes or no to an order that waits, and whose hands the symbols are in."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ocw_mcp.adapters.control import passphrase
from ocw_mcp.adapters.store.reader import read_book
from ocw_mcp.app.cli.operate import approval_text, leave, require_person
from ocw_mcp.app.cli.options import BookOption
from ocw_mcp.app.cli.person import show_who_you_are
from ocw_mcp.app.output import say
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.steps import Verb
from ocw_mcp.domain.symbols import of_market

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


def approve(id_: IdArgument, state: BookOption) -> None:
    """Let an order pass that waits for a person, with the passphrase; every policy is asked again at today's price."""
    _answer(state, id_, Verb.APPROVE)


def deny(id_: IdArgument, state: BookOption) -> None:
    """Say no to an order that waits, with the passphrase. So does whoever says nothing until its time is up."""
    _answer(state, id_, Verb.DENY)


@agent.command()
def pause(state: BookOption) -> None:
    """Wake the agent no more. Positions keep their stops, and the guard goes on."""
    say(leave(state, Verb.PAUSE))


@agent.command()
def takeover(symbol: SymbolArgument, state: BookOption) -> None:
    """Take a symbol out of the agent's hands: it is not shown it, not woken for it, and may not trade it."""
    say(leave(state, Verb.TAKE_OVER, _known(state, symbol)))


@agent.command()
def resume(
    state: BookOption,
    symbol: Annotated[str | None, typer.Argument(help="Give back only this one.")] = None,
    paper: Annotated[bool, typer.Option("--paper", help="Yes: on paper, without the passphrase.")] = False,
) -> None:
    """Let the agent go on, and give it back every symbol: a person's word, by --paper on paper, else the passphrase."""
    subject = "" if symbol is None else _known(state, symbol)
    require_person(state, "let the agent of this {mode} book go on", paper=paper)
    say(leave(state, Verb.GO_ON, subject))


def _answer(state: Path, id_: str, verb: Verb) -> None:
    waiting = _summary(state).get("approvals", [])
    found = next((each for each in waiting if each["id"] == id_), None)
    if found is None:
        there = f"there waits {', '.join(each['id'] for each in waiting)}" if waiting else "none waits at all"
        raise SettingsError(f"no order waits for a person as {id_[:40]!r}; {there}: see ocw status")
    if not passphrase.is_set(state):
        raise SettingsError(
            f"whoever answers {id_} has to show who they are; set a passphrase first, at a terminal: "
            f"ocw passphrase set --state {state}"
        )
    say(approval_text(found).strip())
    show_who_you_are(state, f"the passphrase, to {verb} it: ")
    say(leave(state, verb, id_))
    if verb is Verb.APPROVE:
        say(f"every policy is asked again, at the price of that moment; ocw orders shows what came of {id_}")


def _known(state: Path, symbol: str) -> str:
    symbols = read_book(state).stamp.market.symbols
    name = of_market(symbol, symbols)
    if name is None:
        raise SettingsError(f"this book has no {symbol[:40]!r}; it has {', '.join(symbols)}")
    return name


def _summary(state: Path) -> dict[str, Any]:
    return read_book(state).summary or {}
