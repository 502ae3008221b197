"""Selects the files of a tape: one product, one interval, the chosen symbols, each symbol's files in time order."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from ocw_mcp.adapters.feeds.tape.candles import TRADES, candle_layout, candle_length
from ocw_mcp.adapters.feeds.tape.derivatives import FUNDING, METRICS
from ocw_mcp.adapters.feeds.tape.finding import (
    GOOD_NAMES,
    MONTHLY,
    canonical_interval,
    find,
    interval_length,
    require_own_member,
)
from ocw_mcp.adapters.feeds.tape.options import AGAIN, LeftOut, TapeOptions
from ocw_mcp.adapters.feeds.tape.reading import (
    Layout,
    Stream,
    TapeFile,
    checksum,
    printable_name,
    published_digest,
    refusing,
    scan,
    sha256,
)
from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.symbols import of_market
from ocw_mcp.domain.time import DAY, span_ms, span_name

Files = dict[str, tuple[TapeFile, ...]]
"""The files of each symbol, in time order."""


class Selection(msgspec.Struct, frozen=True):
    """The files of one product and one interval (ms), and a fingerprint of them all."""

    product: Product
    interval: int
    files: Files
    """The files of candles, or of aggregate trades for a symbol without candles of the interval."""
    metrics: Files
    funding: Files
    content: str
    left_out: tuple[LeftOut, ...] = ()
    """The files under the path that are not read, with the reason."""
    days: Files = {}
    """The files of daily candles beside shorter ones: they show the days before the tape."""


_CANDLES = (Stream.KLINES, Stream.TRADES)
_DEFAULT_INTERVAL = "1m"
"""The interval of candles that are built from trades, unless another is requested."""


def select(
    path: Path, product: Product | None, interval: str | None, symbols: Sequence[str] | None, options: TapeOptions
) -> Selection:
    """Return the requested files. Raises TapeError if there are none, or if product or interval are ambiguous."""
    wanted_interval = parse_interval(interval)
    left_out: list[LeftOut] = []
    everything = find(path, left_out)
    found = [each for each in everything if each.stream in _CANDLES]
    if not found:
        streams = list_of(sorted({each.stream for each in everything}))
        raise TapeError(
            f"{printable_name(path.name or str(path))} holds {streams} but no candles; expected klines or aggTrades "
            "beside them; give a path that holds both"
        )
    product, found = _one_product(found, product)
    if symbols is not None:
        found = _of_symbols(found, symbols)
    usable = sound(with_intervals(found, options, left_out), options, left_out)
    chosen, files = _one_interval(usable, wanted_interval)
    days = [each for each in usable if each.interval == span_name(DAY)] if span_ms(chosen) < DAY else []
    there = {file.symbol for file in files}
    beside = [each for each in everything if each.stream not in _CANDLES and each.product in (None, product)]
    if product is Product.SPOT:
        left_out += [LeftOut(file.name, "spot has no metrics and no funding") for file in beside]
        beside = []
    if symbols is None:
        left_out += [
            LeftOut(file.name, f"there are no candles of {file.symbol}") for file in beside if file.symbol not in there
        ]
    beside = sound([file for file in beside if file.symbol in there], options, left_out)
    # The fingerprint has names, sizes and checksums, but no folders: a tape that moved is the same tape.
    lines = sorted(f"{file.path.name} {checksum(file.path, file.name)}" for file in [*files, *days, *beside])
    lines += [options.changes] if options.changes else []
    return Selection(
        product=product,
        interval=span_ms(chosen),
        files=_by_symbol(files),
        metrics=_by_symbol([file for file in beside if file.stream is Stream.METRICS]),
        funding=_by_symbol([file for file in beside if file.stream is Stream.FUNDING]),
        content=hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        left_out=tuple(left_out),
        days=_by_symbol(days),
    )


def parse_interval(interval: str | None) -> str | None:
    """Return the canonical spelling of `--interval`. Raises TapeError."""
    try:
        return None if interval is None else canonical_interval(interval)
    except ValueError as error:
        raise TapeError(f"--interval {error}") from None


def with_intervals(found: list[TapeFile], options: TapeOptions, left_out: list[LeftOut]) -> list[TapeFile]:
    """Return the files with their intervals, which come from the rows if a name does not give one.

    A candle file without a clear interval goes to `left_out`, or raises TapeError if the options are strict or it is
    the only file.
    """
    files: list[TapeFile] = []
    for file in found:
        try:
            if not file.interval and file.stream is Stream.KLINES:
                length = candle_length(file)
                if not length:
                    raise TapeError(
                        f"{file.name} does not show how long its candles are; expected an interval in its name, as in "
                        f"{GOOD_NAMES}; rename the file"
                    )
                file = msgspec.structs.replace(file, interval=span_name(length))
            files.append(file)
        except TapeError as fault:
            if options.strict or len(found) == 1:
                raise
            left_out.append(LeftOut(file.name, str(fault)))
    return files


def sound(files: list[TapeFile], options: TapeOptions, left_out: list[LeftOut]) -> list[TapeFile]:
    """Return the files that are complete, hold the symbol in their name, and match their CHECKSUM file.

    Faulty files go to `left_out`. Raises TapeError for the first faulty file if the options are strict, or if every
    file is faulty. A file without a CHECKSUM file is returned, and reported in `left_out` if other files have one.
    """
    kept: list[TapeFile] = []
    unchecked: list[TapeFile] = []
    fault: TapeError | None = None
    for file in files:
        try:
            checksum(file.path, file.name)
            require_own_member(file)
            expected = published_digest(file.path, file.name)
            if expected is not None:
                with refusing(file.name):
                    digest = sha256(file.path)
                if digest != expected:
                    raise TapeError(
                        f"{file.name} does not match its CHECKSUM file; expected SHA-256 {expected[:12]}…; {AGAIN}"
                    )
        except TapeError as error:
            if options.strict:
                raise
            fault = fault or error
            left_out.append(LeftOut(file.name, str(error)))
            continue
        kept.append(file)
        if expected is None:
            unchecked.append(file)
    if fault is not None and not kept:
        raise fault
    if len(unchecked) < len(kept):
        left_out += [LeftOut(file.name, "no CHECKSUM lies beside it", read=True) for file in unchecked]
    return kept


def _one_product(found: list[TapeFile], wanted: Product | None) -> tuple[Product, list[TapeFile]]:
    """Keep the files of one product (futures if no file names one), and the files that name no product."""
    named = {each.product for each in found if each.product is not None}
    if wanted is None and len(named) > 1:
        raise TapeError(
            "the path holds candles of both spot and um, and one run trades one product; pick one with --product"
        )
    product = wanted or next(iter(named), None) or Product.UM
    kept = [each for each in found if each.product in (None, product)]
    if not kept:
        raise TapeError(
            f"the path holds candles of {list_of(sorted(named))} but --product says {product}; "
            "expected the same product; change --product or the path"
        )
    return product, kept


def _of_symbols(found: list[TapeFile], asked: Sequence[str]) -> list[TapeFile]:
    there = {each.symbol for each in found}
    meant = {text: of_market(text, there) for text in asked}
    if missing := [text for text, symbol in meant.items() if symbol is None]:
        raise TapeError(
            f"the path holds no candles of {list_of(sorted(missing))}; it has {list_of(sorted(there))}; "
            "use those or give another path"
        )
    if not meant:
        raise TapeError("the list of symbols is empty; expected at least one; name it or omit the option")
    return [each for each in found if each.symbol in meant.values()]


def _one_interval(files: list[TapeFile], wanted: str | None) -> tuple[str, list[TapeFile]]:
    """Keep the candles of one interval, and for a symbol without them the trades from which they are built."""
    there = {file.interval for file in files if file.stream is Stream.KLINES}
    intervals = list_of(sorted(there, key=interval_length))
    if wanted is None and len(there) > 1:
        raise TapeError(
            f"the path holds candles of {intervals}, and one run has one interval; pick one with --interval"
        )
    chosen = wanted or next(iter(there), _DEFAULT_INTERVAL)
    if chosen == MONTHLY:
        raise TapeError(
            "candles of a month have no fixed length; expected an interval of 1w or less; choose other files"
        )
    kept = [file for file in files if file.interval == chosen]
    have = {file.symbol for file in kept}
    kept += [file for file in files if file.stream is Stream.TRADES and file.symbol not in have]
    if not kept:
        raise TapeError(f"the path holds no candles of {chosen}; it has {intervals}; pick one of these with --interval")
    if missing := {file.symbol for file in files} - {file.symbol for file in kept}:
        raise TapeError(
            f"the path holds no candles of {chosen} for {list_of(sorted(missing))}; expected every symbol at "
            "one interval; pick another with --interval or leave the symbol out with --symbols"
        )
    return chosen, kept


def layout_of(file: TapeFile) -> Layout:
    """Return the layout of a file's rows."""
    if file.stream is Stream.KLINES:
        return candle_layout(span_ms(file.interval))
    return {Stream.TRADES: TRADES, Stream.METRICS: METRICS, Stream.FUNDING: FUNDING}[file.stream]


def _by_symbol(files: list[TapeFile]) -> Files:
    symbols = sorted({file.symbol for file in files})
    return {symbol: in_time([file for file in files if file.symbol == symbol]) for symbol in symbols}


def in_time(files: Sequence[TapeFile]) -> tuple[TapeFile, ...]:
    """Return files of one stream sorted by the dates in their names; if a name has no date, by their earliest rows."""
    by_rows = any(file.starts is None for file in files)

    def place(file: TapeFile) -> tuple[int, int, str]:
        starts = file.starts if file.starts is not None and not by_rows else scan(file, layout_of(file)).first
        return starts, file.ends or 0, file.name

    return tuple(files) if len(files) == 1 else tuple(sorted(files, key=place))


def list_of(items: Iterable[str]) -> str:
    """Return `a, b and c`; empty for no item."""
    texts = list(items)
    return "".join(texts) if len(texts) < 2 else f"{', '.join(texts[:-1])} and {texts[-1]}"
