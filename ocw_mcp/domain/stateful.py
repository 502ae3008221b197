"""The convention for saved state: `state()` returns all that must survive a restart, and `restore()` restores it."""

from typing import Any, Generic, Protocol, TypeVar

_State = TypeVar("_State")


class SavedPart(Protocol):
    """A part of the engine with a saved state of its own."""

    def state(self) -> Any:
        """Return the state as a value that msgspec can encode."""

    def restore(self, state: Any, /) -> None:
        """Restore a state that `state` returned."""


class Stateful(Generic[_State]):
    """A part whose state is one struct, which it changes in place."""

    def __init__(self, state: _State) -> None:
        self._state = state

    def state(self) -> _State:
        """Return the state as it is now."""
        return self._state

    def restore(self, state: _State, /) -> None:
        """Restore a state that `state` returned."""
        self._state = state
