"""An event loop whose time is virtual: when all tasks wait, its clock jumps to the next timer.

`asyncio.sleep`, `asyncio.timeout` and `loop.call_later` then take no real time, and the order of events does not depend
on the speed of the machine. Sockets and threads work, but virtual time runs on while they are slow.
"""

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, Final, TypeVar

T = TypeVar("T")
IDLE_S: Final = 30.0
"""Real time after which a loop without timers gives up waiting for sockets and threads."""


class _JumpingSelector(selectors.BaseSelector):
    """Looks for events of files, and adds the time that it would have waited to a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self._real = selectors.DefaultSelector()

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the events that are ready; without any, jump over `timeout` (s)."""
        if timeout is None:
            found = self._real.select(IDLE_S)
            if not found:
                raise RuntimeError(
                    f"all tasks wait, no timer is set, and no socket or thread was ready within {IDLE_S:g} s; "
                    "a task waits for something that does not happen"
                )
            return found
        found = self._real.select(0)
        if not found and timeout > 0:
            self.now += timeout
        return found

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, which begins at 0 s."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the virtual time, s."""
        return self._jumping.now


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a new loop in virtual time, and return its result."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
