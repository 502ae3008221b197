"""The id of a new book, which is part of every client order id."""

from collections.abc import Mapping

from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.app.compose import book_id
from tests.support.live import ListedLive, live_frames


class Live(ListedLive):
    """A live feed that a book can resume."""

    def resume_at(self, known: Mapping[str, int]) -> None:
        """Set the last known candles, which these tests have none of."""


def test_books_of_one_simulated_market_have_the_same_id() -> None:
    assert book_id(SimulatedFeed(1), 1) == book_id(SimulatedFeed(1), 2) != book_id(SimulatedFeed(2), 1)


def test_books_of_one_live_market_have_ids_of_their_own() -> None:
    feed = Live(live_frames([100.0]))
    ids = {book_id(feed, created_ns) for created_ns in range(100)}
    assert len(ids) == 100
    assert all(len(each) == 6 and each.isalnum() for each in ids)
