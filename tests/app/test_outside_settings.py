"""What a run reads outside of the exchange: nothing, unless settings name it."""

from datetime import date
from pathlib import Path

import pytest

from ocw_mcp.app.outside import Outside, outside_of
from ocw_mcp.app.settings import OUTSIDE, load_settings
from ocw_mcp.core.macro.series import ms
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.macro import MacroReading
from tests.support.macro_oracle import random_table

FEED = "https://news.example.org/rss?topic=btc"


def files(directory: Path) -> Path:
    directory.mkdir()
    for name, found in random_table(5).items():
        rows = "".join(f"{each.day},{each.value}\n" for each in found)
        (directory / f"{name}.csv").write_text(f"observation_date,{name}\n{rows}")
    return directory


def of(*, live: bool, state: Path | None = None, **given: str) -> Outside:
    return outside_of(load_settings(None, None, given), state, live=live)


@pytest.mark.parametrize("live", [False, True])
def test_nothing_is_read_by_default(live: bool) -> None:
    assert of(live=live) == Outside()


def test_live_market_reads_the_sources_that_settings_name(tmp_path: Path) -> None:
    found = of(live=True, state=tmp_path, OUTSIDE=", ".join(OUTSIDE), HEADLINE_FEEDS=FEED)
    assert [each.name for each in found.readers] == list(OUTSIDE)
    assert found.macro is None
    assert list(tmp_path.iterdir()) == []


def test_recorded_market_reads_only_the_files_of_macro_dir(tmp_path: Path) -> None:
    assert of(live=False, OUTSIDE="fear_greed,macro") == Outside()
    found = of(live=False, OUTSIDE="fear_greed", MACRO_DIR=str(files(tmp_path / "fred")))
    assert found.readers == ()
    assert found.macro is not None
    assert isinstance(found.macro.at(ms(date(2007, 6, 1))), MacroReading)


async def test_sandbox_exchange_is_no_market_of_today(tmp_path: Path) -> None:
    loopback = "http://127.0.0.1:9443"
    assert of(live=True, OUTSIDE="fear_greed", BINANCE_LOOPBACK=loopback) == Outside()
    found = of(live=True, OUTSIDE="fear_greed", BINANCE_LOOPBACK=loopback, MACRO_DIR=str(files(tmp_path / "fred")))
    (reader,) = found.readers
    reading, _ = await reader.read(ms(date(2007, 6, 1)))
    assert isinstance(reading, MacroReading)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"OUTSIDE": "headlines"}, "HEADLINE_FEEDS names no feed"),
        ({"HEADLINE_FEEDS": FEED}, "OUTSIDE lacks headlines"),
        ({"OUTSIDE": "macro", "MACRO_DIR": "/nowhere"}, "remove one"),
        ({"OUTSIDE": "astrology"}, "'astrology', which is no source; expected some of macro, fear_greed"),
        ({"OUTSIDE": "headlines", "HEADLINE_FEEDS": "http://news.example.org/rss"}, "is no feed"),
        ({"OUTSIDE": "headlines", "HEADLINE_FEEDS": "file:///etc/passwd"}, "is no feed"),
        ({"OUTSIDE": "headlines", "HEADLINE_FEEDS": ",".join([FEED] * 9)}, "more than 8"),
        ({"MACRO_DIR": "fred"}, "MACRO_DIR .from the environment. is not an absolute path"),
        ({"MACRO_DIR": "/nowhere"}, "T10Y2Y.csv does not exist"),
    ],
)
def test_settings_that_do_not_fit_are_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        outside_of(load_settings(None, None, given), None, live=True)
