"""Reads the macro regime from answers of FRED, in a process of its own: the text is long, and so is the history."""

import sys

import msgspec

from ocw_mcp.adapters.outside.apart import limit_this_process
from ocw_mcp.adapters.outside.fred_text import read_csv, read_json
from ocw_mcp.core.macro.history import reading_at
from ocw_mcp.core.macro.series import ALL, DECIDING, Observation, Pace
from ocw_mcp.domain.macro import MacroReading
from ocw_mcp.domain.unknown import Unknown


class FredAnswers(msgspec.Struct, frozen=True):
    """The answers of FRED by the names of the series."""

    now: int
    """The time (ms) of the reading."""
    read_at: int
    """The time (ms) at which FRED was read: every value was known by then."""
    keyed: bool
    """True if `texts` are JSON, which FRED answers with a key; False if they are CSV."""
    texts: dict[str, bytes]


def table_of(answers: FredAnswers) -> dict[str, tuple[Observation, ...]]:
    """Return the series. Raises ValueError if a deciding one cannot be read; another one is left out."""
    table: dict[str, tuple[Observation, ...]] = {}
    for name, text in answers.texts.items():
        series = ALL[name]
        try:
            if answers.keyed:
                table[name] = read_json(series, text, is_first_release(name), answers.read_at)
            else:
                table[name] = read_csv(series, text, answers.read_at)
        except (ValueError, msgspec.MsgspecError):
            if series in DECIDING:
                raise
    return table


def is_first_release(name: str) -> bool:
    """Return whether the first releases of a series are asked for: it decides, and is revised later."""
    series = ALL[name]
    return series in DECIDING and series.pace is Pace.MONTHLY


def main() -> None:
    """Read answers from standard input, and write the reading; exit with 1 if they have another format."""
    limit_this_process()
    try:
        answers = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=FredAnswers)
        found: MacroReading | Unknown = reading_at(table_of(answers), answers.now)
    except (ValueError, msgspec.MsgspecError):
        sys.exit(1)
    sys.stdout.buffer.write(msgspec.json.encode(found))
