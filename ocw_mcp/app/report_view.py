"""A run's report as a table for the terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ocw_mcp.app.output import gain_style
from ocw_mcp.domain.money import exact, plain
from ocw_mcp.domain.time import MINUTE, SECOND, iso
from ocw_mcp.render.text import average


def show(figures: dict[str, Any], why: str, console: Console) -> None:
    """Print the report as a table, and the reason of the run's end."""
    table = Table(title="Report", title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column()
    for label, value in _rows(figures):
        table.add_row(label, value if isinstance(value, Text) else Text(value))
    console.print()
    console.print(table)
    console.print(f"ended because {why}; fingerprint {figures['fingerprint']}", highlight=False, soft_wrap=True)


def _rows(figures: dict[str, Any]) -> list[tuple[str, str | Text]]:
    began, ended = figures["from"], figures["to"]
    refusals = ", ".join(f"{code} {count}" for code, count in figures["refusals"].items()) or "none"
    skips = ", ".join(f"{reason} {count}" for reason, count in figures["skips"].items()) or "none"
    states = ", ".join(f"{state} {_long(ms)}" for state, ms in figures["time_in_state"].items() if ms)
    equity = f"{figures['equity_start']:,.2f} -> {figures['equity_end']:,.2f}"
    realised, unrealised = _gain(figures["realised"]), _gain(figures["unrealised"])
    return [
        ("market", ", ".join(figures["symbols"])),
        ("candles", f"{figures['candles']:,}" + (f" from {iso(began)} to {iso(ended)}" if began is not None else "")),
        ("speed", f"{figures['candles_per_s']:,} candles/s, {figures['max_rss_mb']} MB at most"),
        ("gate", f"{figures['evaluations']:,} evaluations, {_share(figures['skip_rate'])} skipped ({skips})"),
        ("wakes", f"{figures['decisions']:,} decisions, for {len(figures['wakes']):,} reasons of symbols or the timer"),
        ("decisions", _decided(figures["decided"])),
        ("orders", f"{figures['orders']} sent, {figures['fills']} fills, refusals: {refusals}"),
        *_trades(figures["trades"]),
        ("states", states or "no time has passed"),
        ("no stop", f"{figures['unprotected_ms'] / 1_000:g} s in {figures['stop_waits']:,} waits for a stop"),
        ("data gaps", str(figures["holes"]) + _corrected(figures)),
        ("equity", Text.assemble(equity, " (", _coloured(figures["return"]), ")")),
        ("of which", Text.assemble(realised, " realised, ", unrealised, " unrealised")),
        *(("still open", _position(position)) for position in figures["positions"]),
        *(("live order", _order(order)) for order in figures["orders_waiting"]),
        *(("ended early", f"{each['symbol']}, last candle at {iso(each['last'])}") for each in figures["ended"]),
        ("buy and hold", Text.assemble(_coloured(figures["buy_and_hold"]))),
        ("max drawdown", _share(figures["max_drawdown"])),
        ("sharpe", "too few days" if figures["sharpe"] is None else f"{figures['sharpe']:.2f}"),
        ("fees", f"{figures['fees']:,.2f}"),
        ("funding", f"{figures['funding']:+,.2f}"),
        ("LLM cost", f"{figures['thinking_usd']:,.4f} USD"),
        ("flags", "; ".join(figures["flags"])),
    ]


def _trades(trades: dict[str, Any]) -> list[tuple[str, str | Text]]:
    """Return the rows on closed trades, in total and by symbol."""
    count = f"{trades['count']:,} closed"
    parts = f" ({trades['scaled_out']:,} in several parts)" if trades["scaled_out"] else ""
    rows: list[tuple[str, str | Text]] = [("trades", count)]
    if trades["count"]:
        won, lost = _gain(trades["average_win"]), _gain(trades["average_loss"])
        expected = Text.assemble(_gain(trades["expectancy"]), " expected, average win ", won, ", average loss ", lost)
        rows = [
            ("trades", f"{count}{parts}, {trades['won']:,} won, {trades['lost']:,} lost, {_quality(trades)}"),
            ("per trade", expected),
            ("exits", ", ".join(f"{reason} {number:,}" for reason, number in trades["exit_reasons"].items())),
        ]
    if trades["exposure"] is not None:
        rows.append(("exposure", f"{_share(trades['exposure'])} of the time, {_long(trades['exposure_ms'])}"))
    for symbol, each in trades["by_symbol"].items():
        rest = (f", {_quality(each)}" if each["count"] else "") + f", exposure {_share(each['exposure'])}"
        rows.append((f"  {symbol}", Text.assemble(f"{each['count']:,} closed, ", _gain(each["pnl"]), rest)))
    return rows


def _gain(amount: float | None) -> tuple[str, str]:
    """Return an amount of money with its sign, and its colour."""
    # Adding 0.0 turns -0.0 into 0.0.
    return ("none", "") if amount is None else (f"{round(amount, 2) + 0.0:+,.2f}", gain_style(round(amount, 2)))


def _coloured(value: float | None) -> tuple[str, str]:
    """Return a relative gain or loss as a percentage, and its colour."""
    return _share(value), gain_style(value)


def _quality(trades: dict[str, Any]) -> str:
    factor = trades["profit_factor"]
    return f"win rate {_share(trades['win_rate'])}, profit factor {'none' if factor is None else f'{factor:.2f}'}"


def _position(held: dict[str, Any]) -> str:
    """Return a line on a position that is open at the end."""
    age, stop = held["mark_age_ms"], held["stop"]
    parts = [
        f"{held['symbol']} {_number(held['quantity'])} at {plain(average(exact(held['average_price'])))}",
        f"mark {_number(held['mark'])}" + (f", {_long(age)} old" if age else ""),
        f"{held['unrealised']:+,.2f} unrealised",
        "no stop" if stop is None else f"stop {_number(stop)}",
        *(["its market has ended"] if held["ended"] else []),
    ]
    return ", ".join(parts)


def _order(order: dict[str, Any]) -> str:
    """Return a line on an order that is not completely filled at the end."""
    price = "at the market" if order["price"] is None else f"at {_number(order['price'])}"
    size = f"{_number(order['quantity'])} {order['symbol']}"
    return f"{order['order']} {order['side']} {size} {price} ({order['status']})"


def _number(value: float) -> str:
    return plain(round(exact(value), 8))


def _decided(counts: dict[str, Any]) -> str:
    """Return the number of decisions by decider, and the causes of decisions by the rules in place of the agent."""
    parts = [f"by {name} {count:,}" for name, count in counts["by"].items()]
    if counts["remembered"]:
        parts.append(f"from the decision cache {counts['remembered']:,}")
    if causes := counts["in_its_place"]:
        why = ", ".join(f"{cause} {count:,}" for cause, count in causes.items())
        parts.append(f"by rules in its place {sum(causes.values()):,} ({why})")
    return ", ".join(parts) or "none"


def _corrected(figures: dict[str, Any]) -> str:
    """Return the numbers of faults of a tape that the run corrected; empty if there are none."""
    counts = [
        (figures.get("duplicates", 0), "duplicate rows"),
        (figures.get("disordered", 0), "rows out of order"),
        (figures["stale_candles"], "late or duplicate candles left out"),
        (len(figures.get("left_out", ())), "file(s) left out, wholly or in part"),
    ]
    return "".join(f"; {count:,} {fault}" for count, fault in counts if count)


def _long(ms: int) -> str:
    minutes = ms // MINUTE
    days, hours = minutes // (24 * 60), minutes // 60 % 24
    parts = [f"{days}d" if days else "", f"{hours}h" if hours else "", f"{minutes % 60}m" if minutes % 60 else ""]
    return " ".join(part for part in parts if part) or f"{ms / SECOND:g}s"


def _share(value: float | None) -> str:
    # Adding 0.0 turns -0.0 into 0.0.
    return "unknown" if value is None else f"{round(value, 4) + 0.0:.2%}"
