"""Which files under a path are the tape: found, told apart by product, symbol and interval, and put in order."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from ocw_mcp.adapters.feeds.tape.derivatives import FUNDING, METRICS
from ocw_mcp.adapters.feeds.tape.finding import Found, find, foreign_member
from ocw_mcp.adapters.feeds.tape.names import GOOD_NAMES, MONTHLY, Stream, TapeName, canonical
from ocw_mcp.adapters.feeds.tape.order import Layout, scan
from ocw_mcp.adapters.feeds.tape.rows import layout, read_head
from ocw_mcp.adapters.feeds.tape.streams import checksum, published_digest, sha256
from ocw_mcp.adapters.feeds.tape.terms import LeftOut, TapeTerms, shown_name
from ocw_mcp.adapters.feeds.tape.trades import TRADES
from ocw_mcp.domain.errors import TapeError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.symbols import of_market
from ocw_mcp.domain.time import span_ms, span_name


class TapeFile(msgspec.Struct, frozen=True):
    """One file of a tape. `name` is relative to the given path; `starts` and `ends` (ms) are what it promises."""

    path: Path
    name: str
    stream: Stream
    symbol: str
    interval: str
    """Of candles, as `15m`; empty for every other stream."""
    starts: int | None
    ends: int | None
    product: Product | None


Files = dict[str, tuple[TapeFile, ...]]


class Selection(msgspec.Struct, frozen=True):
    """The files of one product and one interval (ms), each symbol's in time order, and a fingerprint of them all."""

    product: Product
    interval: int
    files: Files
    """What candles come from: candles, or aggregate trades for a symbol that has no such candles."""
    metrics: Files
    funding: Files
    content: str
    left_out: tuple[LeftOut, ...] = ()
    """What lies under the path and is not read, with the reason."""

    @property
    def all_files(self) -> list[TapeFile]:
        return [
            file for group in (self.files, self.metrics, self.funding) for files in group.values() for file in files
        ]


_CANDLES = (Stream.KLINES, Stream.TRADES)
_UNNAMED = "1m"
"""The interval of candles that are built from trades, where none is asked for."""


def select(
    path: Path,
    product: Product | None,
    interval: str | None,
    symbols: Sequence[str] | None,
    terms: TapeTerms = TapeTerms(),  # noqa: B008 - it is frozen
) -> Selection:
    """Find the files that are meant. Raises TapeError when there are none, or when it is unclear which."""
    wanted_interval = None if interval is None else asked_interval(interval)
    left_out: list[LeftOut] = []
    everything = find(path, left_out)
    found = [each for each in everything if each[2].stream in _CANDLES]
    if not found:
        streams = list_of(sorted({each[2].stream for each in everything}), "and")
        raise TapeError(
            f"{shown_name(path.name or str(path))} holds {streams} but no candles; expected klines or aggTrades beside "
            "them; give a path that holds both"
        )
    product, found = _one_product(found, product)
    if symbols is not None:
        found = _of_symbols(found, symbols)
    chosen, files = _one_interval(sound([*_known(found, terms, left_out)], terms, left_out), wanted_interval)
    there = {file.symbol for file in files}
    beside = [
        known(*each) for each in everything if each[2].stream not in _CANDLES and each[2].product in (None, product)
    ]
    if product is Product.SPOT:
        # What has neither funding nor open interest is not told about them.
        left_out += [LeftOut(file.name, "spot has no metrics and no funding") for file in beside]
        beside = []
    if symbols is None:
        left_out += [
            LeftOut(file.name, f"there are no candles of {file.symbol}") for file in beside if file.symbol not in there
        ]
    beside = sound([file for file in beside if file.symbol in there], terms, left_out)
    return Selection(
        product=product,
        interval=span_ms(chosen),
        files=_by_symbol(files),
        metrics=_by_symbol([file for file in beside if file.stream is Stream.METRICS]),
        funding=_by_symbol([file for file in beside if file.stream is Stream.FUNDING]),
        content=_fingerprint([*files, *beside], terms.changes),
        left_out=tuple(left_out),
    )


def _known(found: list[Found], terms: TapeTerms, left_out: list[LeftOut]) -> Iterator[TapeFile]:
    for each in found:
        try:
            yield known(*each)
        except TapeError as fault:
            if terms.strict or len(found) == 1:
                raise
            left_out.append(LeftOut(each[1], str(fault)))


def sound(files: list[TapeFile], terms: TapeTerms, left_out: list[LeftOut]) -> list[TapeFile]:
    """The files that are what they seem: whole, of their symbol, and with the checksum that lies beside them.

    The others go to `left_out`. Raises TapeError for the first of these where the terms are strict, or where nothing
    would be left. A missing checksum is named where other files have theirs, and the file is read.
    """
    kept: list[TapeFile] = []
    unchecked: list[TapeFile] = []
    fault: TapeError | None = None
    for file in files:
        try:
            checksum(file.path, file.name)
            if file.path.suffix.lower() == ".zip" and (wrong := foreign_member(file.path, file.name, file.symbol)):
                raise TapeError(wrong)
            expected = published_digest(file.path, file.name)
            if expected is None:
                unchecked.append(file)
            elif sha256(file.path, file.name) != expected:
                raise TapeError(
                    f"{file.name} does not have the checksum beside it; expected SHA-256 {expected[:12]}…; "
                    "download it again"
                )
        except TapeError as error:
            if terms.strict:
                raise
            fault = fault or error
            left_out.append(LeftOut(file.name, str(error)))
            continue
        kept.append(file)
    if fault is not None and not kept:
        raise fault
    if len(unchecked) < len(kept):
        left_out += [LeftOut(file.name, "no CHECKSUM lies beside it", read=True) for file in unchecked]
    return kept


