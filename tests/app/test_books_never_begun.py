"""A start that is refused leaves no book, so that the directory takes another one; an existing book stays."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.app.policy_loader import load_policies, load_prompts
from ocw_mcp.app.runner import Job, run
from ocw_mcp.domain.errors import BookError, OcwError, VenueRefused
from ocw_mcp.domain.market import Frame
from ocw_mcp.domain.time import HOUR, MINUTE


class Refused(SimulatedFeed):
    """A market whose exchange refuses the account."""

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        nothing: tuple[Frame, ...] = ()
        for frame in nothing:
            yield frame
        raise VenueRefused("the account is in hedge mode")


def start(directory: Path, feed: SimulatedFeed) -> None:
    run(Job(feed, "none", load_policies(None), load_prompts(None), HOUR, directory))


def test_refused_start_leaves_no_book(tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text("kept")
    with pytest.raises(OcwError, match="hedge mode"):
        start(tmp_path, Refused(1, step=15 * MINUTE))
    assert sorted(each.name for each in tmp_path.iterdir() if "journal" in each.name) == []
    assert (tmp_path / "passphrase").read_text() == "kept"
    # Another market is another stamp, which the book that never began would refuse.
    start(tmp_path, SimulatedFeed(2, step=15 * MINUTE))


def test_refused_start_of_an_existing_book_keeps_it(tmp_path: Path) -> None:
    start(tmp_path, SimulatedFeed(1, step=15 * MINUTE))
    before = ask_book(tmp_path, lambda db, book: (book.book, db["events"].count))
    with pytest.raises(OcwError, match="hedge mode"):
        start(tmp_path, Refused(1, step=15 * MINUTE))
    assert ask_book(tmp_path, lambda db, book: (book.book, db["events"].count)) == before
    with pytest.raises(BookError, match="this run has"):
        start(tmp_path, SimulatedFeed(2, step=15 * MINUTE))
