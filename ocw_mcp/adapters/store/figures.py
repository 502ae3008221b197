"""Queries over the whole journal: the figures of a run's report, and the last run of a book."""

from collections import Counter, deque
from decimal import Decimal
from typing import Any

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.projections import OUTSIDE
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.events import PoliciesLoaded, RunResumed, RunStarted, StateChanged
from ocw_mcp.domain.figures import ClosedTrade, DecisionCounts, JournalFigures, WakeEntry
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import GUARD, RULES, Purpose
from ocw_mcp.domain.snapshot import SymbolWake

_POLICIES = "SELECT payload FROM events WHERE kind = 'policies.loaded' ORDER BY row DESC LIMIT 1"
# A failed start leaves a row about itself, but no domain event after it.
_RUN = """SELECT payload FROM events WHERE kind IN ('run.started', 'run.resumed')
    AND row < (SELECT row FROM events WHERE seq IS NOT NULL ORDER BY seq DESC LIMIT 1) ORDER BY row DESC LIMIT 1"""
_STATES = "SELECT at, payload FROM events WHERE kind = 'state.changed' ORDER BY seq"
_PROTECTION = """SELECT at, kind, json_extract(payload, '$.symbol') FROM events
    WHERE kind IN ('position.unprotected', 'position.protected', 'position.closed') ORDER BY seq"""
_INTERRUPTED = "SELECT coalesce((SELECT max(seq) FROM events), 0) > coalesce((SELECT seq FROM checkpoint), 0)"

_decode_change = msgspec.json.Decoder(StateChanged).decode
_decode_reasons = msgspec.json.Decoder(tuple[SymbolWake, ...]).decode
_decode_run = msgspec.json.Decoder(PoliciesLoaded | RunStarted | RunResumed).decode


class LastRun(msgspec.Struct, frozen=True):
    """The last run of a book. With `to_be_repeated`, the next run repeats this run's events after the checkpoint."""

    agent: str
    policy: str
    policy_hash: str
    prompts_hash: str
    version: str
    to_be_repeated: bool


def read_last_run(db: Database) -> LastRun | None:
    """Return the last run with an event; None in a new book. Raises sqlite3.Error and msgspec's errors."""
    run, policies = _one(db, _RUN), _one(db, _POLICIES)
    if not isinstance(run, RunStarted | RunResumed) or not isinstance(policies, PoliciesLoaded):
        return None
    (interrupted,) = db.execute(_INTERRUPTED).fetchone()
    hashes = (policies.policy_hash, policies.prompts_hash)
    return LastRun(run.agent, policies.name, *hashes, run.version, bool(interrupted))


def _one(db: Database, query: str) -> Any:
    found = db.execute(query).fetchone()
    return None if found is None else _decode_run(found[0])


def journal_figures(db: Database) -> JournalFigures:
    """Return counts and sums over all committed events. Money is in quote currency."""
    return JournalFigures(
        wakes=[
            WakeEntry(at, wake.symbol, wake.reasons)
            for at, reasons in db.execute("SELECT at, reasons FROM wakes ORDER BY seq")
            for wake in _decode_reasons(reasons)
        ],
        decisions=count(db, "SELECT count(*) FROM decisions"),
        orders=count(db, "SELECT count(*) FROM orders"),
        fills=count(db, "SELECT count(*) FROM fills"),
        refusals=dict(db.execute("SELECT code, count(*) FROM refusals GROUP BY code ORDER BY code").fetchall()),
        holes=count(db, "SELECT count(*) FROM events WHERE kind = 'market.hole'"),
        fees=total(db, "SELECT fee FROM fills ORDER BY seq"),
        funding=total(db, "SELECT amount FROM funding ORDER BY seq"),
        day_equities=[(day, Decimal(usd)) for day, usd in db.execute("SELECT day, equity FROM days ORDER BY seq")],
        decided=_decided(db),
        thinking_usd=total(db, "SELECT cost_usd FROM thinking ORDER BY seq"),
        state_changes=[(at, _decode_change(payload).after) for at, payload in db.execute(_STATES)],
        trades=_trades(db),
        unprotected=_unprotected(db),
    )


