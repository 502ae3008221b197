"""Headlines: what a feed may be, and what a hostile one cannot do."""

from collections.abc import AsyncIterator

import msgspec
import pytest
import respx

from ocw_mcp.adapters.outside.feed_worker import LONGEST, MOST, Headline, headlines
from ocw_mcp.adapters.outside.headlines import Headlines
from ocw_mcp.adapters.outside.http import OutsideHttp
from ocw_mcp.domain.context import ContextItem
from ocw_mcp.domain.errors import SourceUnavailable
from ocw_mcp.domain.time import HOUR, day_begins

NOW = day_begins("2026-11-30") + 12 * HOUR
FEED = "https://news.example.org/rss"


def rss(*items: str) -> bytes:
    return (
        f'<?xml version="1.0"?><rss version="2.0"><channel><title>News</title>{"".join(items)}</channel></rss>'.encode()
    )


def item(title: str, day: int = 30, hour: int = 10) -> str:
    return f"<item><title>{title}</title><pubDate>{day} Nov 2026 {hour:02}:00:00 GMT</pubDate></item>"


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1 if n > 1 else str()};" * 10}">' for n in range(1, 9))
    + ']><rss version="2.0"><channel><item><title>&a8;</title></item></channel></rss>'
)


def test_newest_headlines_are_kept_with_their_times() -> None:
    found = headlines(
        rss(item("Old", 28), *(item(f"News {hour}", hour=hour) for hour in range(8)), item("A &amp; B", 30, 11))
    )
    assert found is not None
    assert [each.text for each in found] == ["A & B", "News 7", "News 6", "News 5", "News 4"]
    assert found[0].at == NOW - HOUR
    assert len(found) == MOST


def test_atom_feed_and_headline_without_time_are_read() -> None:
    atom = (
        b'<feed xmlns="http://www.w3.org/2005/Atom"><title>x</title><entry><title>Up</title>'
        b"<updated>2026-11-30T11:00:00Z</updated></entry><entry><title>Down</title></entry></feed>"
    )
    assert headlines(atom) == [Headline("Up", NOW - HOUR), Headline("Down", None)]


def test_headline_is_one_short_line_without_control_characters() -> None:
    found = headlines(rss(item("Buy\n\u202enow " + "x" * 900)))
    assert found is not None
    assert found[0].text.startswith("Buy now xxx")
    assert len(found[0].text) == LONGEST
    assert found[0].text.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        BOMB.encode(),
        BOMB.replace('1.0"?>', '1.0" encoding="utf-16"?>').encode("utf-16"),
        b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><rss version="2.0"><channel/></rss>',
        b"<html><body>Blocked</body></html>",
        b"",
        b"\xff\xfe\x00",
    ],
)
def test_bomb_and_page_are_no_feed(text: bytes) -> None:
    assert headlines(text) is None


async def parsed_here(module: str, feed: bytes) -> bytes:
    """Return what the process of `run_apart` returns."""
    assert module == "ocw_mcp.adapters.outside.feed_worker"
    return msgspec.json.encode(headlines(feed))


@pytest.fixture
async def http() -> AsyncIterator[OutsideHttp]:
    client = OutsideHttp()
    yield client
    await client.close()


async def test_feed_that_fails_leaves_the_headlines_of_another(
    http: OutsideHttp, httpx2_mock: respx.MockRouter
) -> None:
    httpx2_mock.get(FEED).respond(content=rss(item("Fresh"), item("Future", 30, 23), item("Ancient", 2)))
    httpx2_mock.get("https://dead.example.org/rss").respond(500)
    found = await Headlines(http, ("https://dead.example.org/rss", FEED), parsed_here).fetch(NOW)
    assert found == (
        ContextItem("headlines", NOW, NOW, "feed 2", text="Future"),
        ContextItem("headlines", NOW, NOW - 2 * HOUR, "feed 2", text="Fresh"),
    )


@pytest.mark.slow
async def test_no_feed_is_no_report(http: OutsideHttp, httpx2_mock: respx.MockRouter) -> None:
    httpx2_mock.get(FEED).respond(content=BOMB.encode())
    with pytest.raises(SourceUnavailable, match="cannot be read"):
        await Headlines(http, (FEED,)).fetch(NOW)


@pytest.mark.slow
async def test_feed_is_parsed_in_a_process_of_its_own(http: OutsideHttp, httpx2_mock: respx.MockRouter) -> None:
    httpx2_mock.get(FEED).respond(content=rss(item("Fresh")))
    (found,) = await Headlines(http, (FEED,)).fetch(NOW)
    assert found.text == "Fresh"
