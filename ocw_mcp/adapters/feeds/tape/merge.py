"""Several streams become one: frames in the order of time, each with all that is known from its moment on."""

from collections.abc import Iterator, Mapping, Sequence
from heapq import merge

from ocw_mcp.adapters.feeds.tape.terms import Discontinuity
from ocw_mcp.domain.market import Candle, Frame, Funding, Metrics, Opening
from ocw_mcp.domain.time import DAY

LEAD = DAY
"""So much of the derivatives from before the first candle is given with the first frame; older ones tell nothing."""

_NEVER = 1 << 62


def candle_frames(streams: Sequence[Iterator[Candle]], interval: int) -> Iterator[Frame]:
    """Frames out of each symbol's candles. A candle is read only when its turn comes, so errors come in time, too.

    The frame of a symbol's last candle names it as ended, if any other symbol goes on.
    """
    places = range(len(streams))
    held = [next(stream, None) for stream in streams]
    due = [_NEVER if candle is None else candle.open_time for candle in held]
    is_open = [False for _ in streams]
    while due and (at := min(due)) != _NEVER:
        closed: list[Candle] = []
        opened: list[Opening] = []
        over: tuple[str, ...] = ()
        for place in places:
            if due[place] != at:
                continue
            candle = held[place]
            if is_open[place] and candle is not None:
                closed.append(candle)
                candle = held[place] = next(streams[place], None)
                is_open[place] = False
            if candle is None:
                due[place] = _NEVER
                over = (*over, closed[-1].symbol)
            elif candle.open_time == at:
                opened.append(Opening(candle.symbol, at, candle.open))
                is_open[place] = True
                due[place] = at + interval
            else:
                due[place] = candle.open_time
        if over and min(due) == _NEVER:
            over = ()
        yield Frame(at, tuple(closed), tuple(opened), ended=over)


def with_derivatives(
    frames: Iterator[Frame],
    metrics: Sequence[Iterator[Metrics]],
    funding: Sequence[Iterator[Funding]],
    begins: bool,
    ended: Mapping[str, Discontinuity],
) -> Iterator[Frame]:
    """Put each row of metrics and funding into the frame of its moment, or into one of its own between two frames.

    Where the tape `begins` with these frames, what was known before, up to LEAD, comes with the first. What comes after
    the last candle, or after the end of a symbol that `ended`, is left out, since it has no market any more.
    """
    rows: Iterator[Metrics | Funding] = merge(*metrics, *funding, key=lambda row: (row.at, row.symbol))
    row = next(rows, None)
    for frame in frames:
        known: list[Metrics | Funding] = []
        while row is not None and row.at <= frame.at:
            if ended and row.symbol in ended and row.at > ended[row.symbol].since:
                row = next(rows, None)
                continue
            if begins:
                known += [row] if row.at > frame.at - LEAD else []
            elif not known or known[0].at == row.at:
                known.append(row)
            else:
                yield _framed(Frame(known[0].at), known)
                known = [row]
            row = next(rows, None)
        if known and not begins and known[0].at < frame.at:
            yield _framed(Frame(known[0].at), known)
            known = []
        begins = False
        yield _framed(frame, known) if known else frame


def _framed(frame: Frame, known: list[Metrics | Funding]) -> Frame:
    known.sort(key=lambda row: (row.symbol, row.at))
    return Frame(
        frame.at,
        frame.closed,
        frame.opened,
        tuple(row for row in known if isinstance(row, Metrics)),
        tuple(row for row in known if isinstance(row, Funding)),
        ended=frame.ended,
    )
