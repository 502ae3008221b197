"""The story of one wake: its reasons, snapshot, decision, refusals, orders, fills and end."""

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Literal, NamedTuple

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.book import StoredBook
from ocw_mcp.adapters.store.database import domain_event, read_payload
from ocw_mcp.adapters.store.figures import count, total
from ocw_mcp.adapters.store.projections import position_before
from ocw_mcp.adapters.store.snapshots import find_snapshot
from ocw_mcp.adapters.store.views.decisions import find_decisions, has_costs
from ocw_mcp.adapters.store.views.orders import REFUSED, RefusalRow, refusal_row
from ocw_mcp.adapters.store.views.parts import find_request
from ocw_mcp.adapters.store.views.steps import LevelsSoFar, Step, condensed, continuations
from ocw_mcp.adapters.store.views.trades import OpenTrade, TradeRow, find_trades_of
from ocw_mcp.domain import events
from ocw_mcp.domain.asks import DecisionKey
from ocw_mcp.domain.decision import Action, Decision
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.snapshot import Snapshot, SymbolWake
from ocw_mcp.domain.unknown import Unknown

FIRST_STEPS, LAST_STEPS = 60, 20
"""Number of steps shown of a long story, from its beginning and from its end."""


class UnknownIdError(SettingsError):
    """An id that the book does not have; `what` names this id, and `exists` the ids that the book has."""

    def __init__(self, what: str, exists: str, hint: str = "") -> None:
        self.what = what
        self.exists = exists
        super().__init__("; ".join(filter(None, (what, exists, hint))))


class StoryId(NamedTuple):
    """The wake of a story, and the symbol, order or refusal (its sequence) to which the story is restricted."""

    wake_id: int | None
    symbol: str | None = None
    order: OrderRef | None = None
    refusal: int | None = None


class LegOutcome(msgspec.Struct, frozen=True):
    """The outcome of a leg: the id of the order that was sent, or of the refusal."""

    symbol: str
    outcome: Literal["sent", "refused"]
    id: str


class StoryAnswer(msgspec.Struct, frozen=True):
    """A decision at `at` (ms), its LLM cost, and the outcomes of its legs, without HOLD legs."""

    at: int
    decider: str
    thinking_ms: int
    decision: Decision
    cost_usd: Decimal = ZERO
    came: list[LegOutcome] = []
    tainted: bool = False
    """Whether the model had read text of other authors for the decision."""


class StoryTurn(Step, frozen=True, omit_defaults=False):
    """An event after the first decision of a wake; if it is a decision, `came` has the outcomes of its legs."""

    came: tuple[LegOutcome, ...] = ()


class Story(msgspec.Struct, frozen=True):
    """A wake from its reasons to its last fill. Times are in ms.

    `wake_id` is None for an order or a refusal without a wake. `answer` is the first decision, if there is one.
    `symbol` is set if the story is restricted to one symbol.
    """

    asked: str
    book: str
    wake_id: int | None
    symbol: str | None
    woken_at: int | None
    reasons: tuple[SymbolWake, ...]
    answer: StoryAnswer | None
    after_answer: list[StoryTurn]
    """Corrections, the end of the decision, a decision of the strategy, wake conditions, and late answers."""
    refusals: list[RefusalRow]
    steps: list[Step]
    left_out: int
    """Number of steps between the first and the last that are not shown."""
    seen: Snapshot | Unknown
    cost_usd: Decimal | None = None
    """The total LLM cost of the wake; None if no engine of this version has opened the book yet."""
    asks: list[Step] = []
    """The requests of clients that led to orders or refusals of the story, with the clients' reasons."""
    trades: list[TradeRow | OpenTrade] = []
    """The trades that the story opens, changes or closes, each with all its entries and exits."""


_AFTER_ANSWER = """SELECT seq, at, payload FROM events WHERE kind IN ('decision.made', 'decision.corrected',
    'decision.ended', 'decision.discarded', 'wake_conditions.set')
    AND seq > ? AND json_extract(payload, '$.wake_id') = ? ORDER BY seq LIMIT 20"""
