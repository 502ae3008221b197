"""The official inspector, which starts `ocw mcp` as a client would, beside a running engine."""

import json
import sys
from pathlib import Path

import pytest

from ocw_mcp.interfaces.mcp.server import TOOLSETS
from tests.support.engines import running_engine
from tests.support.node import Ended, validate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


async def inspect(desk: Path, *asked: str) -> Ended:
    server = (sys.executable, "-m", "ocw_mcp", "mcp", "--market", "sim", "--state", desk)
    return await validate("mcp-inspector", "--cli", *server, *asked, "--format", "json", home=desk.parent)


async def test_mcp_inspector_reports_no_issue_in_the_tool_schemas(tmp_path: Path) -> None:
    ended = await inspect(tmp_path / "desk", "--method", "tools/list", "--strict")
    assert ended.code == 0, ended.err
    issues = [line.strip() for line in ended.err.splitlines() if "Issue:" in line]
    assert issues == []
    names = {tool["name"] for tool in json.loads(ended.out)["result"]["tools"]}
    assert names == {tool.name for make in TOOLSETS.values() for tool in make(lambda: pytest.fail("nobody looks"))}
    assert not (tmp_path / "desk").exists()


async def test_mcp_inspector_calls_an_engine_over_old_and_new_protocol(tmp_path: Path) -> None:
    desk = tmp_path / "desk"
    call = ("--method", "tools/call", "--tool-name")
    async with running_engine(desk):
        for era in ("legacy", "modern"):
            status = await inspect(desk, "--protocol-era", era, *call, "ocw_get_status")
            assert status.code == 0, status.err
            assert json.loads(status.out)["result"]["content"][0]["text"].startswith("[paper ")
            wrong = await inspect(
                desk, "--protocol-era", era, *call, "market_get_snapshot", "--tool-arg", "symbol=NOPE"
            )
            assert wrong.code == 5
            assert json.loads(wrong.out)["result"]["content"][0]["text"].startswith("UNKNOWN_SYMBOL: ")
