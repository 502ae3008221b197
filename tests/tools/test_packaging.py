"""The files for installing OCW agree with the code, and with the rules of the registry and the bundle format."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.packaging import ENTRY, PACKAGE, PAGES, SUMMARY, bundle, manifest, pinned, registry_entry, written

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("page", PAGES)
def test_packaging_files_equal_the_generated_files(page: str) -> None:
    kept = (ROOT / "packaging" / page).read_text(encoding="utf-8")
    assert kept == written(page), f"packaging/{page} is out of date; make it anew with: make docs"


def test_packaging_files_agree_with_pyproject() -> None:
    assert (PROJECT["name"], PROJECT["description"]) == (PACKAGE, SUMMARY)
    assert manifest()["license"] == PROJECT["license"]
    assert manifest()["compatibility"]["runtimes"]["python"] == PROJECT["requires-python"]


def test_registry_entry_follows_the_rules_of_the_registry() -> None:
    """The test has the documented rules, since no package contains the registry's schema."""
    entry = registry_entry()
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", entry["name"])
    assert 3 <= len(entry["name"]) <= 200
    assert 1 <= len(entry["description"]) <= 100
    assert 1 <= len(entry["title"]) <= 100
    assert re.fullmatch(r"[0-9]+(\.[0-9]+)+[0-9A-Za-z.+-]*", entry["version"]), "a version, not a range"
    (package,) = entry["packages"]
    assert package["version"] == entry["version"]
    assert f"<!-- mcp-name: {entry['name']} -->" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_registry_command_is_an_installed_alias_of_ocw() -> None:
    assert PROJECT["scripts"][PACKAGE] == PROJECT["scripts"]["ocw"]


def blocks() -> list[str]:
    return re.split(r"^(?=[A-Za-z0-9])", pinned(ROOT), flags=re.MULTILINE)[1:]


def test_bundle_pins_packages_by_hash_and_contains_no_url() -> None:
    for block in blocks():
        assert re.match(r"[a-z0-9-]+==[^ ]+( ; .*)? \\\n    --hash=sha256:[0-9a-f]{64}", block), block
    assert "://" not in pinned(ROOT)


def test_bundle_pins_runtime_dependencies_and_no_tools() -> None:
    there = {block.partition("==")[0] for block in blocks()}
    assert not there & {"pytest", "mypy", "ruff", "hypothesis", "hatchling", "matplotlib"}
    walked: set[str] = set()
    wanted = [Requirement(each) for each in PROJECT["dependencies"]]
    while wanted:
        one = wanted.pop()
        if str(one) in walked:
            continue
        walked.add(str(one))
        assert canonicalize_name(one.name) in there, str(one)
        for needs in map(Requirement, distribution(one.name).requires or ()):
            if needs.marker is None or any(needs.marker.evaluate({"extra": each}) for each in ("", *one.extras)):
                wanted.append(needs)


def test_bundle_pins_all_versions_of_a_package_in_the_lock_file() -> None:
    """numpy has one version for Python 3.11 and another for later ones."""
    names = [block.partition(" \\")[0] for block in blocks()]
    locked = re.findall(r"^numpy==.*(?= \\$)", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)
    assert len(locked) > 1
    assert [name for name in names if name.startswith("numpy==")] == locked


def test_bundle_does_not_start_if_package_verification_fails(tmp_path: Path) -> None:
    bundle(ROOT, tmp_path / "parts")
    uv = tmp_path / "uv"
    uv.write_text(f'#!/bin/sh\necho "$@" > {tmp_path / "asked"}\nexit 2\n')
    uv.chmod(0o700)
    environment = {"PATH": os.environ["PATH"], "UV": str(uv)}
    ended = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "parts" / ENTRY)], env=environment, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "the pinned packages were not installed, so nothing was started" in ended.stderr
    asked = (tmp_path / "asked").read_text()
    assert "--require-hashes --no-deps --no-build" in asked
    assert asked.endswith(f"-r {tmp_path / 'parts' / 'requirements.lock'}\n")
    assert not list((tmp_path / "parts").glob(".packages-*"))
