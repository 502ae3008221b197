"""`replay`: runs a strategy over a market, and returns trades, orders, decisions and equity as typed records."""

import asyncio
import math
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import Any, Final, TypeVar

from sqlite_utils import Database

from ocw_mcp.adapters.store.book import StoredBook
from ocw_mcp.adapters.store.database import journal_events
from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.adapters.store.views.decisions import DecisionRow, find_decisions
from ocw_mcp.adapters.store.views.orders import OrderRow, RefusalRow, find_orders
from ocw_mcp.adapters.store.views.trades import TradeRow, find_trades
from ocw_mcp.app import picture
from ocw_mcp.app.api.records import Records
from ocw_mcp.app.drawing import require_png
from ocw_mcp.app.export import EquityPoint
from ocw_mcp.app.markets import SIMULATED, open_market
from ocw_mcp.app.parsing import parse_product, parse_symbols
from ocw_mcp.app.policy_loader import LoadedPolicies, load_policies, load_prompts, with_every
from ocw_mcp.app.resources import shipped
from ocw_mcp.app.runner import Job, run
from ocw_mcp.app.strategies import NamedStrategy, load_strategy, named
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.errors import SettingsError, StrategyError
from ocw_mcp.domain.money import exact
from ocw_mcp.domain.protocols import Feed
from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.time import DAY
from ocw_mcp.runtime.deciders import Strategy

_ALL: Final = 1 << 62
_T = TypeVar("_T")


@dataclass(frozen=True, eq=False, repr=False)
class ReplayResult:
    """The result of a replay. Each sequence of records has `to_polars()` and `to_pandas()`."""

    report: dict[str, Any]
    """The statistics of the run, as `ocw run --json` prints them: money in quote currency, rates as fractions of 1."""
    why: str
    """Why the run ended."""
    warnings: tuple[str, ...]
    """Warnings about the market or the policies, one sentence each."""
    trades: Records[TradeRow]
    """Closed trades; each lasts from the first fill of a position until the position is zero."""
    orders: Records[OrderRow]
    """Orders that were sent, stops and targets included."""
    refusals: Records[RefusalRow]
    """Orders that a limit refused, with the code, the limit, the actual value and the largest size that passes."""
    decisions: Records[DecisionRow]
    """The strategy's decision at each wake, with the number of its orders and refusals."""
    equity: Records[EquityPoint]
    """Equity at each call of the strategy in this replay, at the start of each UTC day, and at the end."""
    _story: picture.ChartData
    _feed: Feed

    @property
    def fingerprint(self) -> str:
        """The digest over all events: the same inputs give the same fingerprint."""
        return str(self.report["fingerprint"])

    def picture(self, path: str | Path) -> Path:
        """Draw prices, wakes, trades and equity into a PNG; return its path. Raises SettingsError if drawing fails."""
        to, figures = Path(path), self.report
        require_png(to)
        if not figures["candles"]:
            raise SettingsError("no candle closed in this replay, so there is nothing to draw; give it more days")
        story = self._story._replace(equity=[(each.at, float(each.equity)) for each in self.equity])
        _outside_loops(lambda: picture.draw(to, self._feed, story, figures), Event())
        return to

    def __repr__(self) -> str:
        figures = self.report
        return (
            f"<ReplayResult {', '.join(figures['symbols'])}: equity {figures['equity_start']:,.2f} to "
            f"{figures['equity_end']:,.2f} ({figures['return']:+.2%}), {len(self.trades):,} trades, "
            f"{len(self.orders):,} orders, {len(self.refusals):,} refusals, {len(self.decisions):,} decisions, "
            f"fingerprint {self.fingerprint[:12]}>"
        )


