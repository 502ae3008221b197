"""Fetching files of the public archive, from a server on the loopback interface that can misbehave."""

import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocw_mcp.adapters.feeds.archive.fetch import ATTEMPTS, Fetched, fetch
from ocw_mcp.adapters.feeds.archive.plan import PlannedFile, SizeLimit, plan_files, size_limit
from ocw_mcp.domain.errors import FetchError, SettingsError
from ocw_mcp.domain.market import Product
from tests.support.archive import Archive, serving

DAY = "futures/um/daily/klines/ETHUSDT/1m/ETHUSDT-1m-2026-03-{:02d}.zip"
ONE = DAY.format(9)
MONTH = "futures/um/monthly/klines/ETHUSDT/1m/ETHUSDT-1m-2026-02.zip"
CONTENT = bytes(range(256)) * 400


class Silent:
    """Ignores the progress."""

    def file(self, path: str) -> None: ...

    def size(self, done: int, total: int | None) -> None: ...

    def finished(self, more: int) -> None: ...


@pytest.fixture
def archive() -> Iterator[Archive]:
    with serving(Archive()) as served:
        yield served


def bring(archive: Archive, directory: Path, *paths: str, waits: list[float] | None = None) -> Fetched:
    pauses: list[float] = [] if waits is None else waits
    return fetch([PlannedFile(path) for path in paths], directory, Silent(), pauses.append, archive.url)


