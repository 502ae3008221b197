"""All commands. Each has a few lines: read the options, call the function that does the work, print its result."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ocw_mcp import __version__
from ocw_mcp.app.cli import control, gate, inspect
from ocw_mcp.app.cli.benches import bench
from ocw_mcp.app.cli.install import install
from ocw_mcp.app.cli.mcp import mcp
from ocw_mcp.app.cli.options import (
    BookOption,
    FreshOption,
    IntervalOption,
    JsonOption,
    PoliciesOption,
    PolicyOption,
    ProductOption,
    SeedOption,
    StateOption,
    SymbolsOption,
    one_of,
)
from ocw_mcp.app.cli.person import person
from ocw_mcp.app.cli.policies import policies
from ocw_mcp.app.cli.sandbox import sandbox
from ocw_mcp.app.cli.tokens import tokens
from ocw_mcp.app.output import say

app = typer.Typer(
    help="Lets Claude trade crypto behind hard risk limits that no prompt can change.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
journal = typer.Typer(help="The journal of a book.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(journal, name="journal")
app.add_typer(policies, name="policies")
app.add_typer(person, name="passphrase")
tape = typer.Typer(help="Recorded markets.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(tape, name="tape")
app.add_typer(bench, name="bench")
app.add_typer(sandbox, name="sandbox")

AgentOption = Annotated[
    str,
    typer.Option(
        "--agent",
        help="Which agent decides: rules, claude, attached (an MCP client), none, or reckless to test the policies.",
        autocompletion=one_of("rules", "claude", "attached", "none", "reckless"),
    ),
]
StrategyOption = Annotated[
    str | None,
    typer.Option(
        "--strategy", help="Your own function decides: MODULE:FUNCTION, searched first in the current directory."
    ),
]
EveryOption = Annotated[
    str | None, typer.Option("--every", help="Wake the agent at fixed times, such as every 15m, and not by the gate.")
]
ForOption = Annotated[
    str | None, typer.Option("--for", help="Market time to run, from the last time of the book: 24h, 7d.")
]
MarketOption = Annotated[
    str, typer.Option("--market", help="sim, or the path of a tape.", autocompletion=one_of("sim"))
]
PromptsOption = Annotated[
    Path | None, typer.Option("--prompts", help="A directory of prompts, in place of the shipped ones.")
]
EnvOption = Annotated[
    Path | None, typer.Option("--env", help="A file of settings; environment variables take precedence over it.")
]
SpeedOption = Annotated[
    str,
    typer.Option(
        "--speed",
        help="Simulated time divided by real time: 1 is real time, 60 is one hour per minute; max has no limit.",
        autocompletion=one_of("1", "60", "max"),
    ),
]
PictureOption = Annotated[
    Path | None, typer.Option("--picture", help="Draw prices, wakes and trades into this PNG (needs ocw-mcp[plot]).")
]
ServeOption = Annotated[
    str | None,
    typer.Option("--serve", help="Serve the run to clients over HTTP and MCP: HOST:PORT, such as 127.0.0.1:8080."),
]
RecordOption = Annotated[
    Path | None, typer.Option("--record", help="Record the requests to Claude and its answers, without any key.")
]
DecisionsOption = Annotated[
    Path | None, typer.Option("--decisions", help="Take Claude's answers from such a recording, without a network.")
]
MemoryOption = Annotated[
    bool, typer.Option("--memory/--no-memory", help="Whether Claude remembers earlier trades and days.")
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Stop at the first invalid row or file of a tape.")]
DiscontinuityOption = Annotated[
    float | None,
    typer.Option(
        "--discontinuity",
        help="A price that changes by more than this factor across a data gap ends the symbol. [default: 10]",
        show_default=False,
    ),
]
StampsOption = Annotated[
    str | None,
    typer.Option(
        "--metrics-stamps",
        help="Meaning of the time stamps of metrics: end or beginning of their five minutes, or the day from which on "
        "they are the beginning. [default: 2026-06-25]",
        show_default=False,
        autocompletion=one_of("end", "beginning"),
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print only the report and warnings.")]


def _version(wanted: bool) -> None:
    if wanted:
        say(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Lets Claude trade crypto behind hard risk limits that no prompt can change."""


