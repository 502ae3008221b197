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

if TYPE_CHECKING:
    from ocw_mcp.runtime.shell import Shell

LONGEST_S: Final = 120.0
"""The longest real time (s) of a fit. It takes two seconds on an idle machine."""
_WORKER: Final = (sys.executable, "-P", "-m", "ocw_mcp.runtime.fit_worker")
_ANSWER: Final = msgspec.msgpack.Decoder(RegimeFit | Unknown)


class Fitter(Protocol):
    """Fits a model without delaying the event loop."""

    async def fit(self, request: FitRequest) -> RegimeFitted:
        """Return the answer to a request. A failure is an answer, too."""


class FitProcess:
    """Fits each model in a new process, which is killed if it takes too long."""

    def __init__(self, command: Sequence[str] = _WORKER, longest_s: float = LONGEST_S) -> None:
        self._command, self._longest_s = tuple(command), longest_s

    async def fit(self, request: FitRequest) -> RegimeFitted:
        """Return the answer of the process, or why there is none."""
        why = f"the worker took longer than {self._longest_s:g} s"
        try:
            async with asyncio.timeout(self._longest_s * loop_speed()):
                code, output = await self._run(msgspec.msgpack.encode(request))
            why = f"the worker ended with code {code}"
            if code == 0:
                return RegimeFitted(request.symbol, request.at, _ANSWER.decode(output))
        except TimeoutError:
            pass
        except OSError as error:
            why = f"the worker did not start: {error.strerror or error}"
        except msgspec.MsgspecError as error:
            why = f"the answer of the worker cannot be read: {error}"
        return RegimeFitted(request.symbol, request.at, Unknown(why[:200]), failed=True)

    async def _run(self, request: bytes) -> tuple[int | None, bytes]:
        """Run the process to its end, and kill it if the caller stops waiting."""
        pipe, none = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe, stderr=none)
        try:
            output, _ = await process.communicate(request)
        except BaseException:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        return process.returncode, output


class Fitting:
    """The fits of one run."""

    def __init__(self, shell: "Shell") -> None:
        self._shell = shell
        self.fitter: Fitter = FitProcess()
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
