"""Has models of the regime fitted in a process of its own, so that a fit never delays the event loop.

On a live clock the answer comes through the inbox. On a simulated clock the run waits for it, so that it takes effect
at the time of its request; a resumed run takes the answer that the journal has.
"""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from ocw_mcp.domain.regime import FitRequest, RegimeFit
from ocw_mcp.domain.steps import RegimeFitted
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.runtime.clock import loop_speed
from ocw_mcp.runtime.fit_worker import LENGTH, LOWEST_PRIORITY

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from ocw_mcp.runtime.shell import Shell

LONGEST_S: Final = 120.0
"""The longest real time (s) of a fit. It takes two seconds on an idle machine."""
_WORKER: Final = (sys.executable, "-P", "-m", "ocw_mcp.runtime.fit_worker")
_ANSWER: Final = msgspec.msgpack.Decoder(RegimeFit | Unknown)


class Fitter(Protocol):
    """Fits a model without delaying the event loop."""

    async def fit(self, request: FitRequest) -> RegimeFitted:
        """Return the answer to a request. A failure is an answer, too."""

    async def close(self) -> None:
        """End what is still running."""


class FitProcess:
    """Fits models in a process of its own, which is killed if it takes too long."""

    def __init__(self, command: Sequence[str] = _WORKER, longest_s: float = LONGEST_S, *, keeps: bool = False) -> None:
        """With `keeps` one process fits all models until `close`, at the usual priority: the caller waits for them.

        Its start takes longer than a fit, because it imports the libraries. Otherwise each model has a new process at
        the lowest priority, and no process is there between two fits.
        """
        self._command, self._longest_s, self._keeps = tuple(command), longest_s, keeps
        self._process: Process | None = None

    async def fit(self, request: FitRequest) -> RegimeFitted:
        """Return the answer of the process, or why there is none."""
        why = f"the worker took longer than {self._longest_s:g} s"
        try:
            async with asyncio.timeout(self._longest_s * loop_speed()):
                found = await self._ask(msgspec.msgpack.encode(request))
            return RegimeFitted(request.symbol, request.at, _ANSWER.decode(found))
        except TimeoutError:
            pass
        except _WorkerEndedError as error:
            why = f"the worker ended with code {error.code}" if error.code else "the answer of the worker is missing"
        except OSError as error:
            why = f"the worker did not start: {error.strerror or error}"
        except msgspec.MsgspecError as error:
            why = f"the answer of the worker cannot be read: {error}"
        return RegimeFitted(request.symbol, request.at, Unknown(why[:200]), failed=True)

    async def _ask(self, request: bytes) -> bytes:
        """Return the answer of the process that is kept, or of a new one; a process that fails is not kept."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            process = await self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with suppress(ConnectionError):
                process.stdin.write(LENGTH.pack(len(request)) + request)
                await process.stdin.drain()
            if not self._keeps:
                process.stdin.close()
            (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
            found = await process.stdout.readexactly(length)
            if not self._keeps:
                await process.wait()
        except asyncio.IncompleteReadError:
            process.stdin.close()
            raise _WorkerEndedError(await process.wait()) from None
        except BaseException:
            await _kill(process)
            raise
        self._process = process if self._keeps else None
        return found

    async def _start(self) -> "Process":
        pipe, none = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        priority = () if self._keeps or self._command != _WORKER else (LOWEST_PRIORITY,)
        command = (*self._command, *priority)
        return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=none)

    async def close(self) -> None:
        """End the process that is kept."""
        process, self._process = self._process, None
        if process is not None:
            await _kill(process)


class _WorkerEndedError(Exception):
    """The process ended without an answer."""

    def __init__(self, code: int) -> None:
        self.code = code


async def _kill(process: "Process") -> None:
    with suppress(ProcessLookupError):
        process.kill()
    # This also takes what the process has written, and closes its pipes.
    await process.communicate()


class Fitting:
    """The fits of one run."""

    def __init__(self, shell: "Shell") -> None:
        self._shell = shell
        self.fitter: Fitter = FitProcess(keeps=shell.clock.simulated)
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, request: FitRequest) -> None:
        """Have a model fitted."""
        shell = self._shell
        if shell.repeating:
            return
        if shell.clock.simulated:
            known = shell.recorder.known_fit(request)
            shell.follow_ups.append(known or await self.fitter.fit(request))
            return
        task = asyncio.ensure_future(self._fit(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def ask_again(self) -> None:
        """Have the model fitted whose answer a restarted live book lacks, if there is one."""
        if (request := self._shell.engine.account.outlook.follower.pending()) is not None:
            await self.ask(request)

    async def _fit(self, request: FitRequest) -> None:
        self._shell.inbox.put(await self.fitter.fit(request))

    async def close(self) -> None:
        """Stop the fits that are not done."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.fitter.close()
