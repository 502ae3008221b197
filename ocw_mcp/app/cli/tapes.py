"""`ocw tape info` and `ocw tape fetch`."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocw_mcp.app.cli import options
from ocw_mcp.app.cli.options import group, option, print_result
from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.text import printable
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND, iso

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from ocw_mcp.adapters.feeds.archive.fetch import Fetched
    from ocw_mcp.adapters.feeds.tape.info import Gaps, ReplayPlan, StampFit, StreamInfo, TapeInfo
    from ocw_mcp.adapters.feeds.tape.options import LeftOut

_NAMED = 5
"""The most file names in one line; --json lists all."""

tape = group("Check and download recorded markets.")


@tape.command()
def info(
    path: Annotated[Path, typer.Argument(help="A directory of the exchange's public archive, or one of its files.")],
    as_json: options.JsonOption = False,
    product: options.ProductOption = None,
    interval: options.IntervalOption = None,
    symbols: options.SymbolsOption = None,
    strict: options.StrictOption = False,
    discontinuity: options.DiscontinuityOption = None,
    metrics_stamps: options.StampsOption = None,
) -> None:
    """Read a whole tape, and show what a replay would use. A faulty stream is shown up to the fault."""
    from ocw_mcp.adapters.feeds.tape.info import inspect
    from ocw_mcp.app.output import working
    from ocw_mcp.app.parsing import parse_product, parse_symbols, tape_terms

    chosen, some = parse_product(product), parse_symbols(symbols) or None
    terms = tape_terms(strict, discontinuity, metrics_stamps)
    with working("reading the tape", quiet=as_json) as show:
        found = inspect(path, chosen, interval, some, lambda stream: show(f"reading {_name(stream)}"), terms)
    print_result(_view(found), _parts(found), as_json, indent=None)
    faults = [each for each in found.streams if each.fault and each.interval != "1mo"]
    if faults:
        more = f" (and {len(faults) - 1} more streams stop at a fault)" if len(faults) > 1 else ""
        raise TapeError(f"{faults[0].fault}{more}")


def _view(found: "TapeInfo") -> dict[str, Any]:
    """Return the contents ready for JSON, with each time in ms and as an ISO text."""
    import msgspec

    view: dict[str, Any] = msgspec.to_builtins(found)
    for stream, by_stream in zip(view["streams"], found.streams, strict=True):
        for part, names in ((stream, ("first", "last")), (stream["gaps"], ("longest_from", "longest_to"))):
            part |= {f"{name}_utc": None if part[name] is None else iso(part[name]) for name in names}
        for stamp, fit in zip(stream["stamps"], by_stream.stamps, strict=True):
            stamp |= {"fits": fit.fits, "disagrees": fit.disagrees}
    return view


def _parts(found: "TapeInfo") -> "Iterator[RenderableType]":
    """Yield the contents of a tape: a table of its streams, remarks, and the streams that a replay would use."""
    yield _streams(found.streams)
    yield from (f"{_name(each)}: {_gaps(each.gaps)}" for each in found.streams if each.gaps.count)
    for each in found.streams:
        yield from (f"{_name(each)}: {remark}" for remark in _remarks(each))
    yield from _left_out(found.left_out)
    yield _replay(found.replay)


def _streams(rows: "Sequence[StreamInfo]") -> "Table":
    from ocw_mcp.app.cli.tables import Column, grid

    spans = [None if row.first is None or row.last is None else f"{iso(row.first)} … {iso(row.last)}" for row in rows]
    return grid(
        "",
        Column("symbol", [f"{row.symbol} {row.product or ''}".rstrip() for row in rows]),
        Column("stream", [f"{row.stream} {row.interval or ''}".rstrip() for row in rows]),
        Column("files", [f"{row.files:,}" for row in rows], number=True),
        Column("rows", [f"{row.rows:,}" for row in rows], number=True),
        Column("from … to (UTC)", [span or "no row" for span in spans]),
        Column("gaps", [f"{row.gaps.count:,}" for row in rows], number=True),
        Column("duplicates", [f"{row.duplicates:,}" for row in rows], number=True),
        Column("disorder", [f"{row.disordered:,}" for row in rows], number=True),
        Column("empty", [f"{row.empty:,}" for row in rows], number=True),
        Column("replay", ["-" if not row.used else "stops" if row.fault else "used" for row in rows]),
    )


def _name(stream: "StreamInfo") -> str:
    return " ".join(part for part in (stream.symbol, stream.product, stream.stream, stream.interval) if part)


def _remarks(stream: "StreamInfo") -> Iterator[str]:
    """Yield a sentence for each irregularity of a stream."""
    if stream.moved_on_no_volume:
        yield f"{stream.moved_on_no_volume:,} candles whose price moved without volume"
    if stream.discontinuity is not None:
        yield f"discontinuity, {stream.discontinuity}; a replay ends the symbol there, at no gain or loss"
    yield from map(_fit, stream.stamps)
    if stream.fault:
        yield f"stopped, {stream.fault}"


def _fit(fit: "StampFit") -> str:
    """Return a sentence on how the time stamps of metrics are interpreted, and whether the candles confirm it."""
    since = "before" if fit.side == "before" else "from"
    text = f"stamps {since} the change are read as the {fit.read_as} of five minutes; "
    if fit.fits is None:
        return text + "the candles do not show whether that fits"
    shown = f"taker ratios fit the end in {fit.end:,} rows, the beginning in {fit.beginning:,}"
    return text + (f"WARNING: {shown}; see --metrics-stamps" if fit.disagrees else shown)


def _left_out(left_out: "Sequence[LeftOut]") -> Iterator[str]:
    """Yield the faults that a replay skips, then the files that it does not read, grouped by reason."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for each in left_out:
        if each.rows is None and each.fault != each.why:
            by_reason.setdefault((each.verdict, each.why), []).append(each.file)
        else:
            yield str(each)
    for (verdict, why), files in by_reason.items():
        yield f"{verdict}: {_first_of(files)}: {why}"


