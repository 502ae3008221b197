"""The rows of one file, whichever stream it is of: without its header and the blank lines at its end."""

from collections.abc import Callable, Generator

from ocw_mcp.adapters.feeds.tape.order import Body, Rows
from ocw_mcp.adapters.feeds.tape.streams import AGAIN, blocks
from ocw_mcp.adapters.feeds.tape.terms import RowCounts
from ocw_mcp.domain.errors import TapeError

SHOWN = 40


def body(
    file: Rows,
    counters: RowCounts,
    header: Callable[[list[str]], str | None],
    what: str,
    check: Callable[[list[str], int], None] | None = None,
) -> Generator[Body, None, None]:
    """The rows of a file, block by block.

    `header` tells of a first line what is wrong with it as a header, nothing when it is one, None when it is a row.
    `check` sees the first row and its line number. `what` is the plural of what a line holds.
    A blank line amid others is a fault. Raises TapeError when there is no row at all.
    """
    name = file.name
    number, width, blank = 1, 0, 0
    for block in blocks(file.path, name):
        start, lines = number, block
        number += len(block)
        counters.taken += len(block)
        if start == 1 and lines and lines[0] and (wrong := header(lines[0].split(","))) is not None:
            if wrong:
                counters.leave_out(name, refusal(name, 1, wrong))
            start, lines = 2, lines[1:]
        if not blank and "" in lines:
            blank = start + lines.index("")
        if blank:
            if any(lines[max(0, blank - start) :]):
                one = "candle" if what == "candles" else "row"
                fault = f"the line is blank though others follow; expected one {one} a line"
                counters.leave_out(name, refusal(name, blank, fault))
                # One row at a time from here on in this block: its lines have no numbers in a row any more.
                for place, line in enumerate(lines, start):
                    if line:
                        width = width or line.count(",") + 1
                        yield Body(name, (place,), width, [line])
                blank = 0
                continue
            lines = lines[: max(0, blank - start)]
        if lines and not width:
            cells = lines[0].split(",")
            width = len(cells)
            if check is not None:
                check(cells, start)
        if lines:
            yield Body(name, range(start, start + len(lines)), width, lines)
    if not width:
        raise TapeError(f"{name} holds no {what}; expected one a line; {AGAIN}")


def refusal(name: str, number: int, wrong: str) -> TapeError:
    """The sentence for a line that cannot be believed."""
    return TapeError(f"{name}, line {number}: {wrong}; correct the line, or if the file is damaged, {AGAIN}")


def shown(text: str) -> str:
    """What a file says, fit for one line of a message."""
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")
