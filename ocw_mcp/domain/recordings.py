"""The entries of a recording: the inputs of a live book, and what a replay needs beside them.

A recording begins with a state of the book (`RecordedState`), and has each input since then. Each start of a process is
an entry (`RecordedStart`), because its options may differ. After each commit of the journal a `RecordedMark` says what
the fingerprint was, so a replay finds the first input after which it differs.
"""

from decimal import Decimal
from typing import NamedTuple

import msgspec

from ocw_mcp.domain.learning_events import OutcomeImported
from ocw_mcp.domain.market import MarketIdentity
from ocw_mcp.domain.orders import OrderRef
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.steps import StepEvent


class RecordedStart(msgspec.Struct, frozen=True):
    """A process began to run the book: its version, and all options on which its steps depend."""

    version: str
    book: str
    """The six characters that name the book in its client order ids."""
    mode: Mode
    venue: str
    account: str
    market: MarketIdentity
    agent: str
    policies: str
    """The policies as JSON, complete: a replay needs no policy file."""
    strict: str | None
    """The stricter policies for tainted orders, as JSON."""
    policy_hash: str
    prompts_hash: str
    start_equity: Decimal
    fallback: bool
    continues: bool = True
    """Whether the book goes on from the last entry; if not, a RecordedState follows."""
    at: int | None = None
    """The time (ms) of the events with which the process began, such as changed policies; None without any."""


class RecordedState(msgspec.Struct, frozen=True):
    """The state of the book from which the next inputs lead on."""

    market_at: int
    """The time (ms) of the last frame with candles; -1 before the first."""
    seq: int
    """The number of domain events so far."""
    fingerprint: str
    """The fingerprint of these events."""
    engine: bytes
    venue: bytes
    outcomes: tuple[OutcomeImported, ...] | None = None
    """What was learned from so far, from which a learner that cannot be restored is rebuilt; None if not recorded."""


class RecordedMark(msgspec.Struct, frozen=True):
    """The number of domain events in the journal at a commit, and their fingerprint."""

    seq: int
    fingerprint: str
    whole: bool = False
    """Whether all inputs before it were processed; if not, the last one may have caused further events."""


class RecordedUnsent(msgspec.Struct, frozen=True):
    """An order that a full disk kept from being sent; a replay rejects it, too."""

    ref: OrderRef
    text: str


RecordEntry = RecordedStart | RecordedState | RecordedMark | RecordedUnsent | StepEvent


class Recorded(NamedTuple):
    """An entry of a recording: its number, from 1 on without a gap, and the time (ms) at which it was taken."""

    number: int
    at: int
    entry: RecordEntry
