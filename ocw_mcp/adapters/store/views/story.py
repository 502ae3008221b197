"""One wake's way through the house: why it came, what was decided, refused, sent and filled, and how it ended.

What was seen is kept beside the journal, of wakes that led to something.
"""

from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.book import StoredBook
from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.adapters.store.rows import domain_event, read_payload
from ocw_mcp.adapters.store.seen import find_seen
from ocw_mcp.adapters.store.spent import cost_of
from ocw_mcp.adapters.store.views.decisions import find_decisions
from ocw_mcp.adapters.store.views.orders import RefusalRow, refusal_row
from ocw_mcp.adapters.store.views.story_ids import StoryId, resolve
from ocw_mcp.domain import events
from ocw_mcp.domain.asks import DecisionKey, request_key
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.events import DomainEvent
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.snapshot import Snapshot, SymbolWake
from ocw_mcp.domain.unknown import Unknown

FIRST_STEPS, LAST_STEPS = 60, 20
"""Steps that are told of a long story, from its beginning and from its end."""


class Came(msgspec.Struct, frozen=True):
    """What came of a leg: the id of an order that was sent, or of a refusal."""

    symbol: str
    outcome: Literal["sent", "refused"]
    id: str


class StoryAnswer(msgspec.Struct, frozen=True):
    """What was decided at `at` (ms), and what came of its legs. A leg that held, or took an entry back, is not there.

    `cost_usd` is what the thinking up to it cost.
    """

    at: int
    decider: str
    thinking_ms: int
    decision: Decision
    cost_usd: Decimal = ZERO
    came: list[Came] = []
    tainted: bool = False
    """Whether what others wrote was read on the way to it."""


class Step(msgspec.Struct, frozen=True):
    """An event of the journal and its time (ms)."""

    seq: int
    at: int
    event: DomainEvent


class StoryTurn(Step, frozen=True):
    """An event of a wake after its first answer, and of a correction or another decision what came of its legs."""

    came: list[Came] = []


class Story(msgspec.Struct, frozen=True):
    """From wake to fill. Times in ms."""

    asked: str
    book: str
    wake_id: int | None
    """None for what no wake led to."""
    symbol: str | None
    """Where it is told of one symbol only."""
    woken_at: int | None
    reasons: tuple[SymbolWake, ...]
    answer: StoryAnswer | None
    """The first one; None while nobody has answered."""
    after_answer: list[StoryTurn]
    """A correction, how the decision ended, the rules' in its place, conditions that were set, answers too late."""
    refusals: list[RefusalRow]
    steps: list[Step]
    left_out: int
    """Steps between the first and the last that are not told."""
    seen: Snapshot | Unknown
    """What the wake was shown, or why nobody can tell."""
    cost_usd: Decimal | None = None
    """What all thinking on the wake cost; None where no engine of this version has opened the book yet."""
    asks: list[Step] = []
    """What clients asked for that led to orders or refusals of the story, with the reason that they gave."""


_REFUSED = "SELECT refusals.seq, refusals.at, payload FROM refusals JOIN events USING (seq) WHERE"
_AFTER_ANSWER = """SELECT seq, at, payload FROM events WHERE kind IN ('decision.made', 'decision.corrected',
    'decision.ended', 'decision.discarded', 'wake_conditions.set')
    AND seq > ? AND json_extract(payload, '$.wake_id') = ? ORDER BY seq LIMIT 20"""
_CAME = """SELECT idempotency_key, symbol, 'sent', client_id FROM orders
    WHERE wake_id = :wake AND (:symbol IS NULL OR symbol = :symbol)
    UNION ALL SELECT json_extract(payload, '$.intent.idempotency_key'), symbol, 'refused', 'refusal:' || refusals.seq
    FROM refusals JOIN events USING (seq) WHERE wake_id = :wake AND (:symbol IS NULL OR symbol = :symbol)"""
_NEWEST_ASKED = """SELECT intended_at, n || '-' || leg || '-' || revision FROM orders
    WHERE wake_id IS NULL AND idempotency_key <> '' ORDER BY rowid DESC LIMIT 1"""
_NEWEST_REFUSED = "SELECT 'refusal:' || seq FROM refusals WHERE wake_id IS NULL ORDER BY seq DESC LIMIT 1"
_ASKED = "SELECT seq, at, payload FROM events WHERE kind = 'caller.asked' AND seq < ? ORDER BY seq DESC"
_FOLLOWED = """SELECT seq, at, payload FROM events WHERE seq > ? AND kind IN ('order.intended', 'order.refused',
    'order.accepted', 'order.rejected', 'order.unknown', 'order.cancel_requested', 'order.canceled', 'order.filled',
    'position.unprotected', 'position.protected', 'position.closed', 'score.taken', 'exit.decided', 'outside.filled')
    ORDER BY seq"""

_reasons = msgspec.json.Decoder(tuple[SymbolWake, ...])


