"""FRED: the public files, the interface with a key, and directories of files."""

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import msgspec
import pytest
import respx
from pydantic import SecretStr

from ocw_mcp.adapters.outside.fred import KEYED, PUBLIC, Fred
from ocw_mcp.adapters.outside.fred_text import read_csv, read_json
from ocw_mcp.adapters.outside.fred_worker import FredAnswers, table_of
from ocw_mcp.adapters.outside.http import OutsideHttp
from ocw_mcp.adapters.outside.macro_files import read_macro_files, read_recessions
from ocw_mcp.core.macro.history import MacroHistory, reading_at
from ocw_mcp.core.macro.series import ALL, CURVE, PRICES, UNEMPLOYED, day_of, known_at, ms
from ocw_mcp.domain.errors import SettingsError, SourceUnavailable
from ocw_mcp.domain.macro import MacroReading
from ocw_mcp.domain.time import DAY
from tests.support.macro_oracle import random_table

NOW = ms(date(2008, 1, 10)) + 12_345_678
TABLE = random_table(11)
KEY = "0123456789abcdef0123456789abcdef"


def public(name: str) -> bytes:
    """Return a series as the public CSV of FRED, with a blank."""
    rows = [f"{each.day},{each.value}" for each in TABLE[name]]
    return "\n".join([f"observation_date,{name}", "2003-05-01,", *rows, ""]).encode()


def keyed(name: str) -> bytes:
    rows = [
        {"realtime_start": "2008-01-08", "realtime_end": "9999-12-31", "date": str(each.day), "value": str(each.value)}
        for each in TABLE[name]
    ]
    return msgspec.json.encode(
        {"count": len(rows), "observations": [*rows, rows[0] | {"date": "2003-05-01", "value": "."}]}
    )


@pytest.fixture
async def http() -> AsyncIterator[OutsideHttp]:
    client = OutsideHttp()
    yield client
    await client.close()


async def test_public_files_are_asked_for_without_a_key(http: OutsideHttp, httpx2_mock: respx.MockRouter) -> None:
    route = httpx2_mock.get(url__startswith=PUBLIC)
    route.side_effect = lambda request: respx.MockResponse(
        content=public(name) if (name := request.url.params["id"]) in TABLE else b"",
        status_code=200 if name in TABLE else 404,
    )
    answers = await Fred(http, lambda: NOW).ask_all(NOW)
    assert set(answers.texts) == set(TABLE)
    asked = {call.request.url.params["id"]: call.request.url.params["cosd"] for call in route.calls}
    assert set(asked) == set(ALL)
    assert asked["UNRATE"] == "1999-01-01"
    assert asked["VIXCLS"] == "2007-09-12"
    assert isinstance(reading_at(table_of(answers), NOW), MacroReading)


async def test_first_releases_are_asked_for_with_a_key(http: OutsideHttp, httpx2_mock: respx.MockRouter) -> None:
    route = httpx2_mock.get(url__startswith=KEYED)
    route.side_effect = lambda request: respx.MockResponse(content=keyed(request.url.params["series_id"]))
    fred = Fred(http, lambda: NOW, SecretStr(KEY))
    texts = {name: await fred.ask(name, date(1999, 1, 1)) for name in TABLE}
    asked = {call.request.url.params["series_id"]: dict(call.request.url.params) for call in route.calls}
    assert {name for name, query in asked.items() if query.get("output_type") == "4"} == {"UNRATE", "CPIAUCSL"}
    assert all(query["api_key"] == KEY for query in asked.values())
    table = table_of(FredAnswers(NOW, NOW, True, texts))
    assert {day_of(each.known_at) for each in table["UNRATE"]} == {date(2008, 1, 9)}
    assert table["T10Y2Y"][:900] == TABLE["T10Y2Y"][:900]


async def test_deciding_series_that_fails_is_named_without_the_key(
    http: OutsideHttp, httpx2_mock: respx.MockRouter
) -> None:
    httpx2_mock.get(url__startswith=KEYED).respond(400)
    with pytest.raises(SourceUnavailable, match=r"T10Y2Y: api.stlouisfed.org answers with status 400") as raised:
        await Fred(http, lambda: NOW, SecretStr(KEY)).fetch(NOW)
    assert KEY not in str(raised.value)


def test_csv_is_read_in_both_layouts_and_with_releases() -> None:
    for head in ("date,value", "observation_date,UNRATE", "DATE,VALUE"):
        found = read_csv(UNEMPLOYED, f"{head}\n2025-08-01,4.3\n2025-09-01,4.4\n2025-10-01,.\n2025-11-01,4.6\n".encode())
        assert [each.day.month for each in found] == [8, 9, 11]
        assert [each.known_at for each in found] == [known_at(UNEMPLOYED, each.day) for each in found]
    text = b"observation_date,CPIAUCSL,realtime_start\n2024-01-01,309.7,2025-02-12\n2024-01-01,308.4,2024-02-13\n"
    (first,) = read_csv(PRICES, text)
    assert (first.value, day_of(first.known_at)) == (308.4, date(2024, 2, 14))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the columns are ''"),
        ("a,b\n", "the columns are 'a,b'"),
        ("date,value\n2025-01-02,x\n", "line 2 is '2025-01-02,x'"),
        ("date,value\n2025-01-02,1\n2025-13-01,1\n", "line 3"),
        ("date,value\n2025-01-02,inf\n", "line 2"),
        ("date,value\n2025-01-02,nan\n", "line 2"),
        ("date,value\n2025-01-02\n", "line 2"),
        ("date,value\n0001-01-01,1\n", "line 2"),
        ("<html>Too many requests</html>", "the columns are"),
    ],
)
def test_csv_with_a_fault_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_csv(CURVE, text.encode())


def test_monthly_value_of_another_day_is_refused() -> None:
    with pytest.raises(ValueError, match="2025-01-02 is not the first day of a month"):
        read_csv(UNEMPLOYED, b"date,value\n2025-01-02,4\n")


def test_json_of_another_format_is_refused() -> None:
    with pytest.raises(msgspec.MsgspecError):
        read_json(CURVE, b'{"error_code":400}', False, NOW)


def test_directory_gives_the_reading_of_each_day(tmp_path: Path) -> None:
    for name in TABLE:
        (tmp_path / f"{name}.csv").write_bytes(public(name))
    table = read_macro_files(tmp_path)
    history = MacroHistory(table)
    for days in (0, 1, 620, 1_380):
        at = ms(date(2004, 1, 1)) + days * DAY
        assert history.at(at + 5_000_000) == reading_at(table, at)
    assert read_recessions(tmp_path) == ()


def test_directory_without_a_deciding_series_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"T10Y2Y.csv does not exist; expected T10Y2Y.csv, UNRATE.csv"):
        read_macro_files(tmp_path)
    for name in TABLE:
        (tmp_path / f"{name}.csv").write_bytes(public(name))
    (tmp_path / "UNRATE.csv").write_text("date,value\n2025-01-01,?\n")
    with pytest.raises(SettingsError, match="UNRATE: line 2"):
        read_macro_files(tmp_path)


@pytest.mark.slow
async def test_reading_is_computed_in_a_process_of_its_own(http: OutsideHttp, httpx2_mock: respx.MockRouter) -> None:
    httpx2_mock.get(url__startswith=PUBLIC).side_effect = lambda request: respx.MockResponse(
        content=public(request.url.params["id"]) if request.url.params["id"] in TABLE else b"<html>"
    )
    found = await Fred(http, lambda: NOW).fetch(NOW)
    assert found == reading_at({name: read_csv(ALL[name], public(name), NOW) for name in TABLE}, NOW)