def part_of(directory: Path, path: str, content: bytes) -> Path:
    part = directory / (path + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(content)
    return part


def test_file_is_stored_with_its_checksum_beside_it(archive: Archive, tmp_path: Path) -> None:
    archive.publish(ONE, CONTENT)
    fetched = bring(archive, tmp_path, ONE)
    assert (fetched.downloaded, fetched.bytes) == (1, len(CONTENT))
    assert (tmp_path / ONE).read_bytes() == CONTENT
    assert (tmp_path / (ONE + ".CHECKSUM")).read_text().split()[0] == hashlib.sha256(CONTENT).hexdigest()
    assert len(list((tmp_path / ONE).parent.iterdir())) == 2  # nothing half done is left over


def test_second_fetch_of_complete_files_makes_no_request(archive: Archive, tmp_path: Path) -> None:
    archive.publish(ONE, CONTENT)
    bring(archive, tmp_path, ONE)
    archive.asked.clear()
    fetched = bring(archive, tmp_path, ONE)
    assert (fetched.downloaded, fetched.kept, fetched.bytes) == (0, 1, 0)
    assert archive.asked == []


def test_existing_file_with_the_right_checksum_is_not_downloaded(archive: Archive, tmp_path: Path) -> None:
    archive.publish(ONE, CONTENT)
    (tmp_path / ONE).parent.mkdir(parents=True)
    (tmp_path / ONE).write_bytes(CONTENT)
    assert bring(archive, tmp_path, ONE).kept == 1
    assert archive.downloads == []


def test_file_damaged_on_disk_is_fetched_again(archive: Archive, tmp_path: Path) -> None:
    archive.publish(ONE, CONTENT)
    bring(archive, tmp_path, ONE)
    (tmp_path / ONE).write_bytes(CONTENT[:-1])
    assert bring(archive, tmp_path, ONE).downloaded == 1
    assert (tmp_path / ONE).read_bytes() == CONTENT


def test_partial_file_is_completed(archive: Archive, tmp_path: Path) -> None:
    archive.publish(ONE, CONTENT)
    part_of(tmp_path, ONE, CONTENT[:60_000])
    fetched = bring(archive, tmp_path, ONE)
    assert archive.downloads == [(ONE, "bytes=60000-")]
    assert fetched.bytes == len(CONTENT) - 60_000
    assert (tmp_path / ONE).read_bytes() == CONTENT


def test_complete_partial_file_is_checked_and_not_downloaded(archive: Archive, tmp_path: Path) -> None:
    archive.publish(ONE, CONTENT)
    part_of(tmp_path, ONE, CONTENT)
    assert bring(archive, tmp_path, ONE).bytes == 0
    assert (tmp_path / ONE).read_bytes() == CONTENT


def test_partial_file_is_replaced_if_server_ignores_byte_ranges(archive: Archive, tmp_path: Path) -> None:
    archive.publish(ONE, CONTENT)
    archive.ranges = False
    part_of(tmp_path, ONE, CONTENT[:60_000])
    assert bring(archive, tmp_path, ONE).bytes == len(CONTENT)
    assert (tmp_path / ONE).read_bytes() == CONTENT


def test_partial_download_of_another_version_is_discarded(archive: Archive, tmp_path: Path) -> None:
    archive.publish(ONE, CONTENT)
    part_of(tmp_path, ONE, b"x" * 5_000)
    bring(archive, tmp_path, ONE)
    assert archive.downloads == [(ONE, "bytes=5000-"), (ONE, None)]
    assert (tmp_path / ONE).read_bytes() == CONTENT


def test_interrupted_download_is_completed(archive: Archive, tmp_path: Path) -> None:
    archive.publish(ONE, CONTENT)
    archive.cuts = [10_000, 20_000]
    waits: list[float] = []
    fetched = bring(archive, tmp_path, ONE, waits=waits)
    assert [requested_range for _, requested_range in archive.downloads] == [None, "bytes=10000-", "bytes=30000-"]
    assert fetched.bytes == len(CONTENT)
    assert waits == [0.5, 1.0]
    assert (tmp_path / ONE).read_bytes() == CONTENT


def test_file_with_a_wrong_checksum_is_not_kept(archive: Archive, tmp_path: Path) -> None:
    archive.publish(ONE, CONTENT, checksum="0" * 64)
    with pytest.raises(FetchError, match=r"ETHUSDT-1m-2026-03-09\.zip does not match its CHECKSUM file"):
        bring(archive, tmp_path, ONE)
    assert list((tmp_path / ONE).parent.iterdir()) == []


def test_invalid_checksum_is_refused(archive: Archive, tmp_path: Path) -> None:
    archive.publish(ONE, CONTENT, checksum="<html>")
    with pytest.raises(FetchError, match="is not a SHA-256"):
        bring(archive, tmp_path, ONE)


def test_unpublished_day_is_listed_and_other_days_are_fetched(archive: Archive, tmp_path: Path) -> None:
    archive.publish(DAY.format(9), CONTENT)
    archive.publish(DAY.format(11), CONTENT)
    fetched = bring(archive, tmp_path, *(DAY.format(day) for day in (9, 10, 11)))
    assert fetched.downloaded == 2
    assert fetched.absent == ["ETHUSDT-1m-2026-03-10.zip"]


def test_unpublished_month_is_fetched_as_daily_files_once(archive: Archive, tmp_path: Path) -> None:
    plan = plan_files("ETHUSDT", "2026-02-01", "2026-02-28", streams=["klines"])
    assert [planned.path for planned in plan] == [MONTH]
    for planned in plan[0].instead:
        archive.publish(planned.path, CONTENT[:100])
    fetched = fetch(plan, tmp_path, Silent(), print, archive.url)
    assert (fetched.downloaded, fetched.absent) == (28, [])
    archive.asked.clear()
    assert fetch(plan, tmp_path, Silent(), print, archive.url).kept == 28
    assert archive.asked == []


def test_failing_server_is_retried_a_few_times(archive: Archive, tmp_path: Path) -> None:
    archive.publish(ONE, CONTENT)
    archive.failures = [503, 429]
    assert bring(archive, tmp_path, ONE).downloaded == 1
    archive.failures = [500] * 100
    waits: list[float] = []
    with pytest.raises(FetchError, match="the server answered 500") as caught:
        bring(archive, tmp_path / "other", ONE, waits=waits)
    assert "\n" not in str(caught.value)
    assert len(waits) == ATTEMPTS - 1
    assert len(archive.failures) == 100 - ATTEMPTS


def test_request_refused_by_the_server_is_not_retried(archive: Archive, tmp_path: Path) -> None:
    archive.failures = [403]
    waits: list[float] = []
    with pytest.raises(FetchError, match="the server answered 403"):
        bring(archive, tmp_path, ONE, waits=waits)
    assert waits == []


def test_fetch_from_an_unreachable_server_names_the_file(tmp_path: Path) -> None:
    with serving(Archive()) as gone:
        pass
    with pytest.raises(FetchError, match=r"ETHUSDT-1m-2026-03-09\.zip\.CHECKSUM could not be fetched"):
        bring(gone, tmp_path, ONE)


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://host", "http://", "http://[", "http://host:port"])
def test_invalid_url_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(FetchError, match="--url is"):
        fetch([PlannedFile(ONE)], tmp_path, Silent(), print, url)


def test_fetch_into_a_directory_blocked_by_a_file_is_refused(archive: Archive, tmp_path: Path) -> None:
    archive.publish(ONE, CONTENT)
    (tmp_path / "futures").write_text("a file")
    with pytest.raises(FetchError, match=r"cannot be kept.*--to"):
        bring(archive, tmp_path, ONE)


def test_whole_months_use_monthly_files_and_other_days_daily_ones() -> None:
    plan = [planned.path for planned in plan_files("ethusdt", "2026-01-30", "2026-03-02", streams=["klines"])]
    top = "futures/um/{}/klines/ETHUSDT/1m/ETHUSDT-1m-{}.zip"
    assert plan == [
        top.format("daily", "2026-01-30"),
        top.format("daily", "2026-01-31"),
        top.format("monthly", "2026-02"),
        top.format("daily", "2026-03-01"),
        top.format("daily", "2026-03-02"),
    ]


def test_metrics_use_daily_files_and_funding_monthly_ones() -> None:
    plan = plan_files("BTCUSDT", "2024-02", "2024-02", streams=["metrics", "fundingRate", "aggTrades"])
    assert len(plan) == 31
    assert plan[28].path == "futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2024-02-29.zip"
    assert plan[29] == PlannedFile("futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-02.zip")
    assert plan[30].path == "futures/um/monthly/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-02.zip"
    assert len(plan[30].instead) == 29


def test_spot_plan_has_only_candles_by_default() -> None:
    plan = plan_files("BTCUSDT", "2024-02-01", "2024-02-01", Product.SPOT, "15m")
    assert [each.path for each in plan] == ["spot/daily/klines/BTCUSDT/15m/BTCUSDT-15m-2024-02-01.zip"]


@pytest.mark.parametrize(
    ("wish", "fault"),
    [
        (("ETH/USDT", "2026-03-09", "2026-03-09"), "is not a symbol"),
        (("ETHUSDT", "2026-03-32", "2026-03-09"), "is not a day"),
        (("ETHUSDT", "yesterday", "2026-03-09"), "is not a day"),
        (("ETHUSDT", "2026-03-10", "2026-03-09"), "swap them"),
        (("ETHUSDT", "1980-03-10", "2026-03-09"), "before the archive"),
        (("ETHUSDT", "2026-03-09", "2026-03-09", Product.UM, "7m"), "--interval is '7m'"),
        (("ETHUSDT", "2026-03-09", "2026-03-09", Product.UM, "1s"), "only spot has seconds"),
        (("ETHUSDT", "2026-03-09", "2026-03-09", Product.SPOT, "1m", ["metrics"]), "--streams names 'metrics'"),
        (("ETHUSDT", "2026-03-09", "2026-03-09", Product.UM, "1m", []), "--streams is empty"),
    ],
)
def test_invalid_fetch_request_is_refused(wish: tuple[str, str, str], fault: str) -> None:
    with pytest.raises(SettingsError, match=fault):
        plan_files(*wish)


def test_bad_checksums_are_reported_and_other_files_fetched(archive: Archive, tmp_path: Path) -> None:
    archive.publish(DAY.format(9), CONTENT, checksum="0" * 64)
    archive.publish(DAY.format(10), CONTENT)
    archive.publish(DAY.format(11), CONTENT)
    del archive.files[DAY.format(10) + ".CHECKSUM"]
    fetched_results: list[Fetched] = []
    plan = [PlannedFile(DAY.format(day)) for day in (9, 10, 11, 12)]
    with pytest.raises(FetchError, match=r"03-09\.zip does not match its CHECKSUM file.*and 1 more file not kept"):
        fetch(plan, tmp_path, Silent(), print, archive.url, done=fetched_results.append)
    (fetched,) = fetched_results
    assert (fetched.downloaded, fetched.absent) == (1, ["ETHUSDT-1m-2026-03-12.zip"])
    assert [each.split()[0] for each in fetched.unsound] == ["ETHUSDT-1m-2026-03-09.zip", "ETHUSDT-1m-2026-03-10.zip"]
    assert "without a CHECKSUM file" in fetched.unsound[1]
    assert sorted(each.name for each in (tmp_path / ONE).parent.iterdir()) == [
        "ETHUSDT-1m-2026-03-11.zip", "ETHUSDT-1m-2026-03-11.zip.CHECKSUM",
    ]  # fmt: skip


def bomb(size: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("ETHUSDT-1m-2026-03-09.csv", b"0" * size)
    return packed.getvalue()


@pytest.mark.parametrize("has_length", [True, False])
def test_file_over_the_size_limit_is_not_kept(archive: Archive, tmp_path: Path, has_length: bool) -> None:
    archive.publish(ONE, CONTENT)
    archive.lengths = has_length
    with pytest.raises(FetchError, match=r"or more; expected at most 50,000; nothing was kept"):
        fetch([PlannedFile(ONE)], tmp_path, Silent(), print, archive.url, lambda _: SizeLimit(50_000, 10**9))
    assert list((tmp_path / ONE).parent.iterdir()) == []


def test_zip_file_over_the_unpacked_limit_is_not_kept(archive: Archive, tmp_path: Path) -> None:
    archive.publish(ONE, bomb(3_000_000))
    with pytest.raises(FetchError, match=r"would unpack to 3,000,000 bytes; expected at most 2,999,999"):
        fetch([PlannedFile(ONE)], tmp_path, Silent(), print, archive.url, lambda _: SizeLimit(10**6, 2_999_999))
    assert list((tmp_path / ONE).parent.iterdir()) == []
    bring(archive, tmp_path, ONE)


def test_every_stream_has_a_size_limit() -> None:
    for stream in ("klines", "aggTrades", "metrics", "fundingRate"):
        (planned, *_) = plan_files("BTCUSDT", "2024-02", "2024-02", streams=[stream])
        assert 0 < size_limit(planned.path).packed < size_limit(planned.path).unpacked


@pytest.mark.parametrize("ending", ["", ".CHECKSUM"])
@pytest.mark.parametrize("there", ["http://localhost:{port}/x", "http://127.0.0.1:1/x", "https://example.com", "//["])
def test_redirect_to_another_host_is_refused(archive: Archive, tmp_path: Path, ending: str, there: str) -> None:
    archive.publish(ONE, CONTENT)
    archive.moved = {ONE + ending: there.format(port=archive.url.rpartition(":")[2])}
    with pytest.raises(FetchError, match="redirected to another host") as caught:
        bring(archive, tmp_path, ONE)
    assert "\n" not in str(caught.value)
    assert f"expected {archive.url} alone" in str(caught.value)
    assert len(archive.asked) == (1 if ending else 2)


def test_redirect_within_host_is_followed_but_endless_one_is_refused(archive: Archive, tmp_path: Path) -> None:
    archive.publish(DAY.format(10), CONTENT)
    archive.files[ONE + ".CHECKSUM"] = archive.files[DAY.format(10) + ".CHECKSUM"]
    archive.moved = {ONE: f"/data/{DAY.format(10)}"}
    assert bring(archive, tmp_path, ONE).downloaded == 1
    assert (tmp_path / ONE).read_bytes() == CONTENT
    archive.moved = {DAY.format(11) + ".CHECKSUM": f"/data/{DAY.format(11)}.CHECKSUM"}
    with pytest.raises(FetchError, match="redirected without end"):
        bring(archive, tmp_path, DAY.format(11))


def test_symbol_in_chinese_characters_is_fetched(archive: Archive, tmp_path: Path) -> None:
    (planned,) = plan_files("币安人生usdt", "2026-03-09", "2026-03-09", streams=["klines"])
    assert planned.path == "futures/um/daily/klines/币安人生USDT/1m/币安人生USDT-1m-2026-03-09.zip"
    archive.publish(planned.path, CONTENT)
    assert bring(archive, tmp_path, planned.path).downloaded == 1
    assert (tmp_path / planned.path).read_bytes() == CONTENT