def _one_product(found: list[Found], asked: Product | None) -> tuple[Product, list[Found]]:
    """Keep one product. A file whose place names none belongs to whichever is chosen; without a hint that is um."""
    told = {named.product for _, _, named in found if named.product is not None}
    if asked is None and len(told) > 1:
        raise TapeError(
            "the path holds candles of both spot and um, and one run trades one product; pick one with --product"
        )
    product = asked or next(iter(told), None) or Product.UM
    kept = [each for each in found if each[2].product in (None, product)]
    if not kept:
        raise TapeError(
            f"the path holds candles of {list_of(sorted(told), 'and')} but --product says {product}; "
            "expected one and the same; change --product or the path"
        )
    return product, kept


def _of_symbols(found: list[Found], asked: Sequence[str]) -> list[Found]:
    there = {named.symbol for _, _, named in found}
    meant = {text: of_market(text, there) for text in asked}
    wanted = {symbol for symbol in meant.values() if symbol is not None}
    if missing := [text for text, symbol in meant.items() if symbol is None]:
        raise TapeError(
            f"the path holds no candles of {list_of(sorted(missing), 'and')}; it has {list_of(sorted(there), 'and')}; "
            "ask for those or give another path"
        )
    if not wanted:
        raise TapeError("no symbol was asked for; expected at least one; name it or leave the choice out")
    return [each for each in found if each[2].symbol in wanted]


def _one_interval(files: list[TapeFile], asked: str | None) -> tuple[str, list[TapeFile]]:
    """Keep the candles of one interval, and for a symbol without them the trades that they can be built from."""
    there = {file.interval for file in files if file.stream is Stream.KLINES}
    if asked is None and len(there) > 1:
        raise TapeError(
            f"the path holds candles of {list_of(sorted(there, key=_length), 'and')}, and one run has one interval; "
            "pick one with --interval"
        )
    chosen = asked or next(iter(there), _UNNAMED)
    if chosen == MONTHLY:
        raise TapeError(
            "candles of a month have no fixed length; expected an interval of 1w or less; choose other files"
        )
    kept = [file for file in files if file.interval == chosen]
    have = {file.symbol for file in kept}
    kept += [file for file in files if file.stream is Stream.TRADES and file.symbol not in have]
    if not kept:
        raise TapeError(
            f"the path holds no candles of {chosen}; it has {list_of(sorted(there, key=_length), 'and')}; "
            "pick one of these with --interval"
        )
    if missing := {file.symbol for file in files} - {file.symbol for file in kept}:
        raise TapeError(
            f"the path holds no candles of {chosen} for {list_of(sorted(missing), 'and')}; expected every symbol at "
            "one interval; pick another with --interval or leave the symbol out with --symbols"
        )
    return chosen, kept


def asked_interval(interval: str) -> str:
    try:
        return canonical(interval)
    except ValueError as error:
        raise TapeError(f"--interval {error}") from None


def known(path: Path, name: str, named: TapeName) -> TapeFile:
    """A file of a tape; the interval of candles is taken from the rows where the name does not tell it.

    Raises TapeError when they do not tell it either.
    """
    interval = named.interval or ""
    if not interval and named.stream is Stream.KLINES:
        lasts = read_head(path, name).interval
        if not lasts:
            raise TapeError(
                f"{name} does not tell how long its candles are; expected an interval in its name, as in {GOOD_NAMES}; "
                "rename the file"
            )
        interval = span_name(lasts)
    return TapeFile(path, name, named.stream, named.symbol, interval, named.starts, named.ends, named.product)


def layout_of(file: TapeFile) -> Layout:
    """How a file's rows are read."""
    match file.stream:
        case Stream.KLINES:
            return layout(span_ms(file.interval))
        case Stream.TRADES:
            return TRADES
        case Stream.METRICS:
            return METRICS
        case Stream.FUNDING:
            return FUNDING


def _by_symbol(files: list[TapeFile]) -> Files:
    groups: dict[str, list[TapeFile]] = {}
    for file in files:
        groups.setdefault(file.symbol, []).append(file)
    return {symbol: in_time(groups[symbol]) for symbol in sorted(groups)}


def in_time(files: Sequence[TapeFile]) -> tuple[TapeFile, ...]:
    """Files of one stream by the dates in their names; if one has none, all of them by their earliest rows."""
    by_rows = any(file.starts is None for file in files)

    def place(file: TapeFile) -> tuple[int, int, str]:
        starts = file.starts if file.starts is not None and not by_rows else scan(file, layout_of(file)).first
        return starts, file.ends or 0, file.name

    return tuple(files) if len(files) == 1 else tuple(sorted(files, key=place))


def _fingerprint(files: list[TapeFile], changes: str) -> str:
    """Digest of names, sizes and checksums, never of a folder: a tape that moved is still the same tape."""
    lines = sorted(f"{file.path.name} {checksum(file.path, file.name)}" for file in files)
    if changes:
        lines.append(changes)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _length(interval: str) -> int:
    return 1 << 62 if interval == MONTHLY else span_ms(interval)


def list_of(items: Iterable[str], word: str) -> str:
    """`a, b and c`"""
    texts = list(items)
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} {word} {texts[-1]}"
