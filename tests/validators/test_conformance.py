"""The official conformance suite, asked of fixtures behind our own door, and of a whole engine."""

import json
import re
import tomllib
from pathlib import Path
from typing import NamedTuple, NoReturn

import httpx2
import pytest

from ocw_mcp.adapters.control.tokens import Keyring, add_token
from ocw_mcp.interfaces.rest import application
from ocw_mcp.interfaces.serving import listen, serving
from tests.support.bearing import bearing
from tests.support.engines import running_engine
from tests.support.node import validate
from tests.validators.fixture import fixture_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

EXPECTED = tomllib.loads(Path(__file__).with_name("expected.toml").read_text())
GENERAL = {
    "2025-11-25": {
        "completion-complete",
        "dns-rebinding-protection",
        "ping",
        "prompts-list",
        "resources-list",
        "server-initialize",
        "server-session-lifecycle",
        "server-sse-multiple-streams",
        "tools-list",
    },
    "2026-07-28": {
        "caching",
        "completion-complete",
        "dns-rebinding-protection",
        "http-header-validation",
        "prompts-list",
        "resources-list",
        "sep-2164-resource-not-found",
        "server-sse-multiple-streams",
        "server-stateless",
        "tools-list",
    },
}
"""Scenarios that ask for no tool, resource or prompt of a certain name, but for one check of `server-stateless`."""


class Found(NamedTuple):
    """How many checks of each scenario passed, and which are wanting, as `scenario:check`, with what was said."""

    passed: dict[str, int]
    wanting: dict[str, str]


async def found(revision: str, url: str, token: str, home: Path) -> Found:
    """Ask a server behind its gate for all that a revision requires."""
    results = home / "results"
    async with bearing(url, token) as way_in:
        asked = ("server", "--url", f"{way_in}/mcp", "--requirements", revision, "--output-dir", results)
        ended = await validate("conformance", *asked, home=home)
    passed: dict[str, int] = {}
    wanting: dict[str, str] = {}
    for file in results.glob("*/checks.json"):
        named = re.fullmatch(r"server-(.+)-\d{4}-\d\d-\d\dT.+", file.parent.name)
        assert named, file
        scenario = named[1]
        checks = json.loads(file.read_text())
        passed[scenario] = sum(check["status"] == "SUCCESS" for check in checks)
        wanting |= {
            f"{scenario}:{check['id']}": check.get("errorMessage", "")
            for check in checks
            if check["status"] in ("FAILURE", "WARNING")
        }
    assert passed, ended
    return Found(passed, wanting)


def expected(server: str, revision: str) -> set[str]:
    return {
        check
        for each in EXPECTED["wanting"]
        if (each["server"], each["revision"]) == (server, revision)
        for check in each["checks"]
    }


def no_engine() -> NoReturn:
    raise AssertionError("the suite asks for nothing but /mcp")


@pytest.mark.parametrize("revision", GENERAL)
@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
async def test_authenticated_server_passes_the_mcp_conformance_suite(revision: str, tmp_path: Path) -> None:
    token, _ = add_token(tmp_path, "read", None, 0)
    app = application(no_engine, fixture_server(), Keyring(tmp_path), (), schema=False)
    bound = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    async with serving(app, bound), httpx2.AsyncClient() as client:
        assert (await client.post(f"{url}/mcp", json={})).status_code == 401
        got = await found(revision, url, token, tmp_path)
    unexpected = {check: why for check, why in got.wanting.items() if check not in expected("fixture", revision)}
    assert unexpected == {}
    assert expected("fixture", revision) - set(got.wanting) == set(), "these pass, so expected.toml need not list them"
    assert sum(got.passed.values()) == EXPECTED["passed"][revision]


@pytest.mark.parametrize("revision", GENERAL)
async def test_running_engine_passes_general_mcp_conformance_scenarios(revision: str, tmp_path: Path) -> None:
    async with running_engine(tmp_path / "desk") as engine:
        got = await found(revision, engine.url, engine.token, tmp_path)
    general = GENERAL[revision]
    assert {scenario for scenario in general if not got.passed.get(scenario)} == set()
    wanting = {check: why for check, why in got.wanting.items() if check.partition(":")[0] in general}
    assert {check: why for check, why in wanting.items() if check not in expected("real", revision)} == {}
    assert expected("real", revision) - set(wanting) == set(), "these pass, so expected.toml need not list them"