@app.command()
def run(
    market: MarketOption,
    agent: AgentOption = "rules",
    for_: ForOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
    policies: PoliciesOption = None,
    policy: PolicyOption = "default",
    prompts: PromptsOption = None,
    env: EnvOption = None,
    product: ProductOption = None,
    interval: IntervalOption = None,
    symbols: SymbolsOption = None,
    seed: SeedOption = 1,
    speed: SpeedOption = "max",
    picture: PictureOption = None,
    serve: ServeOption = None,
    record: RecordOption = None,
    decisions: DecisionsOption = None,
    memory: MemoryOption = True,
    strict: StrictOption = False,
    discontinuity: DiscontinuityOption = None,
    metrics_stamps: StampsOption = None,
    quiet: QuietOption = False,
    strategy: StrategyOption = None,
    every: EveryOption = None,
) -> None:
    """Run a book on paper: on the simulated market, or on a tape. Ctrl-C stops it, with a report."""
    # Commands that only read a book need no indicators: they start sooner, and `doctor` can report a broken TA-Lib.
    from ocw_mcp.app.cli import runs

    request = runs.RunRequest(
        market, agent, for_, state, policies, policy, prompts, env, product, interval, symbols, seed, speed, picture,
        serve, record, decisions, memory, strict, discontinuity, metrics_stamps, quiet, strategy, every,
    )  # fmt: skip
    runs.run_and_print(request, as_json=as_json)


@app.command()
def replay(
    tape: Annotated[
        str, typer.Argument(help="Candles of the exchange's public archive: a directory, zip, csv or csv.gz.")
    ],
    agent: AgentOption = "rules",
    for_: ForOption = None,
    state: FreshOption = None,
    as_json: JsonOption = False,
    policies: PoliciesOption = None,
    policy: PolicyOption = "default",
    prompts: PromptsOption = None,
    env: EnvOption = None,
    product: ProductOption = None,
    interval: IntervalOption = None,
    symbols: SymbolsOption = None,
    picture: PictureOption = None,
    record: RecordOption = None,
    decisions: DecisionsOption = None,
    memory: MemoryOption = True,
    strict: StrictOption = False,
    discontinuity: DiscontinuityOption = None,
    metrics_stamps: StampsOption = None,
    quiet: QuietOption = False,
    strategy: StrategyOption = None,
    every: EveryOption = None,
) -> None:
    """Run a tape from its beginning to its end, as fast as possible."""
    from ocw_mcp.app.cli import runs

    request = runs.RunRequest(
        tape, agent, for_, state, policies, policy, prompts, env, product, interval, symbols, 1, "max", picture,
        None, record, decisions, memory, strict, discontinuity, metrics_stamps, quiet, strategy, every,
    )  # fmt: skip
    runs.run_and_print(request, as_json=as_json, tape_only=True)


@app.command()
def status(state: BookOption, as_json: JsonOption = False) -> None:
    """Show a book: its state, positions, stops and counters. The command only reads, and needs no running engine."""
    from ocw_mcp.app.cli import operate

    view = operate.status(state)
    if as_json:
        say(json.dumps(view, indent=2))
        return
    from ocw_mcp.app.cli.tables import terminal

    terminal().print(operate.status_text(view), soft_wrap=True)


inspect.add_to(app)
control.add_to(app)
gate.add_to(app)
app.add_typer(tokens, name="token")
app.command("mcp")(mcp)
app.add_typer(install, name="install")


@app.command()
def halt(state: BookOption, as_json: JsonOption = False) -> None:
    """Take no new risk from now on: entries are cancelled, stops stay. A running engine does it within a second."""
    from ocw_mcp.app.cli.operate import send_command, show
    from ocw_mcp.domain.steps import Verb

    show(send_command(state, Verb.HALT), as_json=as_json)