def _first_of(names: Sequence[str]) -> str:
    """Return the first names, and the number of the others."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _gaps(gaps: "Gaps") -> str:
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


def _replay(plan: "ReplayPlan") -> str:
    if plan.refused is not None:
        return f"a replay would refuse: {plan.refused}"
    if plan.stops is not None:
        return f"a replay of {', '.join(plan.symbols)} would stop: {plan.stops}"
    text = f"a replay takes {', '.join(plan.symbols)} of {plan.product} in candles of {plan.interval}"
    if plan.built_from_trades:
        text += f", built from trades for {', '.join(plan.built_from_trades)}"
    streams = (("metrics", plan.metrics), ("funding", plan.funding))
    beside = [f"{name} of {', '.join(symbols)}" for name, symbols in streams if symbols]
    return text + (f", with {' and '.join(beside)}" if beside else "")


@tape.command()
def fetch(
    symbol: Annotated[str, typer.Argument(help="Such as ETHUSDT.")],
    first: Annotated[str, typer.Argument(metavar="FROM", help="The first day, 2026-03-09, or a month, 2026-03.")],
    last: Annotated[str, typer.Argument(metavar="TO", help="The last day or month, included.")],
    product: options.ProductOption = None,
    interval: Annotated[str, option("--interval", "Length of the candles: 1m, 15m, 1h.")] = "1m",
    streams: Annotated[
        str | None,
        option(
            "--streams",
            "Some of klines,metrics,fundingRate,aggTrades (spot: klines,aggTrades); "
            "the default is all but aggTrades, which are large.",
            *("klines", "metrics", "fundingRate", "aggTrades"),
        ),
    ] = None,
    to: Annotated[Path, option("--to", "The directory, laid out as the archive is.")] = Path("tapes"),
    url: Annotated[str | None, option("--url", "Another archive of the same layout.")] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Download a market from the exchange's public archive. Each file is checked; repeat the command to continue."""
    import time

    import msgspec

    from ocw_mcp.adapters.feeds.archive import fetch as archive
    from ocw_mcp.adapters.feeds.archive.plan import plan_files
    from ocw_mcp.app.output import working
    from ocw_mcp.app.parsing import parse_product
    from ocw_mcp.domain.market import Product

    chosen = None if streams is None else [each.strip() for each in streams.split(",") if each.strip()]
    plan = plan_files(symbol, first, last, parse_product(product) or Product.UM, interval, chosen)
    came: list[Fetched] = []
    wait = time.sleep  # noqa: TID251 - no engine runs
    try:
        with working("downloading", quiet=as_json) as show:
            shown = _ShownFetch(show, len(plan))
            archive.fetch(plan, to, shown, wait, archive.ARCHIVE if url is None else url, done=came.append)
    finally:
        for fetched in came:
            print_result(msgspec.to_builtins(fetched), _fetched_lines(fetched, to), as_json, indent=None)


class _ShownFetch:
    """Shows the number of files that are done, and the bytes of the file that is being downloaded."""

    def __init__(self, show: Callable[[str], None], files: int) -> None:
        self._show = show
        self._done, self._files, self._name = 0, files, ""

    def file(self, path: str) -> None:
        self._name = path.rpartition("/")[2]
        self._show(f"{self._done} of {self._files} files, {self._name}")

    def size(self, done: int, total: int | None) -> None:
        bytes_ = f"{done / 1e6:.1f} of {total / 1e6:.1f} MB" if total else f"{done:,} B"
        self._show(f"{self._done} of {self._files} files, {self._name}: {bytes_}")

    def finished(self, more: int) -> None:
        self._done, self._files = self._done + 1, self._files + more


def _fetched_lines(fetched: "Fetched", to: Path) -> Iterator[str]:
    yield (
        f"{fetched.downloaded} file{'s' * (fetched.downloaded != 1)} downloaded ({fetched.bytes:,} bytes), "
        f"{fetched.kept} already there, {len(fetched.absent)} not published"
    )
    if fetched.absent:
        yield f"not published: {_first_of(fetched.absent)}"
    yield from (f"not kept: {fault}" for fault in fetched.unsound)
    if fetched.downloaded or fetched.kept:
        yield f"to check the tape: ocw tape info {printable(str(to))}"
