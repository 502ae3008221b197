"""What the checks found, one line each."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ocw_mcp.app.views.checks import Check, Verdict
from ocw_mcp.domain.words import said

STYLES = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.PROBLEM: "bold red"}


def checks_text(checks: list[Check]) -> Iterator[RenderableType]:
    """The checks, what to do, and how many need it."""
    page = Table.grid(padding=(0, 2, 0, 0))
    page.add_column(no_wrap=True)
    page.add_column(no_wrap=True)
    page.add_column(overflow="fold")
    for check in checks:
        todo = f": {said(check.todo)}" if check.todo else ""
        page.add_row(Text(check.verdict, style=STYLES[check.verdict]), check.name, Text(said(check.found) + todo))
    yield page
    counts = {verdict: sum(check.verdict is verdict for check in checks) for verdict in Verdict}
    yield f"{counts[Verdict.PROBLEM]} problem(s), {counts[Verdict.WARNING]} warning(s), {counts[Verdict.OK]} ok"
