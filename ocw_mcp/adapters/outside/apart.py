"""Parses large or hostile texts in a process of its own, so that neither their size nor their faults reach the engine.

The process gets the text and nothing else: no environment, and limits on time and memory.
"""

import asyncio
import os
import resource
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from ocw_mcp.domain.errors import SourceUnavailable

SECONDS: Final = 5
"""The longest time of the processor; the whole read is limited, too."""
MEMORY: Final = 2 << 30
"""The largest address space (bytes) of the process; most of it is that of libraries."""
LARGEST_RESULT: Final = 1 << 20
_RUN: Final = "import sys; from {module} import main; main()"


Apart = Callable[[str, bytes], Awaitable[bytes]]
"""`run_apart`, or a function that does the same in this process."""


async def run_apart(module: str, data: bytes) -> bytes:
    """Return what the function `main` of a module writes, if it gets `data`. Raises SourceUnavailable if it fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-c",
        _RUN.format(module=module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
        close_fds=True,
    )
    try:
        found, _ = await process.communicate(data)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode or len(found) > LARGEST_RESULT:
        raise SourceUnavailable("its text cannot be read: it is too large, too deep, or of another format")
    return found


def limit_this_process() -> None:
    """Set the limits of a process that parses, and let every other one run first."""
    os.nice(19)
    for kind, most in ((resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))
