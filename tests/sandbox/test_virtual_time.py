"""The event loop in virtual time: timers take no real time, and keep their order."""

import asyncio
import socket

import pytest

from ocw_mcp.runtime.clock import LiveClock
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time

wait = asyncio.sleep  # noqa: TID251 - these tests are about the time of the loop


def test_a_day_of_waiting_takes_no_real_time() -> None:
    async def day() -> float:
        for _ in range(24 * 60):
            await wait(60)
        return asyncio.get_running_loop().time()

    clock = LiveClock()
    began = clock.wall_ms()
    assert run_in_virtual_time(day()) == pytest.approx(86_400)
    assert clock.wall_ms() - began < 10_000


def test_tasks_wake_in_the_order_of_their_timers() -> None:
    async def main() -> list[str]:
        woken: list[str] = []

        async def sleeper(name: str, seconds: float) -> None:
            await wait(seconds)
            woken.append(f"{name} {asyncio.get_running_loop().time():g}")

        await asyncio.gather(sleeper("c", 3_600), sleeper("a", 0.25), sleeper("b", 60))
        return woken

    assert run_in_virtual_time(main()) == ["a 0.25", "b 60", "c 3600"]


def test_timeout_fires_in_virtual_time() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(500):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(main()) == pytest.approx(500)


def test_socket_that_is_ready_is_read_before_time_jumps() -> None:
    async def main() -> tuple[bytes, float]:
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            far.send(b"x")
            async with asyncio.timeout(10):
                data = await asyncio.get_running_loop().sock_recv(near, 1)
            return data, asyncio.get_running_loop().time()

    assert run_in_virtual_time(main()) == (b"x", 0)
