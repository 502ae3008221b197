"""Runs programs for Node: the official validators of MCP, and clients; `make validators` installs them."""

import asyncio
import os
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / ".node" / "node_modules" / ".bin"
REQUIRED = "OCW_VALIDATORS_REQUIRED"
"""Set where a validator that is not there is a failure: in `.ci/run`."""


class Ended(NamedTuple):
    """How a program ended, and what it said."""

    code: int
    out: str
    err: str


async def validate(program: str, *arguments: object, home: Path, cwd: Path = ROOT, **variables: str) -> Ended:
    """Run one with more environment variables, and with `home` for its files; skips the test if it is missing."""
    if not (PROGRAMS / program).exists():
        missing = f"{program} is not installed; make validators does that"
        if os.environ.get(REQUIRED):
            pytest.fail(missing)
        pytest.skip(missing)
    process = await asyncio.create_subprocess_exec(
        PROGRAMS / program,
        *map(str, arguments),
        cwd=cwd,
        env={**os.environ, "HOME": str(home), "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}", **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())
