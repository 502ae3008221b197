"""The progress of a run: a status line on a terminal, and no such line elsewhere."""

import io
import re
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ocw_mcp.app.narrator import Narrator, RunMoment, RunProgress
from ocw_mcp.app.output import StatusLine, working
from ocw_mcp.domain import events
from ocw_mcp.domain.time import HOUR, MINUTE, SECOND
from tests.adapters.store.books import open_book, tell
from tests.support.shell import Ocw
from tests.support.terminal import person

DAWN = 1_767_225_600_000
ERASE = "\r\x1b[2K"
RUN = ("run", "--market", "sim", "--interval", "15m", "--for", "1d")


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    return Ocw(monkeypatch, capsys)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def seen(after_ms: int = 0, **changes: object) -> RunMoment:
    """Return the state of a run of ten hours."""
    usual: dict[str, Any] = {
        "at": DAWN + after_ms,
        "ends_at": DAWN + 10 * HOUR,
        "catching_up": False,
        "candles": 1 + 2 * after_ms // MINUTE,
        "evaluations": after_ms // MINUTE,
        "wakes": 3,
        "next_timer": DAWN + 4 * HOUR,
        "equity": Decimal("10012.35"),
        "prices": {"BTCUSDT": 65210.1, "ETHUSDT": 3412.5},
        "positions": {"ETHUSDT": Decimal("-0.10")},
    }
    return RunMoment(**(usual | changes))


class Watched:
    """A run with progress: its printed lines, and the last text of its status line."""

    def __init__(self, *, paced: bool = False) -> None:
        self.lines: list[str] = []
        self.screen = Screen()
        self.narrator = Narrator(lambda text: self.lines.append(text.plain))
        self.progress = RunProgress(StatusLine(self.screen), self.narrator, paced=paced)

    def look(self, wall_s: float, now: RunMoment) -> str:
        self.progress.tick(wall_s * SECOND, now)
        return self.screen.getvalue().rpartition(ERASE)[2]


def test_status_line_is_redrawn_and_cut_to_the_width() -> None:
    screen = Screen()
    line = StatusLine(screen)
    line.show("one")
    line.show("one")
    line.show("two \x1b[2J\n" + "x" * 200)
    assert screen.getvalue() == f"{ERASE}one{ERASE}two  [2J " + "x" * (79 - len("two  [2J "))