_OUTCOMES = """SELECT idempotency_key, symbol, 'sent', client_id FROM orders
    WHERE wake_id = :wake_id AND (:symbol IS NULL OR symbol = :symbol)
    UNION ALL SELECT json_extract(payload, '$.intent.idempotency_key'), symbol, 'refused', 'refusal:' || refusals.seq
    FROM refusals JOIN events USING (seq) WHERE wake_id = :wake_id AND (:symbol IS NULL OR symbol = :symbol)"""
_NEWEST_ASKED = """SELECT intended_at, 'order:' || n FROM orders
    WHERE wake_id IS NULL AND idempotency_key <> '' ORDER BY rowid DESC LIMIT 1"""
_NEWEST_REFUSED = "SELECT 'refusal:' || seq FROM refusals WHERE wake_id IS NULL ORDER BY seq DESC LIMIT 1"
_PROTECTED = """SELECT symbol FROM (SELECT json_extract(payload, '$.symbol') AS symbol FROM events
    WHERE seq > ? AND kind = 'protection.set' AND json_extract(payload, '$.wake_id') = ?)
    WHERE ?3 IS NULL OR symbol = ?3"""
# One entry of a symbol rests at a time.
_WITHDRAWN = """SELECT n, leg, revision FROM orders WHERE leg = 'e' AND symbol = ? AND intended_at <= ?
    AND updated_at >= ? AND state IN ('cancel_requested', 'canceled') ORDER BY updated_at LIMIT 1"""
STEP_EVENTS = """SELECT seq, at, payload FROM events WHERE seq > ? AND kind IN ('order.intended', 'order.refused',
    'order.accepted', 'order.rejected', 'order.unknown', 'order.cancel_requested', 'order.canceled', 'order.filled',
    'order.triggered', 'order.cancel_refused', 'position.unprotected', 'position.protected', 'position.closed',
    'score.taken', 'exit.decided', 'outside.filled', 'protection.set', 'entry.lapsed')
    ORDER BY seq"""
_COST = "SELECT cost_usd FROM thinking WHERE wake_id = ? ORDER BY seq"

_NUMBER = "[0-9]{1,18}"
_WAKE_ID = re.compile(f"(?:wake:|decision:)?({_NUMBER})(?::{_NUMBER})?")
_ORDER_ID = re.compile(f"(?:ocw-([a-z0-9]{{6}})-|order:)?({_NUMBER})-([estx])-({_NUMBER})")
_GROUP_ID = re.compile(f"(?:order:)?({_NUMBER})")
_REFUSAL_ID = re.compile(f"refusal:({_NUMBER})")
_ORDER_QUERY = """SELECT coalesce(wake_id, (SELECT wake_id FROM orders AS entry
    WHERE entry.n = orders.n AND wake_id IS NOT NULL ORDER BY rowid LIMIT 1)), symbol, n, leg, revision FROM orders"""

_reasons = msgspec.json.Decoder(tuple[SymbolWake, ...])


def newest_story(db: Database, book: StoredBook) -> Story:
    """Return the story of the newest decision that acted, or of a newer trade that a client requested without a wake.

    If there is neither, return the story of the newest refusal of a client, or of the newest decision. Raises
    SettingsError for a book without decisions, orders and refusals.
    """
    acted = find_decisions(db, 1, acted=True).decisions
    asked = db.execute(_NEWEST_ASKED).fetchone()
    if asked is not None and not (acted and acted[0].at > asked[0]):
        return find_story(db, book, asked[1])
    if not acted and (refused := db.execute(_NEWEST_REFUSED).fetchone()):
        return find_story(db, book, refused[0])
    decisions = acted or find_decisions(db, 1).decisions
    return find_story(db, book, f"wake:{decisions[0].wake_id if decisions else 1}")


