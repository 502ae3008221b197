"""The picture of a run: prices, read from the feed again, and wakes, trades and equity from the journal."""

import asyncio
from collections.abc import Iterable
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ocw_mcp.app.drawing import moments, save
from ocw_mcp.domain import events
from ocw_mcp.domain.events import JournalEvent
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.protocols import Feed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS: Final = 3_000
"""The most price points of one symbol; each shows the price range of one or more candles."""
MOST_PARTS: Final = 100
"""The most marks of closed parts of one trade."""
KINDS: Final = {"close": "#9aa0a6", "timer": "#4f7fd6", "outlier": "#e08a1e", "near": "#c0392b", "condition": "#8e4ec6"}
"""Colours of wakes by the kind of their reason, in drawing order."""
UP, DOWN, PRICE = "#1a8f5a", "#c6373c", "#2b2f36"


class ChartTrade(NamedTuple):
    """A position from its first fill to its last, or one still open: times in ms, average prices, profit after fees."""

    symbol: str
    long: bool
    opened_at: int
    entry: float
    closed_at: int | None = None
    exit: float = 0.0
    pnl: float = 0.0
    stopped: bool = False
    parts: tuple[tuple[int, float], ...] = ()
    """Time (ms) and price of each fill that closed a part and left the rest open."""


class ChartData(NamedTuple):
    """Data of a run from the journal: trades, wakes as (time, symbol or None, kind), equity at each day's start."""

    trades: list[ChartTrade]
    wakes: list[tuple[int, str | None, str]]
    equity: list[tuple[int, float]]


class ChartPrices(NamedTuple):
    """A symbol's prices: times (ms), closes, and the price range of each point; NaN for missing candles."""

    at: list[int]
    close: list[float]
    low: list[float]
    high: list[float]

    def point(self, at: int, close: float, low: float, high: float) -> None:
        """Add a price point, or a gap if the prices are NaN."""
        self.at.append(at)
        self.close.append(close)
        self.low.append(low)
        self.high.append(high)


def gather(journal: Iterable[tuple[int, JournalEvent]]) -> ChartData:
    """Return the data of the picture from a journal's events, given in order."""
    story = ChartData([], [], [])
    open_trades: dict[str, ChartTrade] = {}
    last: dict[str, events.OrderFilled] = {}
    for at, event in journal:
        match event:
            case events.DayOpened(equity=equity):
                story.equity.append((at, float(equity)))
            case events.WakeRaised(reasons=reasons):
                kinds = ((each.symbol, each.reasons[0].kind) for each in reasons)
                story.wakes.extend((at, symbol, kind if kind in KINDS else "condition") for symbol, kind in kinds)
            case events.OrderFilled(symbol=symbol):
                last[symbol] = event
                held = open_trades.get(symbol)
                if held is not None and event.position and (event.side == "sell") == held.long:
                    part = (event.traded_at, float(event.price))
                    open_trades[symbol] = held._replace(parts=(*held.parts, part)[:MOST_PARTS])
                if event.position and held is None:
                    open_trades[symbol] = ChartTrade(symbol, event.position > 0, event.traded_at, float(event.price))
            case events.PositionClosed(symbol=symbol, pnl=pnl) if symbol in open_trades:
                fill, trade = last[symbol], open_trades.pop(symbol)
                # The target of an OCO order has the leg of the stop, and fills as maker.
                stopped = fill.ref.leg is Purpose.STOP and not fill.maker
                price, gain = float(fill.price), float(pnl)
                story.trades.append(trade._replace(closed_at=fill.traded_at, exit=price, pnl=gain, stopped=stopped))
    story.trades.extend(open_trades.values())
    return story