def replay(
    market: str | Path,
    *,
    strategy: Strategy | str,
    every: str | None = None,
    days: float | None = None,
    symbols: str | Sequence[str] = (),
    interval: str | None = None,
    product: str | None = None,
    seed: int = 1,
    policies: str | Path | LoadedPolicies = "default",
    state: str | Path | None = None,
) -> ReplayResult:
    """Run a strategy over a market on paper, as fast as possible, and return the result.

    `market` is `"sim"` or the path of a tape: candles in the layout of the exchange's public archive. `strategy` is a
    function that takes a Snapshot and returns a Decision, or None to hold; or its name, `"my_module:decide"`.

    `every`, such as `"15m"`, calls the strategy at the first candle close at or after each multiple of that time in
    UTC, once the warm-up history has been read. Without `every` the wake-up gate of the policies calls the strategy. A
    wake condition that a decision set calls the strategy when it is met, with and without `every`. No market time
    passes during a call. The orders of a strategy must pass the same limits as the orders of any agent.

    `days` is the market time to run, from the end of the book's last run: required for the simulated market, by
    default the whole tape. `symbols`, `interval` and `product` (`"um"` or `"spot"`) select a part of a market, and
    `seed` is the seed of the simulated market. `policies` is the name of a shipped policy file, or the path of a file
    or of a folder with a `default.toml`. `state` is a folder that keeps the book, so that a later replay can continue
    it; without `state` the book is temporary.

    The same inputs and decisions give the same fingerprint. Raises SettingsError, TapeError or BookError with one
    sentence, StrategyError if the strategy returns no Decision, and any exception of the strategy unchanged.
    """
    chosen = load_strategy(strategy, Path.cwd()) if isinstance(strategy, str) else named(strategy)
    loaded = _policies(policies)
    if not str(market):
        raise SettingsError("the market is an empty text; expected sim, or the path of a tape")
    feed = open_market(
        # A folder may be called sim: a Path is that folder, a text is the simulated market.
        f"./{market}" if market == Path(SIMULATED) else str(market),
        product=parse_product(product, "product"),
        interval=interval,
        symbols=parse_symbols((symbols if isinstance(symbols, str) else ",".join(symbols)) or None, "symbols"),
        seed=seed,
    )
    equity: dict[int, Decimal] = {}
    interrupted = Event()

    def sampled(snapshot: Snapshot) -> Decision | None:
        if interrupted.is_set():
            raise StrategyError("the replay was interrupted")
        equity[snapshot.at] = snapshot.equity
        return chosen.decide(snapshot)

    with ExitStack() as stack:
        directory = Path(state or stack.enter_context(tempfile.TemporaryDirectory(prefix="ocw-")))
        job = Job(
            feed=feed,
            agent=chosen.name,
            policies=loaded if every is None else with_every(loaded, every),
            prompts=load_prompts(None),
            for_ms=_span(days, market),
            state=directory,
            strategy=NamedStrategy(chosen.name, sampled),
            embedded=True,
        )
        outcome = _outside_loops(lambda: run(job), interrupted)
        orders, refusals, trades, decisions, story = ask_book(directory, _read)
    figures = outcome.report
    equity = {at: exact(value) for at, value in story.equity} | equity
    if figures["to"] is not None:
        equity[figures["to"]] = exact(figures["equity_end"])
    return ReplayResult(
        figures,
        outcome.why,
        outcome.warnings,
        trades=Records(TradeRow, trades),
        orders=Records(OrderRow, orders),
        refusals=Records(RefusalRow, refusals),
        decisions=Records(DecisionRow, decisions),
        equity=Records(EquityPoint, [EquityPoint(*each) for each in sorted(equity.items())]),
        _story=story,
        _feed=feed,
    )


def _outside_loops(work: Callable[[], _T], interrupted: Event) -> _T:
    """Return the result of `work`, which runs an event loop; if a loop runs already, as in a notebook, use a thread.

    On Ctrl-C, which Python delivers to the main thread only, this function sets the event `interrupted`: `work` in a
    thread must then end.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1, "ocw-replay") as pool:
        try:
            return pool.submit(work).result()
        except BaseException:
            interrupted.set()
            raise


def _read(
    db: Database, _book: StoredBook
) -> tuple[list[OrderRow], list[RefusalRow], list[TradeRow], list[DecisionRow], picture.ChartData]:
    found = find_orders(db, _ALL, finished=True)
    trades, decisions = find_trades(db, _ALL).trades, find_decisions(db, _ALL).decisions
    return found.orders, found.refusals, trades, decisions, picture.gather(journal_events(db))


def _policies(given: str | Path | LoadedPolicies) -> LoadedPolicies:
    if isinstance(given, LoadedPolicies):
        return given
    by_name = isinstance(given, str) and (shipped("policies") / f"{given}.toml").is_file()
    path = Path(given)
    if by_name or not (path.exists() or path.suffix or len(path.parts) > 1):
        return load_policies(None, str(given))
    return load_policies(path)


def _span(days: float | None, market: str | Path) -> int | None:
    if days is None:
        if market == SIMULATED:
            raise SettingsError("the simulated market has no end; give the number of days to replay, such as days=5")
        return None
    if not (isinstance(days, int | float) and math.isfinite(days) and days > 0):
        raise SettingsError(f"days is {days!r}; expected a number above 0, such as 5 or 0.5")
    return round(days * DAY)
