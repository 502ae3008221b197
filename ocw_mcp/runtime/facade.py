"""The view of a running engine that every caller shares: desktop client, scripts, dashboard and agent.

Callers read on the event loop of the engine between two of its steps, so that a read is consistent without a lock. The
past is queried from the store in another thread (`history.py`), and is at most a second old.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal

import msgspec

from ocw_mcp.adapters.store.book import BookStamp
from ocw_mcp.adapters.store.views.equity import Closes
from ocw_mcp.core.orders.table import TrackedOrder
from ocw_mcp.core.risk.limits import ALL_LIMITS, limits_in_force
from ocw_mcp.domain.decision import Leg
from ocw_mcp.domain.health import FeedHealth
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.protocols import Clock, Store
from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.domain.snapshot import IndicatorValues, PositionView, Snapshot, SymbolView
from ocw_mcp.domain.state import Lowered, Mode, TradingState
from ocw_mcp.domain.symbols import matched
from ocw_mcp.domain.time import span_name
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.engine.exposure import free_margin, reserved_by
from ocw_mcp.engine.precheck import CheckedLeg
from ocw_mcp.engine.step import Engine
from ocw_mcp.runtime.history import History
from ocw_mcp.runtime.outbox import OutboxStats
from ocw_mcp.runtime.trading import Trading

DAILY = "1d"
"""The resolution of an equity curve that has the start of each UTC day, and covers the whole book."""


class Moment(msgspec.Struct, frozen=True):
    """The mode, state and freshness of an answer. `as_of` in ms; None before the market begins and while warming up."""

    mode: Mode
    state: TradingState
    as_of: int | None
    age_ms: int | None
    """The age of the oldest of the last prices; None if a symbol has no price yet."""
    source: str
    """The identity of the market data."""
    stale: bool
    """Whether a price is missing or too old for an entry, or the engine is behind its journal."""
    catching_up: bool
    """Whether the engine repeats journaled steps after a restart: the answer holds for `as_of` only."""


class Status(msgspec.Struct, frozen=True):
    """A summary of the engine. Money in quote currency, shares as fractions, times in ms."""

    book: str
    version: str
    product: str
    symbols: tuple[str, ...]
    interval: str
    agent: str
    """The agent's name, and its restrictions by the operator."""
    agent_name: str
    equity: Decimal
    day: str
    daily_loss: Decimal
    daily_loss_reached: bool
    paused_until: int | None
    lowered: Lowered | None
    """The operator, client or part of the engine that ended the state ACTIVE, with time and reason."""
    degraded: dict[str, str]
    """The symbols, `clock` or `market` whose data cannot be relied on, each with the reason."""
    open_positions: int
    unprotected: tuple[str, ...]
    live_orders: int
    last_wake: int
    deciding: bool
    policy: str
    policy_hash: str
    prompts_hash: str
    chain_head: str
    fingerprint: str


class Portfolio(msgspec.Struct, frozen=True):
    """The account. Money in quote currency; ratios are fractions (1 is 100 %), and gross_share can exceed 1."""

    equity: Decimal
    wallet: Decimal
    free: Decimal
    """The free margin for new entries: wallet minus unrealised loss and the margin of positions and live entries."""
    unrealised: Decimal
    gross: Decimal
    gross_share: Decimal
    fees: Decimal
    funding: Decimal
    day_opening: Decimal
    daily_loss: Decimal
    peak: Decimal
    drawdown: Decimal
    entries_today: int
    losses_in_a_row: int
    paused_until: int | None
    scale: Decimal
    scale_reason: str
    """The factors of `scale`: `regime calm 1, macro unknown 0.9`."""


class Candles(msgspec.Struct, frozen=True):
    """Closed candles of one timeframe, oldest first: open time (ms), open, high, low, close, volume."""

    symbol: str
    timeframe: str
    rows: list[tuple[int, float, float, float, float, float]]
    more: bool
    """Whether older candles exist."""


