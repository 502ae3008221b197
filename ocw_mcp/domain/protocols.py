"""The protocols between packages: `app.compose` gives an adapter to each module that needs one."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

import msgspec

from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.context import ContextItem
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.events import DomainEvent, JournalEvent, LifecycleEvent
from ocw_mcp.domain.macro import MacroReading
from ocw_mcp.domain.market import Candle, Frame, Funding, Instrument, Mark, MarketIdentity, Opening, OrderBook
from ocw_mcp.domain.orders import Order, OrderRef, OrderSeen, VenueReport
from ocw_mcp.domain.snapshot import DecisionRequest, Snapshot
from ocw_mcp.domain.steps import Command, StepEvent
from ocw_mcp.domain.unknown import Unknown


class Clock(Protocol):
    """The only source of time."""

    @property
    def simulated(self) -> bool:
        """Whether time comes from the market data: no call waits in real time, and decisions take modelled time."""

    def now(self) -> int:
        """Return engine time, ms."""

    def wall_ms(self) -> float:
        """Return a monotonic time in ms, for measuring durations; the engine never uses it."""

    def advance(self, to: int) -> None:
        """Set a simulated clock to a time (ms); a live clock ignores it."""

    def hold(self, at: int | None = None) -> None:
        """Let a live clock stand still at `at` (ms), or at the present time, until `release`."""

    def release(self) -> None:
        """Let a live clock go on with the time of the machine."""

    async def wait_until(self, at: int) -> None:
        """Let other tasks run until engine time `at`; return at once if time is simulated."""

    async def pause(self, ms: float) -> None:
        """Wait `ms` in real time, even if engine time is simulated, for work outside of the engine."""

    @property
    def paced(self) -> bool:
        """Whether simulated time runs in proportion to real time."""

    async def approach(self, at: int) -> bool:
        """Wait for a short time at most, on a paced clock. Return whether engine time has reached `at` (ms)."""


class Feed(Protocol):
    """A source of market data: frames in the order of time."""

    @property
    def identity(self) -> MarketIdentity: ...

    def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        """Yield all frames, or those later than `after` (ms). Raises TapeError if the source is not valid."""


@runtime_checkable
class LiveFeed(Feed, Protocol):
    """A feed whose frames come as the market trades, and never end by themselves."""

    def resume_at(self, known: Mapping[str, int]) -> None:
        """Set the close time (ms) of each symbol's last known candle, before `frames` is called with an `after`."""

    def watch(self, levels: Mapping[str, tuple[float, float]]) -> None:
        """Set the prices (quote) below and above each symbol at which a price has to be reported at once."""


@runtime_checkable
class DailyFeed(Protocol):
    """A feed that has the days of a symbol from before a new book's beginning."""

    def read_days_of(self, symbol: str) -> None:
        """Set the symbol whose days the first frame of a new book shall have, before `frames` is called."""


class Venue(Protocol):
    """A venue, which executes orders: it accepts only a ClearedOrder, and says everything in reports."""

    @property
    def name(self) -> str: ...

    def instrument(self, symbol: str, price: float) -> Instrument:
        """Return the present filters of a symbol; `price`, its last price, is for venues that estimate filters."""

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        """Send an order. What the venue says about it comes as a report."""

    async def cancel(self, ref: OrderRef, now: int) -> None:
        """Ask for the cancellation of an order. What the venue says about it comes as a report."""

    def reports(self) -> AsyncIterator[VenueReport]:
        """Yield everything that the venue says, asked for or not; never end."""


class KnownOrder(msgspec.Struct, frozen=True):
    """An order of the book that may be live at the venue."""

    order: Order
    venue_order_ids: tuple[str, ...] = ()
    """The ids that the venue gave it, such as those of an OCO or of a triggered order; none without an answer."""
    cancel_requested: bool = False
    unknown_since: int | None = None
    """The time (ms) from which its outcome was reported as unknown, after its request; None if it was not."""


