"""Events about processes, which are journaled but are not part of the fingerprint."""

from ocw_mcp.domain.events.event import Event


class RunStarted(Event, frozen=True, tag="run.started"):
    """A process opened the book for the first time."""

    version: str
    agent: str
    policy_hash: str


class RunResumed(Event, frozen=True, tag="run.resumed"):
    """A process opened the book again."""

    version: str
    agent: str
    policy_hash: str


class CheckpointSaved(Event, frozen=True, tag="checkpoint.saved"):
    """The state of engine and venue was saved with the events so far; `digest` is the SHA-256 of the saved bytes."""

    digest: str


class RunStopped(Event, frozen=True, tag="run.stopped"):
    """A process closed the book without an error."""

    why: str