def test_other_output_erases_the_status_line_first(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    with StatusLine(screen) as line:
        line.show("half")
        print("a warning", file=sys.stderr)
        line.show("whole")
    assert sys.stderr is screen
    assert screen.getvalue() == f"{ERASE}half{ERASE}a warning\n{ERASE}whole{ERASE}"


@pytest.mark.parametrize(("stream", "quiet"), [(io.StringIO(), False), (Screen(), True)])
def test_status_line_is_not_drawn_without_a_terminal_or_if_quiet(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, quiet: bool
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stderr", stream)
    with StatusLine(stream, quiet=quiet) as line:
        line.show("half")
    with working("reading", quiet=quiet) as tell:
        tell("still reading")
    assert stream.getvalue() == ""


def test_markup_in_a_name_is_shown_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    with working("reading [red]tape[/red]"):
        pass
    assert "reading [red]tape[/red]" in screen.getvalue()


def test_progress_shows_warm_up_and_repetition_of_journaled_steps() -> None:
    run = Watched()
    assert run.look(0, seen(candles=0, at=0)) == "reading the market's history"
    assert run.look(0, seen(candles=0)) == "reading the market's history: 2026-01-01 00:00"
    assert run.look(0, seen(HOUR, catching_up=True)) == "repeating steps from the journal: 2026-01-01 01:00"


def test_unpaced_run_shows_progress_speed_and_time_left() -> None:
    run = Watched()
    assert run.look(5, seen()) == "2026-01-01 00:00  0%  1 candles  3 wakes  equity 10,012.35"
    shown = run.look(9, seen(4 * HOUR))
    assert shown == "2026-01-01 04:00  40%, 6 s left  481 candles, 120/s  3 wakes  equity 10,012.35"
    assert run.lines == []


def test_run_without_a_known_end_shows_no_percentage() -> None:
    assert "%" not in Watched().look(5, seen(ends_at=None))


def test_a_paced_run_shows_prices_and_equity() -> None:
    shown = Watched(paced=True).look(5, seen(HOUR, positions={}))
    assert shown == "2026-01-01 01:00  equity 10,012.35, flat; BTCUSDT 65210.1, ETHUSDT 3412.5; 60 e"


def test_paced_run_prints_its_state_after_a_quiet_hour() -> None:
    run = Watched(paced=True)
    for minutes in range(0, 150, 10):
        run.look(minutes, seen(minutes * MINUTE))
    assert run.lines == [
        f"2026-01-01 {at}  quiet     equity 10,012.35, ETHUSDT -0.1; BTCUSDT 65210.1, ETHUSDT 3412.5; "
        f"{evaluations} evaluations, 3 wakes, next timer wake at 04:00"
        for at, evaluations in (("01:00", 60), ("02:00", 120))
    ]


def test_printed_event_restarts_the_quiet_hour() -> None:
    run = Watched(paced=True)
    run.look(0, seen())
    run.look(50, seen(50 * MINUTE))
    run.narrator(DAWN, events.Incident("a word"))
    run.look(60, seen(60 * MINUTE))
    run.look(110, seen(110 * MINUTE))
    assert len(run.lines) == 1
    run.look(120, seen(120 * MINUTE))
    assert len(run.lines) == 2


def test_fast_run_prints_its_state_every_five_seconds_at_most() -> None:
    run = Watched(paced=True)
    for second in range(13):
        run.look(second, seen(second * HOUR))
    assert [line[11:16] for line in run.lines] == ["05:00", "10:00"]


def test_slow_run_prints_its_state_after_five_quiet_minutes() -> None:
    run = Watched(paced=True)
    for minute in range(6):
        run.look(minute * 60, seen(minute * MINUTE))
    assert len(run.lines) == 1


def test_run_shows_progress_only_on_a_terminal(ocw: Ocw, monkeypatch: pytest.MonkeyPatch) -> None:
    with person(monkeypatch) as someone:
        said = ocw(*RUN)
    assert "opening the market" in someone.screen
    assert said.code == 0
    assert "\x1b[2K" not in said.out
    assert ocw(*RUN).err == ""


def test_progress_counts_a_wake_by_the_timer(ocw: Ocw, monkeypatch: pytest.MonkeyPatch) -> None:
    with person(monkeypatch) as someone:
        ocw("run", "--market", "sim", "--symbols", "ETHUSDT", "--for", "10d", "--agent", "none", "--every", "1h")
    assert max(int(each) for each in re.findall(r"(\d+) wakes", someone.screen)) > 0


@pytest.mark.parametrize("flag", ["--json", "--quiet"])
def test_a_quiet_run_prints_its_report_alone(ocw: Ocw, monkeypatch: pytest.MonkeyPatch, flag: str) -> None:
    with person(monkeypatch) as someone:
        said = ocw(*RUN, flag)
    assert "opening the market" not in someone.screen
    assert said.out.strip().startswith("Report" if flag == "--quiet" else "{")
    assert " fill " not in said.out


@pytest.mark.parametrize(("flag", "shown"), [((), True), (("--json",), False)])
def test_journal_check_shows_progress(
    ocw: Ocw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: tuple[str, ...], shown: bool
) -> None:
    with closing(open_book(tmp_path / "book")) as store:
        tell(store)
    with person(monkeypatch) as someone:
        assert ocw("journal", "verify", "--state", tmp_path / "book", *flag).code == 0
    assert ("checking the journal" in someone.screen) is shown