@runtime_checkable
class ExchangeVenue(Venue, Protocol):
    """A venue outside of this process: its reports come when they come, and an order may have an unknown outcome.

    Every report of a fill, of funding or of a transfer may come twice; the engine takes each once, by its id. The
    outbox of `runtime` awaits `submit` and `cancel`, several at a time: each returns once the venue has answered or its
    answer has failed to come. `submit` redeems the order before anything else, because a cleared entry expires soon.
    Neither may raise; what an exception leaves open is reported as OutcomeUnknown.
    """

    async def open(self, orders: Sequence[KnownOrder], since: int | None) -> None:
        """Connect, and report in this order: what became of `orders`, what happened since `since` (ms), AccountSeen.

        `since` is None for a new book. Raises VenueRefused if the account's settings or the key forbid trading, and
        MarketUnreachable if the venue does not answer. Nothing is sent to the venue that changes the account.
        """

    async def close(self) -> None:
        """Close all connections. Orders stay at the venue."""

    def withdraw(self, ref: OrderRef) -> None:
        """Reject an order whose `submit` runs, instead of sending it again after a ban or an overload.

        A call of `cancel` follows when `submit` has returned. An order that the venue may have is not rejected.
        """

    def set_instruments(self, instruments: Sequence[Instrument]) -> None:
        """Use the filters that the exchange reports from now on."""


@runtime_checkable
class CancelsForeign(Protocol):
    """A venue that can cancel orders that are not of this book."""

    async def cancel_foreign(self, order: OrderSeen, now: int) -> None:
        """Ask for the cancellation of an order by the venue's id. It reports nothing, and must not raise.

        The next AccountSeen shows whether the order is gone; until then the engine asks again.
        """


class SimulatedVenue(Venue, Protocol):
    """A venue in this process that trades against the frames of the feed."""

    @property
    def next_funding(self) -> int:
        """The next time (ms) at which funding may have to be settled, even if the feed has no rates."""

    @property
    def pays_funding(self) -> bool:
        """Whether there is a position on which funding would be settled."""

    def settle_funding(
        self, until: int, rates: Sequence[Funding] = (), symbols: Collection[str] | None = None
    ) -> Sequence[VenueReport]:
        """Settle the funding of some symbols, or of all, that is due until `until` (ms).

        A settlement whose rate is not in `rates` has an assumed rate. Unused rates are kept for later settlements.
        """

    def collect(self) -> list[VenueReport]:
        """Return what the venue has said and `reports` has not yielded, oldest first, and forget it."""

    def set_instruments(self, instruments: Sequence[Instrument]) -> None:
        """Use the filters that the exchange reports from now on."""

    @property
    def next_due(self) -> int:
        """The next time (ms) at which `due` has reports if no market data arrive until then."""

    def due(self, now: int) -> Iterable[VenueReport]:
        """Yield the reports on orders of a live market that arrive or expire by `now` (ms), one by one."""

    def on_books(self, books: Sequence[OrderBook], now: int | None = None) -> Iterable[VenueReport]:
        """Store the present order books, whose best prices determine the cost of market orders.

        On a live market, orders trade at them at the time `now` (ms): yield the reports, one by one.
        """

    def on_marks(self, marks: Sequence[Mark], now: int) -> Iterable[VenueReport]:
        """Yield the reports after new mark prices of a live market, one by one."""

    def on_candle(self, candle: Candle, now: int) -> Iterable[VenueReport]:
        """Yield the reports on resting orders after a closed candle, in the order in which the price reached them.

        The caller processes each report before the next one: an order placed then can fill on the rest of the candle.
        """

    def on_opening(self, opening: Opening, now: int) -> Sequence[VenueReport]:
        """Return the reports on waiting and resting orders after the first price of a candle."""

    def fill_reductions(self, now: int) -> Sequence[VenueReport]:
        """Fill the reduction orders that wait for a price, if the last price is of `now` (ms)."""

    def close_out(self, symbol: str, quantity: Decimal, now: int) -> Sequence[VenueReport]:
        """Close a quantity (signed, base asset) of a position at its last price, because its market has ended."""

    def state(self) -> bytes:
        """Return all that must survive a restart."""

    def restore(self, state: bytes) -> None: ...


class Decider(Protocol):
    """The agent that answers a wake: a model, the rules, a strategy, or one that always answers HOLD."""

    @property
    def name(self) -> str: ...

    def thinking_ms(self, request: DecisionRequest) -> int | None:
        """Return the simulated time (ms) that an answer takes; 0 for the rules, None if it is not known."""

    async def decide(self, request: DecisionRequest) -> Decision: ...


@runtime_checkable
class Converses(Protocol):
    """A decider that reads the engine's state with tools, submits through them, and may correct refused legs."""

    def correction_ms(self, request: DecisionRequest) -> int:
        """Return the simulated time (ms) that the decider takes to correct refused legs."""


