"""The bundle for Claude Desktop: the official tool takes it, and what comes out of it runs."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.support.node import ROOT, validate
from tools.packaging import ENTRY, bundle, manifest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


async def test_unpacked_bundle_builds_and_serves_its_tools(tmp_path: Path) -> None:
    bundle(ROOT, tmp_path / "parts")
    packed = await validate("mcpb", "pack", tmp_path / "parts", tmp_path / "ocw.mcpb", home=tmp_path)
    assert packed.code == 0, packed
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(tmp_path / "ocw.mcpb") as archive:
        archive.extractall(unpacked)
    # uv would build it with its dependencies; here they are those of this interpreter, and OCW is the bundle's own.
    build = ("pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, unpacked)
    subprocess.run([sys.executable, "-m", *build], check=True, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    assert list(tmp_path.glob("ocw_mcp-*.whl"))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    start = StdioServerParameters(
        command=sys.executable, args=[str(unpacked / ENTRY), "--market", "sim"], env=environment, cwd=unpacked
    )
    async with Client(stdio_client(start)) as client:
        listed = await client.list_tools()
    assert [tool.name for tool in listed.tools] == [tool["name"] for tool in manifest()["tools"]]


async def test_bundle_manifest_is_valid(tmp_path: Path) -> None:
    ended = await validate("mcpb", "validate", ROOT / "packaging" / "manifest.json", home=tmp_path)
    assert ended.code == 0, ended