def find_story(db: Database, book: StoredBook, asked: str) -> Story:
    """Return the story of a wake, an order or a refusal, by its id.

    The ids are `wake:12`, `decision:12`, `order:3`, `3-e-0`, `ocw-<book>-3-e-0`, `refusal:478`, and `12`: a wake, or
    the counter of an order if there is no such wake. Raises SettingsError if the book has nothing with that id.
    """
    story_id = _resolve(db, book, asked)
    wake = answer = None
    if story_id.wake_id is not None:
        which = (story_id.wake_id,)
        wake = db.execute("SELECT seq, at, reasons FROM wakes WHERE wake_id = ?", which).fetchone()
        answer = db.execute(
            "SELECT seq, at, payload FROM events WHERE seq = (SELECT min(seq) FROM decisions WHERE wake_id = ?)", which
        ).fetchone()
    since: int = wake[0] if wake else 0
    first = _step(answer) if answer else None
    after = (first.seq if first else since, story_id.wake_id)
    turns = [_step(row) for row in db.execute(_AFTER_ANSWER, after)]
    orders, refused = _orders(db, story_id), _refused(db, story_id)
    withdrawn = _withdrawn(db, story_id, [first, *turns] if first else turns)
    protected = _protected(db, story_id, since)
    steps = condensed(list(_steps(db, since, story_id, orders, withdrawn, protected)), story_id.order)
    shown = steps[:FIRST_STEPS] + steps[FIRST_STEPS:][-LAST_STEPS:]
    outcomes = {
        key: msgspec.convert({"symbol": symbol, "outcome": outcome, "id": id_}, LegOutcome)
        for key, symbol, outcome, id_ in db.execute(_OUTCOMES, story_id._asdict())
    }
    return Story(
        asked=asked,
        book=book.book,
        wake_id=story_id.wake_id,
        symbol=story_id.symbol,
        woken_at=msgspec.convert(wake[1], int) if wake else None,
        reasons=read_payload(_reasons, wake[2]) if wake else (),
        answer=_answer(first, outcomes) if first else None,
        after_answer=[_turn(each, outcomes) for each in turns],
        refusals=[refusal_row(*row) for row in refused],
        steps=shown,
        left_out=len(steps) - len(shown),
        seen=Unknown("no wake led to this") if story_id.wake_id is None else find_snapshot(db, story_id.wake_id),
        cost_usd=total(db, _COST, story_id.wake_id) if story_id.wake_id is not None and has_costs(db) else None,
        asks=_requests(db, [*map(_step, refused), *shown]),
        trades=_trades(db, steps),
    )


def _trades(db: Database, steps: list[Step]) -> list[TradeRow | OpenTrade]:
    """Return the trades to which the fills and the changed protections of a story belong, oldest first."""
    seqs: dict[str, list[int]] = {}
    for step in steps:
        if isinstance(step.event, events.OrderFilled | events.OutsideFilled | events.ProtectionSet):
            seqs.setdefault(step.event.symbol, []).append(step.seq)
    found = [trade for symbol, each in seqs.items() for trade in find_trades_of(db, symbol, each)]
    return sorted(found, key=lambda trade: trade.opened_at)


def _answer(step: Step, outcomes: dict[str, LegOutcome]) -> StoryAnswer:
    made = step.event
    assert isinstance(made, events.DecisionMade), "the projection is made of these"
    legs = _outcomes_of(DecisionKey(made.wake_id), made.decision, outcomes)
    return StoryAnswer(step.at, made.decider, made.thinking_ms, made.decision, made.cost_usd, legs, made.tainted)


def _turn(step: Step, outcomes: dict[str, LegOutcome]) -> StoryTurn:
    legs: list[LegOutcome] = []
    match step.event:
        case events.DecisionCorrected(wake_id=wake_id, decision=decision):
            legs = _outcomes_of(DecisionKey(wake_id, "again"), decision, outcomes)
        case events.DecisionMade(wake_id=wake_id, decision=decision):
            legs = _outcomes_of(DecisionKey(wake_id, "rules"), decision, outcomes)
    return StoryTurn(step.seq, step.at, step.event, came=tuple(legs))


def _outcomes_of(decided: DecisionKey, decision: Decision, outcomes: dict[str, LegOutcome]) -> list[LegOutcome]:
    """Return the outcome of each leg that led to an order or a refusal."""
    keys = (str(decided.leg(index)) for index in range(len(decision.legs)))
    return [outcomes[key] for key in keys if key in outcomes]


