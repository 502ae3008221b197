"""Economic series from a directory of CSV files, one a series: `T10Y2Y.csv`."""

from pathlib import Path
from typing import Final

from ocw_mcp.adapters.files import FileRefused, read_file
from ocw_mcp.adapters.outside.fred_text import read_csv, read_table
from ocw_mcp.core.macro.series import ALL, DECIDING, RECESSION, Observation
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.protocols import MacroCalendar, OutsideFound
from ocw_mcp.domain.time import HOUR

LARGEST: Final = 16 << 20


def read_macro_files(directory: Path, owners: tuple[int, ...] = ()) -> dict[str, tuple[Observation, ...]]:
    """Return the series of a directory; those of context may be missing. Raises SettingsError for any other fault."""
    texts = []
    for name, series in ALL.items():
        path = directory / f"{name}.csv"
        try:
            texts.append((name, read_file(path, LARGEST, link=True, owners=owners)))
        except FileNotFoundError:
            if series in DECIDING:
                wanted = ", ".join(f"{each.name}.csv" for each in DECIDING)
                raise SettingsError(
                    f"{path} does not exist; expected {wanted} in {directory}, as FRED offers them"
                ) from None
        except FileRefused as error:
            raise SettingsError(str(error)) from None
        except OSError as error:
            raise SettingsError(f"{path} cannot be read ({error.strerror}); expected a readable file") from None
    try:
        return read_table(texts)
    except ValueError as error:
        raise SettingsError(f"{directory}: {error}; download the file from FRED again") from None


def read_recessions(directory: Path, owners: tuple[int, ...] = ()) -> tuple[Observation, ...]:
    """Return the months of the recessions of the NBER (1 in one, else 0); none without the file USREC.csv.

    Raises SettingsError for a file that cannot be read.
    """
    path = directory / f"{RECESSION.name}.csv"
    try:
        return read_csv(RECESSION, read_file(path, LARGEST, link=True, owners=owners))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:  # FileRefused is a ValueError
        raise SettingsError(f"{path}: {error}; download the file from FRED again") from None


class MacroFiles:
    """The macro regime of files for a live market: a reader that never fails and sends no request."""

    name = "macro"
    problem = ""

    def __init__(self, calendar: MacroCalendar) -> None:
        self._calendar = calendar

    async def read(self, now: int) -> tuple[OutsideFound, int]:
        """Return the macro regime at `now` (ms), and an hour."""
        return self._calendar.at(now), HOUR
