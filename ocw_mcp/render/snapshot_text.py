"""A snapshot as plain text for a model: one block for each symbol that has an event or a position, one line for others.

Every reading has the name, the unit and the sign of the metric of a wake condition (`domain/metrics.py`). An unknown
value is shown as `?`, and its reason at the end. Only remarks of other authors than `reader` are quoted as data.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from msgspec.structs import replace

from ocw_mcp.domain.metrics import INDICATORS
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.snapshot import Feasible, PositionView, Snapshot, SymbolView, SymbolViews, TradeView
from ocw_mcp.domain.time import DAY, iso
from ocw_mcp.domain.unknown import Reading, Unknown
from ocw_mcp.render.learning_text import learned_lines
from ocw_mcp.render.outlook_text import anomaly_line, macro_name, regime_line, regime_name, scale_text
from ocw_mcp.render.outside_text import outside_lines
from ocw_mcp.render.quotations import note_line, wake_line, wake_quotations
from ocw_mcp.render.readings_text import (
    BRIEFED,
    Unknowns,
    closes_line,
    derivatives_line,
    floored,
    forming_lines,
    indicator_table,
    percent,
    price_line,
    sizes_line,
)
from ocw_mcp.render.since_text import refused_then, since_lines, standing_lines
from ocw_mcp.render.text import average, cents, span

BRIEFED_TRADES: Final = 3
"""Number of trades, of the last 24 hours, shown to a reader that can look up earlier ones."""
MOST_BLOCKS: Final = 6
"""Largest number of blocks for a briefed reader, and of blocks at a wake without any event or position: half of it."""

LEGEND: Final = (
    "Prices in quote currency, times UTC. Metrics have the names and units of conditions: returns, rates and "
    "vwap_deviation are shares (0.01 is 1 %); composite of derivatives: -1..1, above 0 leans long (its parts); "
    "long_short: top traders' longs over shorts; basis: premium over the index a year. regime: how volatile the market "
    "is among its last years; macro: growth and inflation; anomaly: an unusual hour. supertrend below the price: an "
    "uptrend. @1h: timeframe 1h, its last closed candle; @1h*: the forming one as if it closed now; STALE: the next "
    "one is overdue. max_size: the largest entry as a share of equity, scale included, with a stop up to a distance "
    "(limit that refuses more). ?: unknown."
)


def standing(limits: tuple[tuple[str, str], ...]) -> str:
    """Return the part that is the same at every wake: the legend and the limits in force."""
    tables: dict[str, list[str]] = {}
    for key, text in limits:
        table, _, name = key.rpartition(".")
        tables.setdefault(table or name, []).append(f"{name} {text}" if table else text)
    return "\n".join([LEGEND, *_listed("limits", [f"{table}: {', '.join(each)}" for table, each in tables.items()])])


def compact(snapshot: Snapshot, *, reader: str = "", briefed: bool = False) -> str:
    """Return the snapshot as text: the account, what happened, then the symbols, then the unknown values by reason.

    For a `briefed` reader, which has `standing` in its system prompt and can look up more, the legend, the limits,
    earlier trades and the indicators outside `BRIEFED` are omitted, and symbols without an event have one line.
    """
    unknowns = Unknowns()
    lines = [] if briefed else [standing(snapshot.limits)]
    lines.append(f"{iso(snapshot.at)[:16]} {snapshot.product} state {snapshot.state} {account_line(snapshot)}")
    lines += _listed("woken by", [wake_line(each, reader) for each in snapshot.wake])
    lines += wake_quotations(snapshot, reader)
    lines += since_lines(snapshot, reader)
    if snapshot.note is not None:
        lines.append(note_line(snapshot.note, reader, snapshot.at) + refused_then(snapshot))
    trades = snapshot.trades
    if briefed:
        trades = tuple(each for each in trades if snapshot.at - each.closed_at < DAY)[-BRIEFED_TRADES:]
    lines += _listed("closed trades", [_trade(trade, snapshot.at) for trade in trades])
    lines += [line] if (line := regime_line(snapshot)) else []
    lines += learned_lines(snapshot)
    lines += outside_lines(snapshot)
    if reader and snapshot.quotes_others(reader):
        lines.append("this context has text of others: your entries have stricter limits than max_size")
    whole = _with_block(snapshot) if briefed else set(snapshot.symbols)
    for symbol, view in snapshot.symbols.items():
        if symbol in whole:
            lines += ["", *_block(view, snapshot, unknowns, reader, BRIEFED if briefed else INDICATORS)]
    short = [_short_line(view, unknowns) for symbol, view in snapshot.symbols.items() if symbol not in whole]
    lines += ["", *short] if short else []
    last = [
        *([] if snapshot.positions else ["no open position"]),
        *standing_lines(_of_symbols(snapshot, set(snapshot.symbols) - whole, timer=True), reader),
        *_listed("correlation", list(correlations(snapshot, unknowns))),
        *unknowns.lines(),
    ]
    return "\n".join([*lines, "", *last])


def _listed(what: str, texts: list[str]) -> list[str]:
    return [f"{what}: {'; '.join(texts)}"] if texts else []


def account_line(snapshot: Snapshot) -> str:
    """Return the equity, a large loss of the day, and the scale of size limits on one line."""
    scale = ""
    if snapshot.scale != 1:
        limits = dict(snapshot.limits)
        names = {"regime": regime_name(snapshot), "macro": macro_name(snapshot)}
        scale = f"; {scale_text(snapshot, {name: limits.get(f'scale.{name}_{mood}') for name, mood in names.items()})}"
    equity = plain(round(snapshot.equity, 2))
    return f"equity {equity}{_loss_of_the_day(snapshot)}{scale}"


def _loss_of_the_day(snapshot: Snapshot) -> str:
    """Return the loss of the UTC day with its limit, once it is half of it; otherwise an empty text."""
    limit, loss = dict(snapshot.limits).get("daily_loss.max_share"), snapshot.daily_loss
    if limit is None or loss is None or loss < Decimal(limit) / 2:
        return ""
    return f"; daily_loss {percent(loss)}, from {percent(Decimal(limit))} no entries until the next UTC day"


def _with_block(snapshot: Snapshot) -> set[str]:
    """Return the symbols that have a block: those with a position or an event, or some if there is none."""
    events = [
        *snapshot.positions,
        *(each.symbol for each in snapshot.wake if each.symbol),
        *(each.symbol for each in snapshot.resting),
        *(each.symbol for each in snapshot.since if each.symbol),
    ]
    known = list(dict.fromkeys(each for each in events if each in snapshot.symbols))
    return set(known[:MOST_BLOCKS] or list(snapshot.symbols)[: MOST_BLOCKS // 2])


def _of_symbols(snapshot: Snapshot, symbols: set[str], *, timer: bool = False) -> Snapshot:
    """Return what stands on some symbols: orders, positions, conditions; the timer only on request."""
    return replace(
        snapshot,
        symbols=SymbolViews.of(view for name, view in snapshot.symbols.items() if name in symbols),
        resting=tuple(each for each in snapshot.resting if each.symbol in symbols),
        conditions=tuple(each for each in snapshot.conditions if each.condition.symbol in symbols),
        next_check_at=snapshot.next_check_at if timer else None,
    )


def _block(
    view: SymbolView, snapshot: Snapshot, unknowns: Unknowns, reader: str, indicators: tuple[str, ...]
) -> Iterator[str]:
    """Yield the lines of one symbol: price, position, what stands, sizes, derivatives, closes, indicators."""
    yield price_line(view, unknowns)
    if view.position is not None:
        yield from position_lines(view.position, snapshot.equity, snapshot.at, unknowns)
    yield from standing_lines(_of_symbols(snapshot, {view.symbol}), reader)
    for line in (sizes_line(view, unknowns), derivatives_line(view, unknowns), anomaly_line(view), closes_line(view)):
        if line:
            yield line
    yield from forming_lines(view, unknowns)
    yield from indicator_table(view.symbol, view.all_indicators(), indicators, unknowns, snapshot.at)


def position_lines(held: PositionView, equity: Decimal, at: int, unknowns: Unknowns) -> Iterator[str]:
    """Yield the lines of an open position: its size, its gain, and its protection."""
    long, size = held.quantity > 0, abs(held.quantity)
    way, cost = (1 if long else -1), size * held.average_price
    share = f" = {percent(size * held.mark / equity)} of equity" if equity > 0 else ""
    liquidated = "" if held.liquidation_price is None else f", liquidation {plain(held.liquidation_price)}"
    yield (
        f"{'long' if long else 'short'} {plain(size)}{share}, average {plain(average(held.average_price))}, "
        f"held {span(at - held.opened_at)}, leverage {held.leverage}{liquidated}"
    )
    gain = float(held.unrealised / cost) if cost else 0.0
    extremes = {"best": held.best, "worst": held.mae}
    texts = [f"{name} {_gain(value, held.symbol, name, unknowns)}" for name, value in extremes.items()]
    yield f"gain {percent(gain, sign=True)} ({cents(held.unrealised, signed=True)}), {', '.join(texts)}"
    target = "no target" if held.target is None else f"target {plain(held.target)}"
    if held.target is not None and held.mark:
        target += f", {percent(abs(held.target - held.mark) / held.mark)} away"
    trail = "" if held.trail is None else f"; trailing {percent(held.trail)} behind the best price"
    if held.stop is None:
        yield f"NO STOP, {target}"
        return
    away, there = (held.mark - held.stop) * way, (held.stop - held.average_price) * held.quantity
    risk = f", risk {percent(max(ZERO, away) * size / equity)} of equity" if equity > 0 else ""
    distance = f", {percent(away / held.mark)} away" if held.mark else ""
    yield f"stop {plain(held.stop)}{distance}{risk}, result there {cents(there, signed=True)}; {target}{trail}"


def _gain(value: Reading, symbol: str, name: str, unknowns: Unknowns) -> str:
    return unknowns.mark(value, symbol, f"{name} gain") if isinstance(value, Unknown) else percent(value, sign=True)


def _short_line(view: SymbolView, unknowns: Unknowns) -> str:
    """Return a symbol without an event on one line: price, returns, two indicators, largest sizes, warnings."""
    values = next((each for each in view.indicators if each.timeframe == "1h"), next(iter(view.indicators), None))
    parts = [price_line(replace(view, day_low=Unknown(""), indicators=()), unknowns)]
    if values is not None:
        where = values.timeframe
        names = ("rsi_14", "adx_14")
        texts = [
            f"{each}@{where} {unknowns.number(getattr(values, each), view.symbol, f'{each}@{where}', 3)}"
            for each in names
        ]
        parts.append(" ".join(texts))
    if isinstance(sizes := view.feasible, Feasible):
        steps = {side: each[0] for side, each in (("long", sizes.long), ("short", sizes.short)) if each}
        nearest = {side: floored(each.size) for side, each in steps.items()}
        same = len(nearest) == 2 and len(set(nearest.values())) == 1
        texts = [nearest["long"]] if same else [f"{side} {size}" for side, size in nearest.items()]
        distance = plain(min((each.distance for each in steps.values()), default=ZERO) * 100)
        parts.append(f"max_size {', '.join(texts)} to a stop {distance} % away" if texts else "")
    parts += [f"EXTREME: {' '.join(view.derivatives.extremes)}"] if view.derivatives.extremes else []
    parts.append(anomaly_line(view))
    return ", ".join(each for each in parts if each)


def correlations(snapshot: Snapshot, unknowns: Unknowns) -> Iterator[str]:
    """Yield each correlation as text: `BTCUSDT/ETHUSDT 0.83`."""
    for each in snapshot.correlations:
        pair = f"{each.first}/{each.second}"
        yield f"{pair} {unknowns.number(each.value, pair, 'correlation', 2)}"


def _trade(trade: TradeView, now: int) -> str:
    held, ago = span(trade.closed_at - trade.opened_at), span(max(0, now - trade.closed_at))
    return f"{trade.symbol} {trade.side} {trade.pnl:+.2f}, held {held}, {ago} ago"