@runtime_checkable
class Priced(Protocol):
    """A decider whose decisions cost money. The decisions of any other decider are free."""

    def cost_usd(self, wake_id: int) -> Decimal:
        """Return the cost (USD) of a wake so far, with or without an answer."""


class Checkpoint(msgspec.Struct, frozen=True):
    """The saved state of engine and venue after the frame at `market_at`, from which a run resumes."""

    market_at: int
    """The time (ms) of the last processed frame; -1 before the first."""
    seq: int
    """The sequence number of the last domain event that the state contains."""
    engine: bytes
    venue: bytes


class StoredEvent(msgspec.Struct, frozen=True):
    """A domain event as the journal holds it."""

    seq: int
    at: int
    event: DomainEvent


class StoredInput(msgspec.Struct, frozen=True):
    """An input that a live book took at `at` (ms)."""

    at: int
    event: StepEvent


class Store(Protocol):
    """The storage of a book: an append-only journal, the latest checkpoint, and a live book's inputs since then."""

    @property
    def book(self) -> str:
        """The six characters that name the book in every client id."""

    @property
    def last_seq(self) -> int:
        """The sequence number of the last domain event, appended or committed; 0 if there is none."""

    @property
    def fingerprint(self) -> str:
        """The digest of all domain events so far."""

    @property
    def chain_head(self) -> str:
        """The digest of all journal rows so far, events about processes included."""

    def append(self, at: int, event: DomainEvent) -> int:
        """Add a domain event to the current transaction. Return its sequence number."""

    def note(self, at: int, event: LifecycleEvent) -> None:
        """Add an event about this process, outside the fingerprint."""

    def log_input(self, at: int, event: StepEvent) -> None:
        """Add an input that a live book took at `at` (ms) to the current transaction."""

    def inputs(self) -> Iterator[StoredInput]:
        """Yield the committed inputs since the latest checkpoint, in order. Raises JournalError."""

    def keep(self, wake_id: int, snapshot: Snapshot) -> None:
        """Store the snapshot of a wake at the next commit, outside journal and fingerprint; old ones are deleted."""

    def commit(self, checkpoint: Checkpoint | None = None, summarise: Callable[[], Any] | None = None) -> None:
        """Make all appended events durable, with a checkpoint if given. Raises JournalError.

        `summarise` returns the summary that `ocw status` shows; a store that keeps none does not call it.
        """

    def checkpoint(self) -> Checkpoint | None:
        """Return the latest checkpoint; None in a new book."""

    def events_after(self, seq: int) -> Iterator[StoredEvent]:
        """Yield the committed domain events with a higher sequence number, in order."""

    def all_events(self) -> Iterator[tuple[int, JournalEvent]]:
        """Yield every committed event with its time, in order, including events about processes."""

    def close(self) -> None: ...


class CommandBox(Protocol):
    """The operator's commands that wait for the engine."""

    def waiting(self) -> Sequence[Command]:
        """Return the waiting commands, oldest first. The engine calls this often, so the call has to be fast."""

    def done(self, command: Command) -> None:
        """Delete a command that is durable in the journal."""


OutsideFound = MacroReading | Unknown | tuple[ContextItem, ...]
"""The report of a source outside of the exchange: the macro regime, or items of context."""


class OutsideSource(Protocol):
    """A source outside of the exchange, such as economic series or headlines."""

    @property
    def name(self) -> str:
        """The name of the source in the settings."""

    @property
    def every_ms(self) -> int:
        """The time (ms) for which a report is used before the source is read again."""

    async def fetch(self, now: int) -> OutsideFound:
        """Return the report at `now` (ms), engine time. Raises SourceUnavailable."""


class OutsideReader(Protocol):
    """A source with its last report, which is read at any time without an error and without a long wait."""

    @property
    def name(self) -> str:
        """The name of the source in the settings."""

    @property
    def problem(self) -> str:
        """Why the last read failed; empty if it did not."""

    async def read(self, now: int) -> tuple[OutsideFound, int]:
        """Return the report at `now` (ms), and the time (ms) until the next read is useful."""


class MacroCalendar(Protocol):
    """The macro regime of each day of a simulated or recorded market."""

    def at(self, now: int) -> MacroReading | Unknown:
        """Return the macro regime of the UTC day of `now` (ms), as known at its beginning."""
