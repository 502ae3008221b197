"""The command `python -m ocw_mcp.app.calibrate DIRECTORY`."""

import sys
from pathlib import Path

import typer

from ocw_mcp.adapters.feeds.simulated import parameters
from ocw_mcp.app.calibrate.archive import read
from ocw_mcp.app.calibrate.measures import MEASURES
from ocw_mcp.app.output import working
from ocw_mcp.domain.errors import OcwError


def main(
    directory: Path = typer.Argument(..., help="Recorded candles, metrics and funding, in any subfolders."),  # noqa: B008
) -> None:
    """Measure recorded data, and print the parameters of the simulated market beside the results."""
    try:
        with working("reading the archive") as progress:
            archive = read(directory, lambda path: progress(f"reading {path.name}"))
    except OcwError as error:
        typer.echo(f"calibrate: {error}", err=True)
        sys.exit(2)
    typer.echo(f"minutes: {', '.join(archive.minutes)}\nhours: {', '.join(archive.hours)}")
    for title, measure in MEASURES.items():
        typer.echo(f"\n== {title}")
        with working(f"measuring {title}"):
            found = measure(archive)
        for name, value in found.items():
            typer.echo(f"{name:60} {value:.4g}")
    typer.echo("\n== in the code")
    for name, value in vars(parameters).items():
        if name.isupper() and name not in {"DAY", "HOUR", "MINUTE"}:
            typer.echo(f"{name:24} {value}")


if __name__ == "__main__":
    typer.run(main)
