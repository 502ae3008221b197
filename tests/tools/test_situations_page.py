"""`docs/situations.md` equals the page that the files of `situations/` make."""

from pathlib import Path

from tools.situations import page


def test_situations_page_equals_the_generated_page() -> None:
    written = Path(__file__).parents[2] / "docs" / "situations.md"
    assert written.read_text() == page(), "docs/situations.md is out of date; make it anew with: make docs"