@app.command()
def flatten(state: BookOption, as_json: JsonOption = False) -> None:
    """Halt, cancel entries and targets, and close every position; each stop is cancelled when its position is flat."""
    from ocw_mcp.app.cli.operate import send_command, show
    from ocw_mcp.domain.steps import Verb

    show(send_command(state, Verb.FLATTEN), as_json=as_json)


@app.command()
def resume(
    state: BookOption,
    paper: Annotated[bool, typer.Option("--paper", help="Confirm that a paper book may take new risk again.")] = False,
    accept_drawdown: Annotated[
        bool,
        typer.Option(
            "--accept-drawdown",
            help="Confirm that equity fell beyond the drawdown limit; the next drawdown is measured from here.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Let a halted book take new risk again. A person confirms it: with --paper on paper, else with the passphrase.

    If equity fell beyond the drawdown limit, the command shows the drawdown and needs a second confirmation.
    """
    from ocw_mcp.app.cli import operate

    operate.show(operate.resume(state, paper=paper, accept_drawdown=accept_drawdown), as_json=as_json)


@app.command()
def init(state: BookOption) -> None:
    """Make a state directory with a `.env` to fill in, which only you can read."""
    from ocw_mcp.app.cli import operate

    say(operate.init(state))


@journal.command()
def verify(
    state: BookOption,
    as_json: JsonOption = False,
    head: Annotated[
        str | None, typer.Option("--head", help="The chain's head that you noted: detects a journal that was cut off.")
    ] = None,
) -> None:
    """Check the journal from its first row: chain, sequence, fingerprint, and every table derived from it."""
    from ocw_mcp.app.cli import operate

    result = operate.verify(state, head, quiet=as_json)
    say(json.dumps(result, indent=2) if as_json else operate.verify_text(result))
    if not result["ok"]:
        raise typer.Exit(1)


@tape.command("info")
def tape_info(
    path: Annotated[str, typer.Argument(help="A directory of the exchange's public archive, or one of its files.")],
    as_json: JsonOption = False,
    product: ProductOption = None,
    interval: IntervalOption = None,
    symbols: SymbolsOption = None,
    strict: StrictOption = False,
    discontinuity: DiscontinuityOption = None,
    metrics_stamps: StampsOption = None,
) -> None:
    """Read a whole tape and show its rows, gaps, duplicates and disorder, and the streams that a replay would use."""
    from ocw_mcp.app.cli import tapes
    from ocw_mcp.app.markets import tape_terms

    terms = tape_terms(strict, discontinuity, metrics_stamps)
    tapes.info_and_print(path, product, interval, symbols, terms, as_json=as_json)


@tape.command("fetch")
def tape_fetch(
    symbol: Annotated[str, typer.Argument(help="Such as ETHUSDT.")],
    first: Annotated[str, typer.Argument(metavar="FROM", help="The first day, 2026-03-09, or a month, 2026-03.")],
    last: Annotated[str, typer.Argument(metavar="TO", help="The last day or month, included.")],
    product: ProductOption = None,
    interval: Annotated[str, typer.Option("--interval", help="Length of the candles: 1m, 15m, 1h.")] = "1m",
    streams: Annotated[
        str | None,
        typer.Option(
            "--streams",
            help="Some of klines,metrics,fundingRate,aggTrades (spot: klines,aggTrades); "
            "the default is all but aggTrades, which are large.",
            autocompletion=one_of("klines", "metrics", "fundingRate", "aggTrades"),
        ),
    ] = None,
    to: Annotated[Path, typer.Option("--to", help="The directory, laid out as the archive is.")] = Path("tapes"),
    url: Annotated[str | None, typer.Option("--url", help="Another archive of the same layout.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Download a market from the exchange's public archive and check each file; run it again to continue it."""
    from ocw_mcp.app.cli import fetching

    fetching.fetch_and_print(symbol, first, last, product, interval, streams, to, url, as_json=as_json)
