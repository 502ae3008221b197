"""`ocw run` and `ocw replay`."""

import json
import os
import re
import sys
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer
from rich.text import Text

from ocw_mcp.app import log
from ocw_mcp.app.cli.tables import Clean
from ocw_mcp.app.listen import parse_listen_address
from ocw_mcp.app.markets import SIMULATED, open_market, tape_terms
from ocw_mcp.app.narrator import Narrator
from ocw_mcp.app.output import StatusLine, complaint, steady
from ocw_mcp.app.policy_loader import load_policies, load_prompts, with_every
from ocw_mcp.app.progress import RunProgress
from ocw_mcp.app.report_view import show
from ocw_mcp.app.runner import Job, run
from ocw_mcp.app.settings import Settings, load_settings, require_paper
from ocw_mcp.app.strategies import NamedStrategy, load_strategy
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import CLAUDE, RULES
from ocw_mcp.domain.time import span_ms

if TYPE_CHECKING:
    from ocw_mcp.app.claude import ClaudeSetup

FASTEST = "max"
MAX_SPEED = 1_000_000


class RunRequest(NamedTuple):
    """What was asked for on the command line, as it was written."""

    market: str
    agent: str
    for_: str | None
    state: Path | None
    policies: Path | None
    policy: str
    prompts: Path | None
    env: Path | None
    product: str | None
    interval: str | None
    symbols: str | None
    seed: int
    speed: str = "max"
    picture: Path | None = None
    serve: str | None = None
    record: Path | None = None
    decisions: Path | None = None
    memory: bool = True
    strict: bool = False
    discontinuity: float | None = None
    metrics_stamps: str | None = None
    quiet: bool = False
    strategy: str | None = None
    every: str | None = None


def run_and_print(wish: RunRequest, *, as_json: bool, tape_only: bool = False) -> None:
    """Run a book as wished; print what happens and a report for people, or the report alone as JSON.

    Raises OcwError for whatever the user can mend.
    """
    settings = load_settings(wish.env, wish.state, os.environ)
    log.configure(settings.log_level, quiet=not as_json)
    unwritten: list[str] = []

    quiet = as_json or wish.quiet

    def lost(error: OSError) -> None:
        if said := complaint(error):
            unwritten.append(said)
            print(f"ocw: {said}; the run goes on without it", file=sys.stderr)  # noqa: T201 - to the person there

    # A line that nobody can read must not end a run: positions would be left with nobody to look after them.
    console = Clean(file=steady(sys.stdout, lost), highlight=False, markup=False, emoji=False, soft_wrap=True)
    for warning in settings.warnings:
        print(f"ocw: {warning}", file=sys.stderr)  # noqa: T201 - a warning to the person at the terminal
    line = StatusLine(sys.stderr, quiet=quiet)

    def say(text: Text) -> None:
        line.erase()
        console.print(text)

    narrator = None if quiet else Narrator(say)
    require_paper(settings)
    if not wish.market:
        raise SettingsError("the market is an empty text; expected sim, or the path of a tape")
    # A directory may be called sim; a replay means it, a run means the market.
    market = f"./{wish.market}" if tape_only and wish.market == SIMULATED else wish.market
    door = parse_listen_address(wish.serve, settings.serve_hosts) if wish.serve is not None else None
    speed, strategy = _speed(wish.speed), _strategy(wish)
    policies = load_policies(wish.policies, wish.policy)
    with line:
        line.show("opening the market")
        job = Job(
            feed=open_market(
                market,
                product=parse_product(wish.product),
                interval=wish.interval,
                symbols=parse_symbols(wish.symbols),
                seed=wish.seed,
                terms=tape_terms(wish.strict, wish.discontinuity, wish.metrics_stamps),
            ),
            agent=wish.agent if strategy is None else strategy.name,
            policies=policies if wish.every is None else with_every(policies, wish.every),
            prompts=load_prompts(wish.prompts),
            for_ms=parse_span(wish.for_),
            state=wish.state,
            speed=speed,
            picture=wish.picture,
            serve=door,
            brain=_brain(wish, settings, narrator),
            strategy=strategy,
            progress=None if narrator is None else RunProgress(line, narrator, paced=speed is not None),
        )
        outcome = run(job, narrator)
    if as_json:
        print(json.dumps(outcome.report, allow_nan=False))  # noqa: T201 - the result
    else:
        show(outcome.report, outcome.why, console)
        if wish.state is None and not tape_only and not wish.quiet:
            console.print("this book was temporary, and is gone; --state DIR or OCW_STATE keeps one")
    if unwritten:
        raise typer.Exit(1)


def _strategy(wish: RunRequest) -> NamedStrategy | None:
    if wish.strategy is None:
        return None
    if wish.agent != RULES:
        raise SettingsError(f"--strategy and --agent {wish.agent} both say who decides; expected one of them")
    return load_strategy(wish.strategy, Path.cwd())


def _brain(wish: RunRequest, settings: Settings, narrator: Narrator | None) -> "ClaudeSetup | None":
    if wish.agent == CLAUDE:
        # Only who asks Claude waits for the SDKs.
        from ocw_mcp.app.claude import ClaudeSetup

        tell = None if narrator is None else narrator.waits
        return ClaudeSetup(settings, wish.record, wish.decisions, remembers=wish.memory, report_wait=tell)
    for option, given in (("--record", wish.record), ("--decisions", wish.decisions)):
        if given is not None:
            raise SettingsError(f"{option} is about Claude's decisions, and --agent is {wish.agent}; expected claude")
    return None


def parse_product(text: str | None) -> Product | None:
    try:
        return Product(text) if text is not None else None
    except ValueError as error:
        raise SettingsError(f"--product is {text!r}; expected spot or um") from error


def parse_symbols(text: str | None) -> tuple[str, ...]:
    """Return the symbols of `--symbols` as they were written; the market says which of its own each means."""
    if text is None:
        return ()
    symbols = sorted({unicodedata.normalize("NFC", part.strip()) for part in text.split(",")})
    wrong = [symbol for symbol in symbols if not re.fullmatch(r"\w[\w/:\- ]{0,38}\w", symbol)]
    if wrong:
        raise SettingsError(f"--symbols names {wrong[0]!r}, which is no symbol; expected some such as BTCUSDT,ETHUSDT")
    return tuple(symbols)


def _speed(text: str) -> float | None:
    if text == FASTEST:
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= MAX_SPEED:
        raise SettingsError(f"--speed is {text!r}; expected {FASTEST}, or a number up to {MAX_SPEED:,} such as 1 or 60")
    return speed


def parse_span(text: str | None) -> int | None:
    try:
        return span_ms(text) if text is not None else None
    except ValueError as error:
        raise SettingsError(f"--for: {error}") from error
