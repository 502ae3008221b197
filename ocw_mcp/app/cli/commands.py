"""The command line: all commands in the order of `ocw --help`, and those on runs and policies.

A command imports the code that does its work only when it runs, so that help and completion are fast, and `ocw doctor`
can report a broken installation.
"""

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from ocw_mcp import __version__
from ocw_mcp.app.cli import books, clients, connect, control, gate, learning, macro, measure, recording, regime
from ocw_mcp.app.cli.options import JsonOption, PoliciesOption, PolicyOption, RunRequest, group, option, print_json
from ocw_mcp.app.cli.tapes import tape
from ocw_mcp.app.output import say
from ocw_mcp.domain.errors import SettingsError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
policies = group("Check and show the policies, which are all limits.")


def _version(wanted: bool) -> None:
    if wanted:
        say(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, option("--version", "Print the version.", callback=_version, is_eager=True)] = False,
) -> None:
    """Lets Claude trade crypto behind hard risk limits that no prompt can change."""


def run(**given: Any) -> None:
    """Run a book, on paper by default. Ctrl-C stops it, with a report."""
    from ocw_mcp.app.cli.runs import run_and_print

    run_and_print(RunRequest(**given))


def replay(tape: str, **given: Any) -> None:
    """Run a tape as fast as possible, or repeat a recording."""
    request = RunRequest(tape, **given)
    if recording.is_recorded(Path(tape)):
        recording.replay(Path(tape), request)
        return
    from ocw_mcp.app.cli.runs import run_and_print

    run_and_print(request, tape_only=True)


_Tape = Annotated[
    str,
    typer.Argument(
        help="Candles of the exchange's public archive: a directory, zip, csv or csv.gz; or a recording of ocw record."
    ),
]
_StateOfReplay = Annotated[
    Path | None, option("--state", "The book's state directory; the default is a temporary book that is not kept.")
]
# typer takes the options of a command from its signature.
_RUN = inspect.signature(RunRequest).parameters
_REPLAY = {name: each for name, each in _RUN.items() if name not in ("seed", "speed", "serve", "mode")}
_REPLAY["market"] = _RUN["market"].replace(name="tape", annotation=_Tape)
_REPLAY["state"] = _RUN["state"].replace(annotation=_StateOfReplay)
run.__signature__ = inspect.Signature(list(_RUN.values()))  # type: ignore[attr-defined]
replay.__signature__ = inspect.Signature(list(_REPLAY.values()))  # type: ignore[attr-defined]


@policies.command("check")
def check_policies(
    file: Annotated[Path, typer.Argument(metavar="PATH", help="A policy file, or a directory of them.")],
    as_json: JsonOption = False,
) -> None:
    """Check a policy file, or each file of a directory. All problems are listed together."""
    from ocw_mcp.app.policy_loader import load_policies

    files = sorted(file.glob("*.toml")) if file.is_dir() else []
    problems: list[str] = []
    for each in files or [file]:
        try:
            loaded = load_policies(each)
        except SettingsError as error:
            problems.append(str(error))
            continue
        said = {"ok": True, "file": loaded.source_name, "name": loaded.policies.name, "hash": loaded.hash}
        if as_json:
            print_json(said | {"remarks": loaded.remarks}, indent=None)
        else:
            say("\n".join([f"{loaded.source_name} is a valid policy file: hash {loaded.hash}", *loaded.remarks]))
    if problems:
        raise SettingsError("\n".join(problems))


@policies.command("show")
def show_policies(
    state: Annotated[
        Path | None, option("--state", "Show how much of each limit this book uses, in place of a policy file.")
    ] = None,
    file: PoliciesOption = None,
    policy: PolicyOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Show a policy file with the meaning of each key. With --state, show how much of each limit a book uses."""
    from ocw_mcp.app import policies_view
    from ocw_mcp.app.cli.tables import Clean
    from ocw_mcp.app.policy_loader import load_policies

    console = Clean(highlight=False)
    if state is not None:
        view = policies_view.of_book(state)
        print_json(view) if as_json else console.print(policies_view.book_table(view))
        return
    loaded = load_policies(file, policy)
    if as_json:
        print_json(policies_view.of_file(loaded))
    else:
        console.print(policies_view.file_table(loaded))


_REPORTS = (gate.gate_report, regime.regime, macro.macro)
for _command in (
    run,
    replay,
    recording.record,
    *connect.COMMANDS,
    *books.COMMANDS,
    *control.COMMANDS,
    *_REPORTS,
    clients.mcp,
):
    app.command()(_command)
for _name, _group in {
    "agent": control.agent,
    "passphrase": control.passphrases,
    "token": clients.tokens,
    "install": clients.install,
    "policies": policies,
    "tape": tape,
    "journal": books.journal,
    "learning": learning.learning,
    "bench": measure.bench,
    "sandbox": measure.sandbox,
}.items():
    app.add_typer(_group, name=_name)