def read_story(state: Path, asked: str) -> Story:
    """Tell of a wake, an order or a refusal; see `resolve` for their names.

    Raises SettingsError where there is nothing of that name, BookError where the book cannot be read.
    """
    return ask_book(state, lambda db, book: find_story(db, book, asked))


def newest_story(db: Database, book: StoredBook) -> Story:
    """Return the story of what acted last: a decision, or an order that a client asked for outside any wake.

    Where nothing acted, that of the newest refusal of a client, or of the newest decision. Raises SettingsError where
    the book has none of them.
    """
    acted = find_decisions(db, book, 1, acted=True).decisions
    asked = db.execute(_NEWEST_ASKED).fetchone()
    if asked is not None and not (acted and acted[0].at > asked[0]):
        return find_story(db, book, asked[1])
    if acted:
        return find_story(db, book, f"wake:{acted[0].wake_id}")
    refused = db.execute(_NEWEST_REFUSED).fetchone()
    if refused is not None:
        return find_story(db, book, refused[0])
    held = find_decisions(db, book, 1).decisions
    return find_story(db, book, f"wake:{held[0].wake_id}" if held else "wake:1")


def find_story(db: Database, book: StoredBook, asked: str) -> Story:
    """The same within a look at the book."""
    named = resolve(db, book, asked)
    wake = answer = None
    if named.wake_id is not None:
        which = (named.wake_id,)
        wake = db.execute("SELECT seq, at, reasons FROM wakes WHERE wake_id = ?", which).fetchone()
        answer = db.execute(
            "SELECT seq, at, payload FROM events WHERE seq = (SELECT min(seq) FROM decisions WHERE wake_id = ?)", which
        ).fetchone()
    since: int = wake[0] if wake else 0
    orders, refused = _orders(db, named), _refused(db, named)
    first, last, total = _bounded(_steps(db, since, orders)) if orders else ([], [], 0)
    came = _what_came(db, named)
    return Story(
        asked=asked,
        book=book.book,
        wake_id=named.wake_id,
        symbol=named.symbol,
        woken_at=msgspec.convert(wake[1], int) if wake else None,
        reasons=read_payload(_reasons, wake[2]) if wake else (),
        answer=_answer(_step(answer), came) if answer else None,
        after_answer=[
            _turn(_step(row), came)
            for row in db.execute(_AFTER_ANSWER, (answer[0] if answer else since, named.wake_id))
        ],
        refusals=[refusal_row(*row) for row in refused],
        steps=[*first, *last],
        left_out=total - len(first) - len(last),
        seen=Unknown("no wake led to this") if named.wake_id is None else find_seen(db, named.wake_id),
        cost_usd=None if named.wake_id is None else cost_of(db, named.wake_id),
        asks=_asks(db, [*map(_step, refused), *first, *last]),
    )


def _answer(step: Step, came: dict[str, Came]) -> StoryAnswer:
    made = step.event
    assert isinstance(made, events.DecisionMade), "the projection is made of these"
    legs = _of_legs(DecisionKey(made.wake_id), made.decision, came)
    return StoryAnswer(step.at, made.decider, made.thinking_ms, made.decision, made.cost_usd, legs, made.tainted)


def _turn(step: Step, came: dict[str, Came]) -> StoryTurn:
    legs: list[Came] = []
    match step.event:
        case events.DecisionCorrected(wake_id=wake_id, decision=decision):
            legs = _of_legs(DecisionKey(wake_id, "again"), decision, came)
        case events.DecisionMade(wake_id=wake_id, decision=decision):
            legs = _of_legs(DecisionKey(wake_id, "rules"), decision, came)
    return StoryTurn(step.seq, step.at, step.event, legs)


def _of_legs(decided: DecisionKey, decision: Decision, came: dict[str, Came]) -> list[Came]:
    """Return the order or the refusal of each leg that led to one."""
    return [came[key] for index in range(len(decision.legs)) if (key := str(decided.leg(index))) in came]


def _what_came(db: Database, named: StoryId) -> dict[str, Came]:
    """What came of the legs of a wake, by their keys, of the symbol that it is told of."""
    rows = db.execute(_CAME, {"wake": named.wake_id, "symbol": named.symbol})
    return {key: msgspec.convert({"symbol": of, "outcome": what, "id": id_}, Came) for key, of, what, id_ in rows}


def _asks(db: Database, steps: list[Step]) -> list[Step]:
    """The requests that the orders and refusals among these steps came of, each told once, by their keys."""
    found: dict[str, Step] = {}
    for step in steps:
        match step.event:
            case events.OrderIntended(intent=intent) | events.OrderRefused(intent=intent):
                key = intent.idempotency_key
                if intent.wake_id is None and key and key not in found:
                    # It was asked for just before, unless a person had to say yes meanwhile.
                    asks = map(_step, db.execute(_ASKED, (step.seq,)))
                    ask = next((each for each in asks if _key(each) == key), None)
                    found |= {key: ask} if ask is not None else {}
    return sorted(found.values(), key=lambda ask: ask.seq)


