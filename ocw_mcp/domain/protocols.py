"""Where the rooms meet: `app.compose` wires an adapter to whatever asks for one of these."""

from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

import msgspec

from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.events import DomainEvent, JournalEvent, LifecycleEvent
from ocw_mcp.domain.market import Candle, Frame, Funding, Instrument, MarketIdentity, Opening, OrderBook
from ocw_mcp.domain.orders import OrderRef, VenueReport
from ocw_mcp.domain.snapshot import DecisionRequest, Snapshot
from ocw_mcp.domain.steps import Command


class Clock(Protocol):
    """The only place where time comes from."""

    @property
    def simulated(self) -> bool:
        """True where time is what the market says: nobody waits, and thinking takes modelled time."""
        ...

    def now(self) -> int:
        """Engine time, ms."""
        ...

    def wall_ms(self) -> float:
        """A monotonic reading in ms, for measuring how long things take; it never enters the engine."""
        ...

    def advance(self, to: int) -> None:
        """Tell a simulated clock what time it is; a live clock takes no telling."""
        ...

    async def wait_until(self, at: int) -> None:
        """Let others run until engine time `at`; at once where time is simulated."""
        ...

    async def pause(self, ms: float) -> None:
        """Wait so long by the wall, however time passes here: for whoever is outside of it."""
        ...

    @property
    def paced(self) -> bool:
        """True where simulated time keeps step with the wall."""
        ...

    async def approach(self, at: int) -> bool:
        """On a paced clock: wait a moment at most, and tell whether `at` has come."""
        ...


class Feed(Protocol):
    """A market, frame by frame, in time order."""

    @property
    def identity(self) -> MarketIdentity: ...

    def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        """All frames later than `after` (ms), or all there are.

        Raises TapeError when the source cannot be believed.
        """
        ...


class Venue(Protocol):
    """Where orders go. A venue takes nothing but a ClearedOrder, and answers with reports."""

    @property
    def name(self) -> str: ...

    def instrument(self, symbol: str, price: float) -> Instrument:
        """The filters of a symbol as they are now; `price` is its last one, for venues that must guess."""
        ...

    async def submit(self, cleared: ClearedOrder, now: int) -> Sequence[VenueReport]:
        """Send an order; whatever the venue says at once comes back, the rest comes later."""
        ...

    async def cancel(self, ref: OrderRef, now: int) -> Sequence[VenueReport]:
        """Ask for an order to be taken off."""
        ...


class SimulatedVenue(Venue, Protocol):
    """A venue that lives in this process and trades against the frames of the feed."""

    @property
    def next_funding(self) -> int:
        """The next stamp (ms) at which funding may have to be settled, whether or not the feed carries rates."""
        ...

    @property
    def pays_funding(self) -> bool:
        """Whether a position is held that a funding rate would be settled on."""
        ...

    def settle_funding(
        self, until: int, told: Sequence[Funding] = (), symbols: Collection[str] | None = None
    ) -> Sequence[VenueReport]:
        """Settle the stamps up to `until` (ms) of some symbols, or of all, on what was held at each.

        A stamp without a rate among those `told` is settled at an assumed one. Rates of other symbols are kept.
        """
        ...

    def on_books(self, books: Sequence[OrderBook]) -> None:
        """Take note of the best prices of this moment, which say what trading at the market costs."""
        ...

    def on_candle(self, candle: Candle, now: int) -> Iterable[VenueReport]:
        """What a closed candle did to resting orders, in the order in which its price came to them.

        Each report is to be answered before the next is asked for: an order that is sent or cancelled in between counts
        for the rest of the candle.
        """
        ...

    def on_opening(self, opening: Opening, now: int) -> Sequence[VenueReport]:
        """What the first price of a candle did to waiting and resting orders."""
        ...

    def fill_reductions(self, now: int) -> Sequence[VenueReport]:
        """Trade the reductions that wait for a price, where the last price is of this very moment (ms)."""
        ...

    def close_out(self, symbol: str, quantity: Decimal, now: int) -> Sequence[VenueReport]:
        """Close so much of a position (signed, base asset) at its last price: its market has ended."""
        ...

    def state(self) -> bytes:
        """All it must remember over a restart."""
        ...

    def restore(self, state: bytes) -> None: ...


class Decider(Protocol):
    """Whoever answers a wake: Claude, the rules, nobody."""

    @property
    def name(self) -> str: ...

    def thinking_ms(self, request: DecisionRequest) -> int | None:
        """How long the answer takes in simulated time; 0 for rules, None where it comes from elsewhere or never."""
        ...

    async def decide(self, request: DecisionRequest) -> Decision: ...


@runtime_checkable
class Converses(Protocol):
    """A decider that looks at the desk with tools, submits through them, and may correct what was refused."""

    def correction_ms(self, request: DecisionRequest) -> int:
        """How long a correction takes in simulated time."""
        ...


@runtime_checkable
class Priced(Protocol):
    """A decider whose thinking costs money; one that is none of these thinks for nothing."""

    def cost_usd(self, wake_id: int) -> Decimal:
        """What was spent on a wake so far, answered or not."""
        ...


class Checkpoint(msgspec.Struct, frozen=True):
    """All that a resumed run starts from: the state of engine and venue after the frame of `market_at`."""

    market_at: int
    """Time (ms) of the last frame taken; -1 before the first."""
    seq: int
    """Sequence of the last domain event that the state contains."""
    engine: bytes
    venue: bytes


class StoredEvent(msgspec.Struct, frozen=True):
    """A domain event as the journal holds it."""

    seq: int
    at: int
    event: DomainEvent


class Store(Protocol):
    """The memory of a book: an append-only journal and the latest checkpoint."""

    @property
    def book(self) -> str:
        """The six characters that name the book in every client id."""
        ...

    @property
    def last_seq(self) -> int:
        """Sequence of the last domain event, appended or committed; 0 when there is none."""
        ...

    @property
    def fingerprint(self) -> str:
        """Digest over all domain events so far."""
        ...

    @property
    def chain_head(self) -> str:
        """Digest over all stored rows so far."""
        ...

    def append(self, at: int, event: DomainEvent) -> int:
        """Add a domain event to the current transaction; returns its sequence."""
        ...

    def note(self, at: int, event: LifecycleEvent) -> None:
        """Add an event about this process, outside the fingerprint."""
        ...

    def keep(self, wake_id: int, snapshot: Snapshot) -> None:
        """Keep what a wake was shown, with the next commit; outside journal and fingerprint, of the newest wakes."""
        ...

    def commit(self, checkpoint: Checkpoint | None = None, summary: dict[str, Any] | None = None) -> None:
        """Make all that was appended durable, and with it a checkpoint and the summary that `ocw status` shows.

        Raises JournalError when the disk does not take it; what was appended is then still pending.
        """
        ...

    def checkpoint(self) -> Checkpoint | None:
        """The latest checkpoint, or None in a new book."""
        ...

    def events_after(self, seq: int) -> Iterator[StoredEvent]:
        """Committed domain events with a higher sequence, in order."""
        ...

    def all_events(self) -> Iterator[tuple[int, JournalEvent]]:
        """Every committed event with its time, in order, those about processes included."""
        ...

    def close(self) -> None: ...


class CommandBox(Protocol):
    """Where a person's commands wait for the engine."""

    def waiting(self) -> Sequence[Command]:
        """Commands that have come, oldest first. Cheap: it is asked all the time."""
        ...

    def done(self, command: Command) -> None:
        """The command is in the journal for good and need not be kept."""
        ...