def _requests(db: Database, steps: list[Step]) -> list[Step]:
    """Return the requests that led to the orders and refusals among these steps, each once."""
    found: dict[str, Step] = {}
    for step in steps:
        match step.event:
            case events.OrderIntended(intent=intent) | events.OrderRefused(intent=intent):
                key = intent.idempotency_key
                if intent.wake_id is None and key and key not in found:
                    ask = find_request(db, step.seq, key)
                    found |= {key: Step(*ask)} if ask is not None else {}
    return sorted(found.values(), key=lambda ask: ask.seq)


def _orders(db: Database, story_id: StoryId) -> set[OrderRef]:
    """Return the orders with which the story begins: those of the wake, for the symbol of the story if it has one."""
    if story_id.refusal is not None or story_id.wake_id is None:
        return {story_id.order} if story_id.order is not None else set()
    query = "SELECT n, leg, revision FROM orders WHERE wake_id = ? AND (? IS NULL OR symbol = ?)"
    return _refs(db, query, story_id.wake_id, story_id.symbol, story_id.symbol)


def _refused(db: Database, story_id: StoryId) -> list[tuple[int, int, str]]:
    """Return the refusals of the story as rows of the journal: sequence, time (ms) and payload."""
    which = "refusals.wake_id = :wake_id AND (:symbol IS NULL OR refusals.symbol = :symbol)"
    if story_id.refusal is not None:
        which = "refusals.seq = :refusal"
    return db.execute(f"{REFUSED} WHERE {which} ORDER BY refusals.seq", story_id._asdict()).fetchall()


def _protected(db: Database, story_id: StoryId, since: int) -> set[str]:
    """Return the symbols whose protection the decisions of the story's wake moved."""
    if story_id.wake_id is None or story_id.refusal is not None:
        return set()
    return {symbol for (symbol,) in db.execute(_PROTECTED, (since, story_id.wake_id, story_id.symbol))}


def _withdrawn(db: Database, story_id: StoryId, turns: Iterable[Step]) -> set[OrderRef]:
    """Return the entries that the decisions of the story's wake cancelled."""
    found: set[OrderRef] = set()
    for turn in turns:
        if isinstance(turn.event, events.DecisionMade | events.DecisionCorrected) and story_id.refusal is None:
            for leg in turn.event.decision.legs:
                if leg.action is Action.CANCEL and story_id.symbol in (None, leg.symbol):
                    found |= _refs(db, _WITHDRAWN, leg.symbol, turn.at, turn.at)
    return found


def _steps(
    db: Database,
    since: int,
    story_id: StoryId,
    awaited: set[OrderRef],
    withdrawn: set[OrderRef],
    protected: set[str],
) -> Iterator[Step]:
    """Yield the events of the `awaited` orders, and of the positions that they open or close, until these are flat.

    The story also has the cancellations of the `withdrawn` entries, and the positions that are `protected` by the wake.
    """
    if not (awaited or withdrawn or protected):
        return
    awaited |= continuations(db, awaited, since)
    known = _protections(db, awaited, since) | withdrawn
    live = set(known)
    left, held = dict[OrderRef, Decimal | None](), set[str]()
    levels = LevelsSoFar(db, since)
    for row in db.execute(STEP_EVENTS, (since,)):
        step = _step(row)
        if (before := levels.take(step.event)) is not None:
            step = msgspec.structs.replace(step, before=before)
        match step.event:
            case events.OrderIntended(ref, intent):
                belongs = ref in awaited or intent.symbol in held
                if belongs:
                    awaited.discard(ref)
                    known.add(ref)
                    live.add(ref)
                    left[ref] = None if intent.close_position else intent.quantity
            case events.OrderFilled(ref=ref, symbol=symbol, quantity=quantity):
                belongs = ref in known
                if belongs:
                    held.add(symbol)
                    if ref in left:
                        size = left[ref]
                        left[ref] = rest = (position_before(step.event) if size is None else size) - quantity
                        if rest <= 0:
                            live.discard(ref)
            case events.OrderRejected(ref=ref) | events.OrderCanceled(ref=ref):
                live.discard(ref)
                belongs = ref in known
            case events.OrderAccepted(ref=ref) | events.OrderUnknown(ref=ref) | events.OrderCancelRequested(ref=ref):
                belongs = ref in known
            case events.OrderTriggered(ref=ref) | events.OrderCancelRefused(ref=ref) | events.EntryLapsed(ref=ref):
                belongs = ref in known
            case events.OrderRefused(intent=intent):
                # Refusals of wakes belong to their own stories; these are refusals of the position guard.
                belongs = intent.wake_id is None and intent.symbol in held
            case events.ProtectionSet(symbol=symbol) if symbol in protected and step.event.wake_id == story_id.wake_id:
                protected.discard(symbol)
                held.add(symbol)
                belongs = True
            case events.PositionClosed(symbol=symbol):
                belongs = symbol in held
                held.discard(symbol)
            case _:  # The other kinds are about a position, and name its symbol.
                belongs = getattr(step.event, "symbol", None) in held
        if belongs:
            yield step
        if not (awaited or live or held or protected):
            return


