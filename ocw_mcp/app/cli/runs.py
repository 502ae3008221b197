"""`ocw run` and `ocw replay`."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import typer
from rich.text import Text

from ocw_mcp.adapters.binance.weights import Weights
from ocw_mcp.adapters.store.directory import has_book
from ocw_mcp.app import log
from ocw_mcp.app.cli.options import RunRequest, print_json
from ocw_mcp.app.cli.tables import Clean
from ocw_mcp.app.exchange_access import open_access, require_exchange, require_mode
from ocw_mcp.app.markets import BINANCE, FIRST_SEED, SIMULATED, open_market
from ocw_mcp.app.narrator import Narrator, RunProgress
from ocw_mcp.app.output import StatusLine, output_problem, steady
from ocw_mcp.app.outside import outside_of
from ocw_mcp.app.parsing import parse_listen_address, parse_product, parse_span, parse_symbols, tape_terms
from ocw_mcp.app.policy_loader import load_policies, load_prompts, with_every
from ocw_mcp.app.report_view import show
from ocw_mcp.app.runner import Job, run
from ocw_mcp.app.settings import Settings, load_settings, mode_of
from ocw_mcp.app.strategies import load_strategy
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import CLAUDE, RULES
from ocw_mcp.domain.protocols import Clock, Feed
from ocw_mcp.domain.state import Mode
from ocw_mcp.runtime.clock import PacedClock

if TYPE_CHECKING:
    from ocw_mcp.app.claude import ClaudeSetup

FASTEST = "max"
MAX_SPEED = 1_000_000


def run_and_print(request: RunRequest, *, tape_only: bool = False, record_to: Path | None = None) -> None:
    """Run a book as requested; print its events and a report as text, or only the report as JSON.

    `tape_only` is set for `ocw replay`, and `record_to` is the directory of `ocw record`. Raises OcwError for an error
    that the user can correct.
    """
    settings = load_settings(request.env, request.state, os.environ)
    log.configure(settings.log_level, quiet=not request.as_json)
    unwritten: list[str] = []
    quiet = request.as_json or request.quiet

    def lost(error: OSError) -> None:
        if problem := output_problem(error):
            unwritten.append(problem)
            print(f"ocw: {problem}; the run continues without it", file=sys.stderr)  # noqa: T201 - to the operator

    # A line that cannot be written must not end a run: open positions would be left without an engine.
    console = Clean(file=steady(sys.stdout, lost), highlight=False, markup=False, emoji=False, soft_wrap=True)
    for warning in settings.warnings:
        print(f"ocw: {warning}", file=sys.stderr)  # noqa: T201 - a warning to the operator
    line = StatusLine(sys.stderr, quiet=quiet)

    def say(text: Text) -> None:
        line.erase()
        console.print(text)

    narrator = None if quiet else Narrator(say)
    with line:
        job = _job(request, settings, line, narrator, tape_only=tape_only, record_to=record_to)
        outcome = run(job, narrator)
    if request.as_json:
        print_json(outcome.report, indent=None)
    else:
        show(outcome.report, outcome.why, console)
        if job.access is not None and outcome.report["positions"]:
            console.print(
                "the open positions stay at the exchange with their stops, and no engine manages them: start the same "
                "ocw run again to manage them, or close them with ocw flatten and that run"
            )
        if request.state is None and not tape_only and not request.quiet:
            console.print("this book was temporary and is deleted; --state DIR or OCW_STATE keeps a book")
    if unwritten:
        raise typer.Exit(1)


def _job(
    request: RunRequest,
    settings: Settings,
    line: StatusLine,
    narrator: Narrator | None,
    *,
    tape_only: bool,
    record_to: Path | None,
) -> Job:
    """Return the inputs of the requested run. Raises OcwError for options that cannot be used."""
    # A replay is always on paper.
    mode = Mode.PAPER if tape_only else mode_of(settings, request.mode)
    if not request.market:
        raise SettingsError("the market is an empty text; expected sim, binance, or the path of a tape")
    # If a directory is called sim, a replay uses the directory, and a run uses the simulated market.
    market = f"./{request.market}" if tape_only and request.market in (SIMULATED, BINANCE) else request.market
    address = parse_listen_address(request.serve, settings.serve_hosts) if request.serve is not None else None
    paced = _clock(request.speed)
    if request.strategy is not None and request.agent != RULES:
        raise SettingsError(f"--strategy and --agent {request.agent} both choose the agent; expected one of them")
    strategy = None if request.strategy is None else load_strategy(request.strategy, Path.cwd())
    policies = load_policies(request.policies, request.policy)
    if request.every is not None:
        policies = with_every(policies, request.every)
    if request.state is not None:
        require_mode(request.state, mode)
    access = None
    weights = Weights(parse_product(request.product) or Product.UM) if market == BINANCE else None
    if mode is not Mode.PAPER:
        state, product = require_exchange(mode, market, request.state), parse_product(request.product) or Product.UM
        access, policies = open_access(
            mode, product, state, settings, policies, structlog.get_logger().warning, weights
        )
    line.show("opening the market")
    feed, clock = _market(request, market, settings, line, paced, weights)
    return Job(
        feed=feed,
        agent=request.agent if strategy is None else strategy.name,
        policies=policies,
        prompts=load_prompts(request.prompts),
        for_ms=parse_span(request.for_),
        state=request.state,
        clock=clock,
        picture=request.picture,
        serve=address,
        claude=_claude_setup(request, settings, narrator),
        strategy=strategy,
        access=access,
        outside=outside_of(settings, request.state, live=market == BINANCE),
        record_to=record_to,
        progress=None if narrator is None else RunProgress(line, narrator, paced=clock is not None),
    )


def _market(
    request: RunRequest,
    market: str,
    settings: Settings,
    line: StatusLine,
    paced: Clock | None,
    weights: Weights | None,
) -> tuple[Feed, Clock | None]:
    """Return the market of a run and its clock. Raises MarketUnreachable for a new book of a market without answer."""
    product, symbols = parse_product(request.product), parse_symbols(request.symbols)
    if market != BINANCE:
        terms = tape_terms(request.strict, request.discontinuity, request.metrics_stamps)
        interval, seed = request.interval, request.seed
        feed = open_market(market, product=product, interval=interval, symbols=symbols, seed=seed, terms=terms)
        return feed, paced
    not_live = (
        ("--speed", request.speed != FASTEST),
        ("--seed", request.seed != FIRST_SEED),
        ("--picture", request.picture is not None),
        ("--strict", request.strict),
        ("--discontinuity", request.discontinuity is not None),
        ("--metrics-stamps", request.metrics_stamps is not None),
    )
    if unused := next((option for option, given in not_live if given), None):
        raise SettingsError(f"{unused} has no meaning on the live market, which runs in real time; leave it out")
    # The libraries of the network are imported only for a live market.
    from ocw_mcp.app.live_market import await_sandbox, open_live, require_reachable

    exists = request.state is not None and has_book(request.state)
    if exists and settings.binance_loopback is not None:
        await_sandbox(settings.binance_loopback, structlog.get_logger().warning)
    found = open_live(
        product,
        symbols,
        request.interval,
        settings.binance_loopback,
        lambda done: line.show(f"reading the market's history: {done:.0%}"),
        weights,
    )
    if not exists:
        require_reachable(product, settings.binance_loopback)
    return found


def _claude_setup(request: RunRequest, settings: Settings, narrator: Narrator | None) -> "ClaudeSetup | None":
    if request.agent == CLAUDE:
        # The SDKs are imported only for a run that asks Claude.
        from ocw_mcp.app.claude import ClaudeSetup

        waits = None if narrator is None else narrator.waits
        return ClaudeSetup(settings, request.record, request.decisions, remembers=request.memory, report_wait=waits)
    for option, given in (("--record", request.record), ("--decisions", request.decisions)):
        if given is not None:
            raise SettingsError(f"{option} needs --agent claude, and --agent is {request.agent}; expected claude")
    return None


def _clock(speed: str) -> PacedClock | None:
    """Return the clock of a simulated market at a speed; None for the fastest. Raises SettingsError."""
    if speed == FASTEST:
        return None
    try:
        times = float(speed)
    except ValueError:
        times = 0.0
    if not 0 < times <= MAX_SPEED:
        raise SettingsError(
            f"--speed is {speed!r}; expected {FASTEST}, or a number up to {MAX_SPEED:,} such as 1 or 60"
        )
    return PacedClock(times)
