"""What others read to install OCW agrees with the code, and with the rules of whoever reads it."""

import re
import tomllib
from pathlib import Path

import pytest

from ocw_mcp.app.packaging import PACKAGE, PAGES, SUMMARY, manifest, registry_entry, written

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("page", PAGES)
def test_each_page_is_the_one_that_the_code_makes(page: str) -> None:
    kept = (ROOT / "packaging" / page).read_text(encoding="utf-8")
    assert kept == written(page), f"packaging/{page} is out of date; make it anew with: make docs"


def test_both_pages_say_what_the_project_says() -> None:
    assert (PROJECT["name"], PROJECT["description"]) == (PACKAGE, SUMMARY)
    assert manifest()["license"] == PROJECT["license"]
    assert manifest()["compatibility"]["runtimes"]["python"] == PROJECT["requires-python"]


def test_the_registry_takes_the_entry() -> None:
    """The registry's documented rules; its schema is in no package, and is not ours to copy."""
    entry = registry_entry()
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", entry["name"])
    assert 3 <= len(entry["name"]) <= 200
    assert 1 <= len(entry["description"]) <= 100
    assert 1 <= len(entry["title"]) <= 100
    assert re.fullmatch(r"[0-9]+(\.[0-9]+)+[0-9A-Za-z.+-]*", entry["version"]), "a version, not a range"
    (package,) = entry["packages"]
    assert package["version"] == entry["version"]
    assert f"<!-- mcp-name: {entry['name']} -->" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_what_the_registry_has_started_is_a_script_of_the_package() -> None:
    assert PROJECT["scripts"][PACKAGE] == PROJECT["scripts"]["ocw"]
