"""`ocw tape info` and `ocw tape fetch`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from ocw_mcp.adapters.feeds.tape.info import Gaps, StampFit, StreamInfo, TapeInfo, inspect
from ocw_mcp.adapters.feeds.tape.options import LeftOut, TapeOptions
from ocw_mcp.app.cli.options import print_json
from ocw_mcp.app.cli.tables import Clean
from ocw_mcp.app.output import working
from ocw_mcp.app.parsing import parse_product, parse_symbols
from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND, iso

_NAMED = 5
"""The most file names listed for one reason of leaving files out; --json lists all."""
_WIDTH = 140
"""The least width of the table, in columns: a narrower terminal wraps its lines, and no cell is cut."""


def info_and_print(
    path: str, product: str | None, interval: str | None, symbols: str | None, terms: TapeOptions, *, as_json: bool
) -> None:
    """Read a tape and print its contents, as text or as JSON.

    Raises TapeError when the path has no tape, or, after the readable part is printed, for the first fault of the tape.
    """
    chosen = parse_product(product)
    with working("reading the tape", quiet=as_json) as show_progress:
        found = inspect(
            Path(path),
            chosen,
            interval,
            parse_symbols(symbols) or None,
            lambda stream: show_progress(f"reading {_name(stream)}"),
            terms,
        )
    if as_json:
        print_json(_view(found), indent=None)
    else:
        console = Clean(highlight=False, soft_wrap=True)
        console.width = max(console.width, _WIDTH)
        show(found, console)
    refuse_faults(found)


def _view(found: TapeInfo) -> dict[str, Any]:
    """Return the contents ready for JSON; each time is in ms and, beside it, an ISO text."""
    view: dict[str, Any] = msgspec.to_builtins(found)
    for stream, by_stream in zip(view["streams"], found.streams, strict=True):
        for name in ("first", "last"):
            stream[f"{name}_utc"] = None if stream[name] is None else iso(stream[name])
        gaps = stream["gaps"]
        for name in ("longest_from", "longest_to"):
            gaps[f"{name}_utc"] = None if gaps[name] is None else iso(gaps[name])
        for stamp, fit in zip(stream["stamps"], by_stream.stamps, strict=True):
            stamp |= {"fits": fit.fits, "disagrees": fit.disagrees}
    return view


def show(found: TapeInfo, console: Console) -> None:
    """Print the contents of a tape: a table of its streams, and the streams that a replay would use."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("symbol", no_wrap=True)
    table.add_column("stream", no_wrap=True)
    for name in ("files", "rows"):
        table.add_column(name, justify="right")
    table.add_column("from … to (UTC)", no_wrap=True)
    for name in ("gaps", "duplicates", "disorder", "empty"):
        table.add_column(name, justify="right")
    table.add_column("replay")
    for each in found.streams:
        table.add_row(
            f"{each.symbol} {each.product or ''}".rstrip(),
            f"{each.stream} {each.interval or ''}".rstrip(),
            f"{each.files:,}",
            f"{each.rows:,}",
            "no row" if each.first is None or each.last is None else f"{iso(each.first)} … {iso(each.last)}",
            f"{each.gaps.count:,}",
            f"{each.duplicates:,}",
            f"{each.disordered:,}",
            f"{each.empty:,}",
            "-" if not each.used else "stops" if each.fault else "used",
        )
    console.print(table)
    for each in found.streams:
        if each.gaps.count:
            console.print(f"{_name(each)}: {_gaps(each.gaps)}")
    for each in found.streams:
        for remark in _remarks(each):
            console.print(f"{_name(each)}: {remark}")
    for line in _left_out(found.left_out):
        console.print(line)
    console.print(_replay(found))


def refuse_faults(found: TapeInfo) -> None:
    """Raises TapeError when a stream could not be read to its end."""
    faults = [each for each in found.streams if each.fault and each.interval != "1mo"]
    if faults:
        more = f" (and {len(faults) - 1} more streams stop at a fault)" if len(faults) > 1 else ""
        raise TapeError(f"{faults[0].fault}{more}")


def _name(stream: StreamInfo) -> str:
    return " ".join(part for part in (stream.symbol, stream.product, stream.stream, stream.interval) if part)


def _remarks(stream: StreamInfo) -> Iterator[str]:
    """Yield a sentence for each irregularity of a stream."""
    if stream.moved_on_no_volume:
        yield f"{stream.moved_on_no_volume:,} candles whose price moved without volume"
    if stream.discontinuity is not None:
        yield f"discontinuity, {stream.discontinuity}; a replay ends the symbol there, at no gain or loss"
    for fit in stream.stamps:
        yield _fit(fit)
    if stream.fault:
        yield f"stopped, {stream.fault}"


def _fit(fit: StampFit) -> str:
    """Return a sentence on how the time stamps of metrics are read, and whether that fits the candles."""
    since = "before" if fit.side == "before" else "from"
    text = f"stamps {since} the change are read as the {fit.read_as} of five minutes; "
    if fit.fits is None:
        return text + "the candles do not show whether that fits"
    shown = f"taker ratios fit the end in {fit.end:,} rows, the beginning in {fit.beginning:,}"
    return text + (f"WARNING: {shown}; see --metrics-stamps" if fit.disagrees else shown)


def _left_out(left_out: Sequence[LeftOut]) -> Iterator[str]:
    """Yield the faults that a replay skips, then the files that it does not read, grouped by reason."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for each in left_out:
        if each.rows is None and each.fault != each.why:
            by_reason.setdefault((each.verdict, each.why), []).append(each.file)
        else:
            yield str(each)
    for (verdict, why), files in by_reason.items():
        more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
        yield f"{verdict}: {', '.join(files[:_NAMED])}{more}: {why}"


def _gaps(gaps: Gaps) -> str:
    assert gaps.longest_from is not None
    assert gaps.longest_to is not None
    return (
        f"{gaps.count:,} gap{'s' * (gaps.count != 1)}, {gaps.missing:,} row{'s' * (gaps.missing != 1)} missing; the "
        f"longest is {_span(gaps.longest_ms)}, {iso(gaps.longest_from)} … {iso(gaps.longest_to)}"
    )


def _span(ms: int) -> str:
    """Return a span of time as `9d 3h`, with the two largest units that are not zero."""
    parts: list[str] = []
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s"), (1, "ms")):
        count, ms = divmod(ms, unit)
        if count:
            parts.append(f"{count}{name}")
    return " ".join(parts[:2]) or "0s"


def _replay(found: TapeInfo) -> str:
    plan = found.replay
    if plan.refused is not None:
        return f"a replay would refuse: {plan.refused}"
    if plan.stops is not None:
        return f"a replay of {', '.join(plan.symbols)} would stop: {plan.stops}"
    text = f"a replay takes {', '.join(plan.symbols)} of {plan.product} in candles of {plan.interval}"
    if plan.built_from_trades:
        text += f", built from trades for {', '.join(plan.built_from_trades)}"
    beside = [
        f"{name} of {', '.join(symbols)}"
        for name, symbols in (("metrics", plan.metrics), ("funding", plan.funding))
        if symbols
    ]
    return text + (f", with {' and '.join(beside)}" if beside else "")
