"""`ocw tape fetch`."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ocw_mcp.adapters.feeds.archive.plan import plan_files
from ocw_mcp.app.cli.runs import parse_product
from ocw_mcp.app.cli.tables import Clean
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.text import printable

if TYPE_CHECKING:
    from ocw_mcp.adapters.feeds.archive.fetch import Fetched

_SHOWN = 5


def fetch_and_print(
    symbol: str,
    first: str,
    last: str,
    product: str | None,
    interval: str,
    streams: str | None,
    to: Path,
    url: str | None,
    *,
    as_json: bool,
) -> None:
    """Download the requested files and print how many came.

    Raises SettingsError for a request that the archive cannot serve, FetchError when a download fails.
    """
    from ocw_mcp.adapters.feeds.archive.fetch import ARCHIVE, fetch  # the client takes a while to import

    chosen = None if streams is None else [each.strip() for each in streams.split(",") if each.strip()]
    plan = plan_files(symbol, first, last, parse_product(product) or Product.UM, interval, chosen)
    came: list[Fetched] = []
    try:
        with _Bars(len(plan), quiet=as_json) as bars:
            wait = time.sleep  # noqa: TID251 - no engine runs
            fetch(plan, to, bars, wait, ARCHIVE if url is None else url, done=came.append)
    finally:
        for fetched in came:
            _show(fetched, to, as_json=as_json)


def _show(fetched: "Fetched", to: Path, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(msgspec.to_builtins(fetched)))  # noqa: T201 - the result
        return
    console = Clean(highlight=False, soft_wrap=True)
    console.print(
        f"{fetched.downloaded} file{'s' * (fetched.downloaded != 1)} downloaded ({fetched.bytes:,} bytes), "
        f"{fetched.kept} already there, {len(fetched.absent)} not published"
    )
    if fetched.absent:
        more = len(fetched.absent) - _SHOWN
        console.print(
            f"not published: {', '.join(fetched.absent[:_SHOWN])}" + (f" and {more} more" if more > 0 else "")
        )
    for fault in fetched.unsound:
        console.print(f"not kept: {fault}", markup=False)
    if fetched.downloaded or fetched.kept:
        console.print(f"to check the tape: ocw tape info {printable(str(to))}", soft_wrap=True, markup=False)


class _Bars:
    """The progress on standard error: files of the plan, and bytes of the file that is being downloaded."""

    def __init__(self, pieces: int, *, quiet: bool) -> None:
        self._progress = Progress(
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[size]:>16} {task.description}"),
            console=Clean(file=sys.stderr, highlight=False),
            transient=True,
            disable=quiet or not sys.stderr.isatty(),  # a log file gets only the outcome
        )
        self._total = pieces
        self._plan = self._progress.add_task("", total=pieces, size="")

    def __enter__(self) -> "_Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def file(self, path: str) -> None:
        self._progress.update(self._plan, description=path.rpartition("/")[2], size="")

    def size(self, done: int, total: int | None) -> None:
        self._progress.update(self._plan, size=f"{done / 1e6:.1f} of {total / 1e6:.1f} MB" if total else f"{done:,} B")

    def finished(self, more: int) -> None:
        self._total += more
        self._progress.update(self._plan, total=self._total)
        self._progress.advance(self._plan)