def _protections(db: Database, orders: set[OrderRef], since: int) -> set[OrderRef]:
    """Return the stops and targets that were sent before the story's exit orders and canceled because of them."""
    query = """SELECT n, leg, revision FROM orders WHERE n = ? AND leg IN ('s', 't')
        AND updated_at >= coalesce((SELECT at FROM events WHERE seq = ?), 0)"""
    groups = {order.n for order in orders if order.leg is Purpose.EXIT}
    return {ref for n in groups for ref in _refs(db, query, n, since)}


def _refs(db: Database, query: str, *values: int | str | None) -> set[OrderRef]:
    return {OrderRef(n, Purpose(leg), revision) for n, leg, revision in db.execute(query, values)}


def _step(row: tuple[int, int, str]) -> Step:
    seq, at, payload = msgspec.convert(row, tuple[int, int, str])
    return Step(seq, at, domain_event(seq, payload))


def _resolve(db: Database, book: StoredBook, text: str) -> StoryId:
    text = text.strip()
    if (found := _WAKE_ID.fullmatch(text)) and count(db, "SELECT count(*) FROM wakes WHERE wake_id = ?", found[1]):
        return StoryId(int(found[1]))
    if (found := _ORDER_ID.fullmatch(text)) and found[1] in (None, book.book):
        found_id = _order(db, "n = ? AND leg = ? AND revision = ?", int(found[2]), found[3], int(found[4]))
    elif found := _GROUP_ID.fullmatch(text):
        found_id = _order(db, "n = ?", int(found[1]))
    elif found := _REFUSAL_ID.fullmatch(text):
        row = db.execute("SELECT wake_id, symbol FROM refusals WHERE seq = ?", (int(found[1]),)).fetchone()
        found_id = StoryId(row[0], row[1], refusal=int(found[1])) if row else None
    else:
        found_id = None
    if found_id is None:
        shown = repr(text) if len(text) <= 40 else f"a text of {len(text)} characters"
        raise UnknownIdError(f"{shown} is no id of this book", *_what_exists(db, book))
    return found_id


def _order(db: Database, which: str, *values: int | str) -> StoryId | None:
    """Return an order with its wake: for an order of the position guard, the wake of the entry that it protects."""
    row = db.execute(f"{_ORDER_QUERY} WHERE {which} ORDER BY rowid LIMIT 1", values).fetchone()
    return StoryId(row[0], row[1], OrderRef(row[2], Purpose(row[3]), row[4])) if row else None


def _what_exists(db: Database, book: StoredBook) -> tuple[str, ...]:
    first_wake, last_wake = db.execute("SELECT min(wake_id), max(wake_id) FROM wakes").fetchone()
    first_order, last_order = db.execute("SELECT min(n), max(n) FROM orders").fetchone()
    refusals, refused = db.execute("SELECT count(*), max(seq) FROM refusals").fetchone()
    there = [f"wake:{first_wake} to wake:{last_wake}"] if first_wake is not None else []
    there += [f"order:{first_order} to order:{last_order} (ocw-{book.book}-...)"] if first_order is not None else []
    there += [f"{refusals} refusals up to refusal:{refused}"] if refusals else []
    if not there:
        return ("it holds no wake and no order yet",)
    return f"it has {', '.join(there)}", "ocw decisions and ocw orders list them"
