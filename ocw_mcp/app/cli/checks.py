"""The results of the checks as text, one line each."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ocw_mcp.app.views.checks import Check, CheckVerdict
from ocw_mcp.domain.text import printable

STYLES = {CheckVerdict.OK: "green", CheckVerdict.WARNING: "yellow", CheckVerdict.PROBLEM: "bold red"}


def checks_text(checks: list[Check]) -> Iterator[RenderableType]:
    """Yield the table of checks, with an action for each that needs one, and the number of each verdict."""
    page = Table.grid(padding=(0, 2, 0, 0))
    page.add_column(no_wrap=True)
    page.add_column(no_wrap=True)
    page.add_column(overflow="fold")
    for check in checks:
        todo = f": {printable(check.todo)}" if check.todo else ""
        page.add_row(Text(check.verdict, style=STYLES[check.verdict]), check.name, Text(printable(check.found) + todo))
    yield page
    worst_first = (CheckVerdict.PROBLEM, CheckVerdict.WARNING, CheckVerdict.OK)
    counts = [sum(check.verdict is verdict for check in checks) for verdict in worst_first]
    yield "{} problem(s), {} warning(s), {} ok".format(*counts)