def _orders(db: Database, named: StoryId) -> set[OrderRef]:
    """The orders with which the story begins: those that the wake asked for, of the symbol that it is told of."""
    if named.refusal is not None:
        return set()
    if named.wake_id is None:
        assert named.order is not None
        n, leg, revision = named.order
        return {OrderRef(n, Purpose(leg), revision)}
    rows = db.execute(
        "SELECT n, leg, revision FROM orders WHERE wake_id = ? AND (? IS NULL OR symbol = ?)",
        (named.wake_id, named.symbol, named.symbol),
    )
    return {OrderRef(n, Purpose(leg), revision) for n, leg, revision in rows}


def _refused(db: Database, named: StoryId) -> list[tuple[int, int, str]]:
    """The refusals of the story as rows of the journal: sequence, time (ms) and payload."""
    if named.refusal is not None:
        return db.execute(f"{_REFUSED} refusals.seq = ?", (named.refusal,)).fetchall()
    return db.execute(
        f"{_REFUSED} refusals.wake_id = ? AND (? IS NULL OR refusals.symbol = ?) ORDER BY refusals.seq",
        (named.wake_id, named.symbol, named.symbol),
    ).fetchall()


def _steps(db: Database, since: int, orders: set[OrderRef]) -> Iterator[Step]:
    follower = _Follower(orders, _protections(db, orders, since))
    for row in db.execute(_FOLLOWED, (since,)):
        step = _step(row)
        if follower.takes(step.event):
            yield step
        if follower.ended:
            return


def _protections(db: Database, orders: set[OrderRef], since: int) -> set[OrderRef]:
    """Stops and targets that an exit of the story ends: they were sent before it and are canceled with it."""
    groups = {order.n for order in orders if order.leg is Purpose.EXIT}
    found: set[OrderRef] = set()
    for n in groups:
        rows = db.execute(
            """SELECT leg, revision FROM orders WHERE n = ? AND leg IN ('s', 't')
               AND updated_at >= coalesce((SELECT at FROM events WHERE seq = ?), 0)""",
            (n, since),
        )
        found |= {OrderRef(n, Purpose(leg), revision) for leg, revision in rows}
    return found


class _Follower:
    """Picks the events of a story: of its orders, and of the positions that they open or close, until these are flat.

    A position gathers orders as it goes: its stops, its targets, its exit, and what is added by later wakes.
    """

    def __init__(self, awaited: set[OrderRef], protections: set[OrderRef]) -> None:
        self._awaited = set(awaited)
        self._known = set(protections)
        self._live = set(protections)
        self._left: dict[OrderRef, Decimal] = {}
        self._held: set[str] = set()

    @property
    def ended(self) -> bool:
        """Whether nothing can come any more."""
        return not (self._awaited or self._live or self._held)

    def takes(self, event: DomainEvent) -> bool:
        """Whether an event belongs to the story; the next event of the journal each time."""
        match event:
            case events.OrderIntended(ref, intent):
                if ref not in self._awaited and intent.symbol not in self._held:
                    return False
                self._awaited.discard(ref)
                self._known.add(ref)
                self._live.add(ref)
                self._left[ref] = intent.quantity
                return True
            case events.OrderFilled(ref=ref, symbol=symbol, quantity=quantity):
                if ref not in self._known:
                    return False
                self._held.add(symbol)
                if ref in self._left:
                    self._left[ref] -= quantity
                    if self._left[ref] <= 0:
                        self._live.discard(ref)
                return True
            case events.OrderRejected(ref=ref) | events.OrderCanceled(ref=ref):
                self._live.discard(ref)
                return ref in self._known
            case events.OrderAccepted(ref=ref) | events.OrderUnknown(ref=ref) | events.OrderCancelRequested(ref=ref):
                return ref in self._known
            case events.OrderRefused(intent=intent):
                # What wakes were refused is told of them; this is what the guard was refused.
                return intent.wake_id is None and intent.symbol in self._held
            case events.PositionClosed(symbol=symbol):
                held = symbol in self._held
                self._held.discard(symbol)
                return held
            case (
                events.PositionUnprotected(symbol=symbol)
                | events.PositionProtected(symbol=symbol)
                | events.ScoreTaken(symbol=symbol)
                | events.ExitDecided(symbol=symbol)
                | events.OutsideFilled(symbol=symbol)
            ):
                return symbol in self._held
            case _:
                return False


def _bounded(steps: Iterator[Step]) -> tuple[list[Step], list[Step], int]:
    """The first and the last of all steps, and how many there are."""
    first: list[Step] = []
    last: deque[Step] = deque(maxlen=LAST_STEPS)
    total = 0
    for total, step in enumerate(steps, 1):
        (first if total <= FIRST_STEPS else last).append(step)
    return first, list(last), total


def _step(row: tuple[int, int, str]) -> Step:
    seq, at, payload = msgspec.convert(row, tuple[int, int, str])
    return Step(seq, at, domain_event(seq, payload))


def _key(ask: Step) -> str:
    return str(request_key(ask.event.request)) if isinstance(ask.event, events.CallerAsked) else ""
