"""Tables and texts for a terminal: aligned at the decimal point, times in UTC, and nothing that could command it."""

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
from ocw_mcp.render.text import cents

PIPED_WIDTH = 100
"""Columns where nobody knows how wide the reader is."""
LEAST_WRAPPED = 24
"""Columns of text that goes on in the next line: enough for a word."""


_SAFE: Final = re.compile(r"[\n -~]*")
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")


class Column(NamedTuple):
    """A column's head and cells; a number's cells come from `amounts` or `money`."""

    head: str
    cells: Sequence[str]
    number: bool = False
    wraps: bool = False
    styles: Sequence[str] = ()
    """The colour of each cell, if they have any."""


class Clean(Console):
    """A console that prints no control character of a text: colours are its own, and names of files may hold some."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the parts of what is printed, each without anything that a terminal would obey."""
        for part in super().render(renderable, options):
            yield (
                part
                if part.control or _SAFE.fullmatch(part.text)
                else Segment(_CONTROL.sub(" ", part.text), part.style)
            )


def terminal() -> Console:
    """Standard output, as wide as the terminal."""
    console = Clean(highlight=False, markup=False, emoji=False)
    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        console.width = PIPED_WIDTH
    return console


class Grid(Table):
    """A table that is never narrower than its numbers: one that is cut looks like another."""

    least = 0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it, with lines that are too long where there is no room."""
        return super().__rich_console__(console, options.update_width(max(options.max_width, self.least)))


def grid(title: str, columns: Iterable[Column]) -> Table:
    """A table without lines around it."""
    table = Grid(
        title=title or None, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0), pad_edge=False
    )
    shown = list(columns)
    for column in shown:
        # Numbers carry their blanks with them, so that their points stand below each other.
        head = column.head.rjust(max(map(len, column.cells), default=0)) if column.number else column.head
        width = max(map(cell_len, (head, *column.cells)))
        table.least += 2 + (min(width, LEAST_WRAPPED) if column.wraps else width)
        table.add_column(head, header_style="dim", no_wrap=not column.wraps, overflow="fold")
    table.least -= 2
    for row in zip(*(_cells(column) for column in shown), strict=True):
        table.add_row(*row)
    return table


def _cells(column: Column) -> list[Text]:
    pad = len(column.head) if column.number else 0
    styles = column.styles or [""] * len(column.cells)
    return [Text(cell.rjust(pad), style) for cell, style in zip(column.cells, styles, strict=True)]


def gains(head: str, values: Iterable[Decimal | None]) -> Column:
    """A column of gains and losses in quote currency."""
    shown = list(values)
    return Column(head, money(shown, signed=True), number=True, styles=[gain_style(value) for value in shown])


def amounts(values: Iterable[Decimal | None]) -> list[str]:
    """Quantities or prices as they are, aligned at the point."""
    texts = ["-" if value is None else plain(value) for value in values]
    after = max((len(text.partition(".")[2]) for text in texts), default=0)
    room = after + 1 if after else 0
    padded = []
    for text in texts:
        whole, point, fraction = text.partition(".")
        padded.append(whole + (point + fraction).ljust(room))
    width = max(map(len, padded), default=0)
    return [text.rjust(width) for text in padded]


def money(values: Iterable[Decimal | None], *, signed: bool = False) -> list[str]:
    """Quote currency to the cent, aligned."""
    texts = ["-" if value is None else cents(value, signed=signed) for value in values]
    width = max(map(len, texts), default=0)
    return [text.rjust(width) for text in texts]


def more(count: int, what: str, how: str = "--limit shows more") -> str:
    """How many rows are not shown; empty where there are none."""
    return f"{count:,} older {what} not shown; {how}" if count else ""
