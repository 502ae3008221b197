"""Tables and texts for a terminal: aligned at the decimal point, times in UTC, and without control characters."""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ocw_mcp.app.output import gain_style
from ocw_mcp.domain.money import plain
from ocw_mcp.render.text import average, cents

PIPED_WIDTH = 100
"""The width, in columns, when the width of the reader's display is not known."""
LEAST_WRAPPED = 24
"""The least width, in columns, of a column whose text is wrapped: enough for a word."""

_SAFE: Final = re.compile(r"[\n -~]*")
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")


class Column(NamedTuple):
    """A column's head and cells. The cells of a number are aligned at the right."""

    head: str
    cells: Sequence[str]
    number: bool = False
    wraps: bool = False
    styles: Sequence[str] = ()
    """The colour of each cell; empty for a column without colours."""


class Clean(Console):
    """A console that removes control characters from texts, such as file names, but prints its own colours."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments to print, with a blank for each control character of their texts."""
        for part in super().render(renderable, options):
            is_clean = part.control or _SAFE.fullmatch(part.text)
            yield part if is_clean else Segment(_CONTROL.sub(" ", part.text), part.style)


def terminal() -> Console:
    """Return a console on standard output, as wide as the terminal."""
    console = Clean(highlight=False, markup=False, emoji=False)
    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        console.width = PIPED_WIDTH
    return console


class Grid(Table):
    """A table that is never narrower than its numbers: a number that is cut looks like another number."""

    least = 0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the table; if the terminal is too narrow, its lines are longer than the terminal is wide."""
        return super().__rich_console__(console, options.update_width(max(options.max_width, self.least)))


def grid(title: str, *columns: Column) -> Table:
    """Return a table without borders."""
    table = Grid(
        title=title or None, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0), pad_edge=False
    )
    cells = []
    for column in columns:
        width = max(map(cell_len, (column.head, *column.cells)))
        table.least += 2 + (min(width, LEAST_WRAPPED) if column.wraps else width)
        align = width if column.number else 0
        table.add_column(column.head.rjust(align), header_style="dim", no_wrap=not column.wraps, overflow="fold")
        styles = column.styles or [""] * len(column.cells)
        cells.append([Text(text.rjust(align), style) for text, style in zip(column.cells, styles, strict=True)])
    table.least -= 2
    for row in zip(*cells, strict=True):
        table.add_row(*row)
    return table


def gains(head: str, values: Iterable[Decimal | None]) -> Column:
    """Return a column of gains and losses in quote currency."""
    shown = list(values)
    return Column(head, money(shown, signed=True), number=True, styles=[gain_style(value) for value in shown])


def amounts(values: Iterable[Decimal | None]) -> list[str]:
    """Return exact quantities or prices as texts, padded at the right so that their decimal points are aligned."""
    texts = ["-" if value is None else plain(value) for value in values]
    room = max((len(text) - len(text.partition(".")[0]) for text in texts), default=0)
    return [text.ljust(len(text.partition(".")[0]) + room) for text in texts]


def averages(prices: Iterable[Decimal | None]) -> list[str]:
    """Return average prices as texts aligned as by `amounts`, and rounded, since an average is a quotient."""
    return amounts(None if price is None else average(price) for price in prices)


def money(values: Iterable[Decimal | None], *, signed: bool = False) -> list[str]:
    """Return amounts of quote currency as texts, rounded to the cent."""
    return ["-" if value is None else cents(value, signed=signed) for value in values]


def more(count: int, rows: str) -> list[str]:
    """Return a line with the number of rows that are not shown; no line if there are none."""
    return [f"{count:,} older {rows} not shown; --limit shows more"] if count else []