async def read_prices(feed: Feed, until: int, candles: int) -> dict[str, ChartPrices]:
    """Return every symbol's prices up to `until` (ms), reduced evenly to `POINTS`; `candles` estimates their count."""
    symbols = feed.identity.symbols
    stride = max(1, candles // (len(symbols) * POINTS))
    prices = {symbol: ChartPrices([], [], [], []) for symbol in symbols}
    seen = dict.fromkeys(symbols, 0)
    async for frame in feed.frames():
        if frame.at > until:
            break
        for candle in () if frame.history else frame.closed:
            row = prices[candle.symbol]
            if row.at and candle.open_time > row.at[-1]:
                row.point(candle.open_time, nan, nan, nan)
                seen[candle.symbol] = 0
            if seen[candle.symbol] % stride:
                row.at[-1], row.close[-1] = candle.close_time, candle.close
                row.low[-1], row.high[-1] = min(row.low[-1], candle.low), max(row.high[-1], candle.high)
            else:
                row.point(candle.close_time, candle.close, candle.low, candle.high)
            seen[candle.symbol] += 1
    return prices


def draw(path: Path, feed: Feed, story: ChartData, figures: dict[str, Any]) -> None:
    """Draw the picture of a run from its report into a PNG. Raises SettingsError when the file cannot be written."""
    from matplotlib.figure import Figure

    prices = asyncio.run(read_prices(feed, figures["to"], figures["candles"]))
    shown = [symbol for symbol in prices if prices[symbol].at]
    figure = Figure(figsize=(14, 3.4 * len(shown) + 2.4), layout="constrained")
    axes = figure.subplots(len(shown) + 1, 1, sharex=True, height_ratios=[3] * len(shown) + [1.6], squeeze=False)[:, 0]
    for symbol, axis in zip(shown, axes, strict=False):
        _draw_symbol(axis, symbol, prices[symbol], story)
    points = [*story.equity, (figures["to"], figures["equity_end"])]
    axes[-1].plot(moments([at for at, _ in points]), [equity for _, equity in points], color=PRICE, linewidth=1.2)
    axes[-1].axhline(points[0][1], color=PRICE, linewidth=0.5, linestyle=":")
    axes[-1].set_ylabel("equity at each day's\nstart, and at the end")
    axes[-1].set_xlabel("UTC   ▲ long  ▼ short  • part closed  o closed  x stopped; green won, red lost")
    returned, held = figures["return"], figures["buy_and_hold"]
    title = f"{', '.join(figures['symbols'])}: {returned:+.2%}, buy and hold {held:+.2%}"
    figure.suptitle(title, fontsize=12, x=0.01, ha="left")
    save(figure, path, "png")


def _draw_symbol(axis: "Axes", symbol: str, row: ChartPrices, story: ChartData) -> None:
    axis.fill_between(moments(row.at), row.low, row.high, color=PRICE, alpha=0.18, linewidth=0)
    axis.plot(moments(row.at), row.close, color=PRICE, linewidth=0.8)
    axis.set_ylabel(symbol)
    axis.margins(x=0.01, y=0.12)
    for place, (kind, colour) in enumerate(KINDS.items()):
        at = [at for at, of, each in story.wakes if each == kind and of in (symbol, None)]
        label = f"{len(at)} wakes by {kind}" if at else ""
        low, where = 0.012 * place, axis.get_xaxis_transform()
        axis.vlines(moments(at), low, low + 0.011, color=colour, linewidth=0.8, transform=where, label=label)
    trades = [trade for trade in story.trades if trade.symbol == symbol]
    for trade in trades:
        _draw_trade(axis, trade, row)
    closed = [trade for trade in trades if trade.closed_at is not None]
    won, pnl = sum(each.pnl > 0 for each in closed), sum(each.pnl for each in closed)
    still_open = ", 1 open" if len(trades) > len(closed) else ""
    axis.set_title(f"{len(closed)} trades closed, {won} won, {pnl:+,.2f}{still_open}", fontsize=9, loc="right")
    if trades or any(of in (symbol, None) for _, of, _ in story.wakes):
        axis.legend(loc="upper left", fontsize=8, frameon=False, ncols=4)


def _draw_trade(axis: "Axes", trade: ChartTrade, row: ChartPrices) -> None:
    ended, price = (trade.closed_at, trade.exit) if trade.closed_at is not None else (row.at[-1], row.close[-1])
    colour = PRICE if trade.closed_at is None else UP if trade.pnl > 0 else DOWN
    axis.plot(moments([trade.opened_at, ended]), [trade.entry, price], color=colour, linewidth=1.6, alpha=0.9)
    axis.plot(moments([at for at, _ in trade.parts]), [price for _, price in trade.parts], ".", color=colour)
    axis.plot(moments([trade.opened_at]), [trade.entry], "^" if trade.long else "v", color=colour, markersize=6)
    if trade.closed_at is not None:
        axis.plot(moments([ended]), [price], "x" if trade.stopped else "o", color=colour, markersize=4.5)