# A `position.closed` event follows the fill that made the position flat.
_CLOSED = """SELECT trades.seq, trades.symbol, opened_at, closed_at, pnl, fills.leg, maker, orders.principal,
    (SELECT count(DISTINCT each.n || each.leg || each.revision || iif(each.leg = 'o', each.seq, '')) FROM fills AS each
        WHERE each.symbol = trades.symbol AND each.leg <> 'e' AND each.seq < trades.seq AND each.seq > coalesce(
            (SELECT max(seq) FROM trades AS last WHERE last.symbol = trades.symbol AND last.seq < trades.seq), 0))
    FROM trades
    LEFT JOIN fills ON fills.seq = (SELECT seq FROM fills AS closing
        WHERE closing.symbol = trades.symbol AND closing.seq < trades.seq ORDER BY closing.seq DESC LIMIT 1)
    LEFT JOIN orders ON (orders.n, orders.leg, orders.revision) = (fills.n, fills.leg, fills.revision)
    ORDER BY trades.seq"""
_EXIT_RULES = """SELECT seq, json_extract(payload, '$.symbol'), json_extract(payload, '$.rule') FROM events
    WHERE kind = 'exit.decided' ORDER BY seq"""


def _trades(db: Database) -> list[ClosedTrade]:
    decided = deque(db.execute(_EXIT_RULES).fetchall())
    rules: dict[str, str] = {}
    trades: list[ClosedTrade] = []
    for seq, symbol, opened_at, closed_at, pnl, leg, maker, principal, exits in db.execute(_CLOSED).fetchall():
        while decided and decided[0][0] < seq:
            _, of_symbol, rule = decided.popleft()
            rules[of_symbol] = rule
        rule = rules.pop(symbol, GUARD)
        reason = closed_by(leg or OUTSIDE, bool(maker))
        if reason in ("exit", "entry"):
            reason = rule if principal == GUARD else principal
        trades.append(ClosedTrade(symbol, opened_at, closed_at, Decimal(pnl), reason, max(1, exits)))
    return trades


def closed_by(leg: str, maker: bool) -> str:
    """Return `stop`, `target`, `exit`, `entry` or `outside`, from the leg of the fill that closed a position.

    The stop and target of a spot position are one OCO order with leg `s`: if that filled as a maker, it was the target.
    """
    if leg == OUTSIDE:
        return "outside"
    return "target" if leg == Purpose.STOP and maker else Purpose(leg).name.lower()


def _unprotected(db: Database) -> list[tuple[int, int | None]]:
    """Return the periods in which a position waited for a stop: start and end (ms); the end is None while it lasts."""
    since: dict[str, int] = {}
    gaps: list[tuple[int, int | None]] = []
    for at, kind, symbol in db.execute(_PROTECTION):
        if kind == "position.unprotected":
            since.setdefault(symbol, at)
        elif symbol in since:
            gaps.append((since.pop(symbol), at))
    return [*gaps, *((began, None) for began in since.values())]


def _decided(db: Database) -> DecisionCounts:
    by, in_its_place, remembered = Counter[str](), Counter[str](), 0
    for decider, cause in db.execute("SELECT decider, cause FROM decisions"):
        kind = CauseKind(cause) if cause else None
        if decider == RULES and kind is not None and kind.failed:
            in_its_place[kind] += 1
        elif kind is CauseKind.REMEMBERED:
            remembered += 1
        else:
            by[decider] += 1
    return DecisionCounts(dict(sorted(by.items())), remembered, dict(in_its_place.most_common()))


def total(db: Database, query: str, *parameters: int) -> Decimal:
    """Return the sum of a query's amounts; SQLite itself would add the texts as floats."""
    return sum((Decimal(amount) for (amount,) in db.execute(query, parameters)), ZERO)


def count(db: Database, query: str, *parameters: str) -> int:
    """Return the number that a query selects."""
    return int(db.execute(query, parameters).fetchone()[0])