class SymbolFeed(msgspec.Struct, frozen=True):
    """The newest market data of a symbol. Times and spans in ms; None before its first closed candle."""

    symbol: str
    last: float | None
    """The last close, in quote currency."""
    closed_at: int | None
    age_ms: int | None
    stale: bool
    """Whether the price is missing or too old for an entry."""


class FeedView(msgspec.Struct, frozen=True):
    """The freshness of the market data. `age_limit_ms` is the largest age of a price that an entry accepts."""

    interval: str
    age_limit_ms: int
    symbols: list[SymbolFeed]
    degraded: dict[str, str]
    """The symbols, `clock` or `market` whose data cannot be relied on, each with the reason."""
    heartbeat_at: int | None
    """The machine's time (ms) of the last heartbeat; None without one."""
    health: FeedHealth | None
    """The health of a live feed; None on other markets."""


class PolicyView(msgspec.Struct, frozen=True):
    """The limits in force, and how much of each measured limit is used. All values are text, as in the policy file."""

    name: str
    hash: str
    limit_usage: list[dict[str, str]]
    limits: tuple[tuple[str, str], ...]


class Facade:
    """Read access to one running engine; `trading` has the actions on it, `history` its past."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        store: Store,
        stamp: BookStamp,
        history: History,
        version: str,
        trading: Trading,
        catching_up: Callable[[], bool],
        health: Callable[[], FeedHealth | None] = lambda: None,
        heartbeat_at: Callable[[], int | None] = lambda: None,
        outbox: Callable[[], OutboxStats | None] = lambda: None,
    ) -> None:
        """`catching_up` returns whether the engine is behind its journal, as `BookRun.catching_up` does.

        `health` returns the health of a live feed, and `heartbeat_at` the machine's time (ms) of the last heartbeat.
        `outbox` returns how full the outbox to an exchange is; None without one.
        """
        self._engine, self.learning = engine, engine.learning
        self._clock = clock
        self._store = store
        self._mode, self._source = stamp.mode, str(stamp.market)
        self._version = version
        self._catching_up, self._health, self._heartbeat_at = catching_up, health, heartbeat_at
        self.outbox = outbox
        self._latest: tuple[tuple[int, int], Snapshot] | None = None
        self.book = store.book
        self.symbols = engine.config.symbols
        self.policies: Policies = engine.config.policies
        self.history = history
        self.trading = trading

    @property
    def begun(self) -> bool:
        """Return whether the book has had its first frame."""
        return self._engine.counters.began_at is not None

    @property
    def settled(self) -> bool:
        """Return whether the book has begun and the engine has caught up with its journal."""
        return self.begun and not self._catching_up()

    @property
    def on_history(self) -> bool:
        """Return whether the engine has read only history: market data from before the book's first frame."""
        return not self.begun and any(each.known_at is not None for each in self._engine.market.symbols.values())

    def moment(self) -> Moment:
        """Return mode, state and freshness at the present engine time."""
        now = self._clock.now()
        known = [each.known_at for each in self._engine.market.symbols.values()]
        ages = [now - at for at in known if at is not None]
        age = max(ages) if len(ages) == len(known) else None
        behind = self._catching_up()
        return Moment(
            mode=self._mode,
            state=self._engine.account.trading_state,
            as_of=now if ages and self.begun else None,
            age_ms=age,
            source=self._source,
            stale=behind or age is None or age > self._engine.prices.age_limit_ms or not self.begun,
            catching_up=behind,
        )

    def status(self) -> Status:
        """Return a summary of the engine."""
        engine, account = self._engine, self._engine.account
        equity, config = account.ledger.equity(), engine.config
        return Status(
            book=self._store.book,
            version=self._version,
            product=config.product,
            symbols=config.symbols,
            interval=span_name(config.interval),
            agent=self._agent(),
            agent_name=config.agent,
            equity=equity,
            day=account.day.today.day,
            daily_loss=account.day.loss(equity) if self.begun else ZERO,
            daily_loss_reached=account.day.today.reached,
            paused_until=self._paused_until(),
            lowered=account.lowered,
            degraded=engine.degraded,
            open_positions=len(account.ledger.positions),
            unprotected=tuple(view.symbol for view in self.positions() if view.stop is None),
            live_orders=sum(1 for _ in engine.orders.live()),
            last_wake=engine.decisions.state().last_wake,
            deciding=engine.decisions.open_request is not None,
            policy=config.policies.name,
            policy_hash=config.policy_hash,
            prompts_hash=config.prompts_hash,
            chain_head=self._store.chain_head,
            fingerprint=self._store.fingerprint,
        )

    def snapshot(self, symbol: str | None = None) -> Snapshot:
        """Return the snapshot that a wake would have now, of all symbols or of one. Raises RequestError."""
        key = (self._engine.steps, self._clock.now())
        if self._latest is None or self._latest[0] != key:
            self._latest = (key, self._engine.snapshot(key[1]))
        whole = self._latest[1]
        if symbol is None:
            return whole
        name = self.known(symbol)
        pairs = tuple(each for each in whole.correlations if name in (each.first, each.second))
        return msgspec.structs.replace(whole, symbols={name: whole.symbols[name]}, correlations=pairs)

    def symbol(self, symbol: str) -> SymbolView:
        """Return one symbol of the snapshot. Raises RequestError."""
        return self.snapshot(symbol).symbols[self.known(symbol)]

    def indicators(self, symbol: str, timeframe: str | None = None) -> dict[str, IndicatorValues]:
        """Return a symbol's indicators, of all timeframes or of one; a forming candle is `1h*`. Raises RequestError."""
        view = self.symbol(symbol)
        found = view.all_indicators()
        if timeframe is None:
            return found
        chosen = {name: values for name, values in found.items() if values.timeframe == timeframe}
        if not chosen:
            raise _no_timeframe(timeframe, (each.timeframe for each in view.indicators))
        return chosen

    def candles(self, symbol: str, timeframe: str, limit: int, before: int | None = None) -> Candles:
        """Return the newest `limit` closed candles that opened before `before` (ms). Raises RequestError."""
        name = self.known(symbol)
        built = {span_name(each): each for each in self._engine.market.timeframes}
        if timeframe not in built:
            raise _no_timeframe(timeframe, built)
        series = self._engine.market.symbols[name].series(built[timeframe])
        end = len(series) if before is None else series.first_from(before)
        start = max(0, end - limit)
        columns = (series.open_times, series.opens, series.highs, series.lows, series.closes, series.volumes)
        rows = list(zip(*(column[start:end] for column in columns), strict=True))
        return Candles(name, timeframe, rows, start > 0)

    def closes(self, timeframe: str) -> Closes:
        """Return a copy of the closes of all closed candles in memory of one timeframe. Raises RequestError."""
        built = {span_name(each): each for each in self._engine.market.timeframes}
        if timeframe not in built:
            raise _no_timeframe(timeframe, (*built, DAILY))
        interval = built[timeframe]
        series = {name: each.series(interval) for name, each in self._engine.market.symbols.items()}
        times = {name: [at + interval for at in each.open_times] for name, each in series.items()}
        return Closes(times, {name: each.closes.tolist() for name, each in series.items()})

    def feed(self) -> FeedView:
        """Return the newest market data of each symbol and its age."""
        now, limit, behind = self._clock.now(), self._engine.prices.age_limit_ms, self._catching_up() or not self.begun
        symbols = []
        for name, market in self._engine.market.symbols.items():
            at = market.known_at
            age = None if at is None else now - at
            last = None if isinstance(market.last, Unknown) else market.last
            symbols.append(SymbolFeed(name, last, at, age, behind or age is None or age > limit))
        return FeedView(
            span_name(self._engine.config.interval),
            limit,
            symbols,
            self._engine.degraded,
            self._heartbeat_at(),
            self._health(),
        )

    def portfolio(self) -> Portfolio:
        """Return the account."""
        account = self._engine.account
        ledger, activity = account.ledger, account.activity.state()
        equity, gross = ledger.equity(), ledger.gross()
        return Portfolio(
            equity=equity,
            wallet=ledger.wallet,
            free=free_margin(ledger, equity, reserved_by(self._engine.orders)),
            unrealised=equity - ledger.wallet,
            gross=gross,
            gross_share=gross / equity if equity > 0 else ZERO,
            fees=ledger.fees,
            funding=ledger.funding,
            day_opening=account.day.today.opening,
            daily_loss=account.day.loss(equity) if self.begun else ZERO,
            peak=account.drawdown.state().watched,
            drawdown=account.drawdown.fall(equity),
            entries_today=activity.entries_today,
            losses_in_a_row=activity.losses_in_a_row,
            paused_until=self._paused_until(),
            scale=account.outlook.scale(self._clock.now()),
            scale_reason=account.outlook.scale_reason(self._clock.now()),
        )

    def positions(self) -> list[PositionView]:
        """Return every open position, sorted by symbol."""
        return self._engine.positions()

    def unprotected_until(self, symbol: str) -> int | None:
        """Return the time (ms) at which a position without a stop is closed; None if it has a stop."""
        protection = self._engine.guard.protections.get(symbol)
        return protection.deadline if protection and not protection.protected else None

    def orders(self) -> list[TrackedOrder]:
        """Return every order that may still fill, oldest first."""
        return list(self._engine.orders.live())

    def policy(self) -> PolicyView:
        """Return the limits in force and the use of each."""
        config = self._engine.config
        scale = plain(self._engine.account.outlook.scale(self._clock.now()))
        scale = f"{scale} x position, risk, exposure and correlated limits"
        limits = (*limits_in_force(config.policies, ALL_LIMITS), ("scale", scale))
        return PolicyView(config.policies.name, config.policy_hash, self._engine.limit_usage(), limits)

    def check(self, leg: Leg, principal: str, quantity: Decimal | None = None) -> CheckedLeg:
        """Return the answer that a leg would get now, from the code that would execute it. Raises RequestError."""
        leg = msgspec.structs.replace(leg, symbol=self.known(leg.symbol))
        return self._engine.check(leg, principal, self._clock.now(), quantity)

    def known(self, symbol: str) -> str:
        """Return the symbol as the engine spells it. Raises RequestError if the engine does not follow it."""
        name = matched(symbol, self.symbols)
        if name is None:
            limit, next_ = ",".join(self.symbols), "ask for one of these symbols"
            raise RequestError(RequestCode.UNKNOWN_SYMBOL, limit=limit, actual=repr(symbol[:20]), next_=next_)
        return name

    def thinking_spent_usd(self) -> tuple[Decimal, Decimal]:
        """Return the reported cost (USD) of decisions in the UTC day and the UTC month of engine time."""
        return self._engine.decisions.budget.spent(self._clock.now())

    def _agent(self) -> str:
        manual, parts = self._engine.executor.manual_control, [self._engine.config.agent]
        parts += [f"paused by {manual.paused_by}"] if manual.paused_by else []
        parts += [f"manual control of {', '.join(sorted(manual.held))}"] if manual.held else []
        return "; ".join(parts)

    def _paused_until(self) -> int | None:
        until = self._engine.account.activity.state().paused_until
        return until if until > self._clock.now() else None


def _no_timeframe(asked: str, known: Iterable[str]) -> RequestError:
    limit, actual = ",".join(known), repr(asked[:20])
    return RequestError(RequestCode.UNKNOWN_TIMEFRAME, limit=limit, actual=actual, next_="ask for one of these")
