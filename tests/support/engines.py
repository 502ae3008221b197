"""A whole engine in a process of its own, served as `ocw run --serve` serves it."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ocw_mcp.adapters.control.address import Address
from ocw_mcp.app.attach import SERVED, SIMULATED, Attachment


@asynccontextmanager
async def running_engine(directory: Path) -> AsyncIterator[Address]:
    """Run one on the simulated market while the block lasts; where it is, with a token of scope trade."""
    start = [sys.executable, "-m", "ocw_mcp", "run", *SIMULATED, *SERVED, "--state", str(directory)]
    with subprocess.Popen(start, stdout=subprocess.DEVNULL) as engine:
        try:
            yield await Attachment(directory, lambda _: engine, market="sim")()
        finally:
            engine.send_signal(signal.SIGINT)
            await asyncio.to_thread(engine.wait)
