"""The schemas of the tools, as the clients of other models convert them."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from mcp import Client

from ocw_mcp.interfaces.mcp.server import build
from tests.support.node import REQUIRED, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

PYTHON = ROOT / ".clients" / "bin" / "python"


async def test_clients_of_other_models_convert_all_tool_schemas(tmp_path: Path) -> None:
    if not PYTHON.exists():
        missing = "the clients of other models are not installed; make validators does that"
        if os.environ.get(REQUIRED):
            pytest.fail(missing)
        pytest.skip(missing)
    async with Client(build(lambda: pytest.fail("nothing is called"), "1.2.3")) as client:
        tools = (await client.list_tools()).tools
    listed = tmp_path / "tools.json"
    listed.write_text(json.dumps([tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools]))
    process = await asyncio.create_subprocess_exec(
        PYTHON,
        Path(__file__).with_name("clients.py"),
        listed,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    made = json.loads(out)["made"]
    arguments = {tool.name: sorted(tool.input_schema["properties"]) for tool in tools}
    assert made == dict.fromkeys(made, arguments)
    assert len(made) == 3
