"""Events about processes: journaled, and no part of the fingerprint."""

from ocw_mcp.domain.events.event import Event


class RunStarted(Event, frozen=True, tag="run.started"):
    """A process took the book for the first time."""

    version: str
    agent: str
    policy_hash: str


class RunResumed(Event, frozen=True, tag="run.resumed"):
    """A process took the book again."""

    version: str
    agent: str
    policy_hash: str


class CheckpointSaved(Event, frozen=True, tag="checkpoint.saved"):
    """The state of engine and venue was saved with the events up to here; `digest` is the SHA-256 of what was saved."""

    digest: str


class RunStopped(Event, frozen=True, tag="run.stopped"):
    """A process let go of the book in good order."""

    why: str
