"""`docs/reference.md` equals the page that the code makes."""

from pathlib import Path

from tools.reference import page


def test_reference_page_equals_the_generated_page() -> None:
    written = Path(__file__).parents[2] / "docs" / "reference.md"
    assert written.read_text() == page(), "docs/reference.md is out of date; make it anew with: make docs"


def test_each_refusal_code_and_policy_key_has_a_meaning() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert not [row for row in rows if row.endswith("|  |")]
