"""What the faults do: to the messages of a connection, to REST requests, and to the clock of the exchange."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Final, NamedTuple

import msgspec

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.sandbox.binance.exchange import JSON, Request, Response
from ocw_mcp.sandbox.binance.fault_kinds import KINDS
from ocw_mcp.sandbox.binance.faults import Fault
from ocw_mcp.sandbox.binance.garbage import garbage
from ocw_mcp.sandbox.binance.payloads import shutdown
from ocw_mcp.sandbox.binance.streams import ABORTED, GOING_AWAY, WARNING, Outgoing, StreamConnection

_EVENT_TIME: Final = re.compile(r'"E":(\d+)')
_ENDS: Final = {"drop": ABORTED, "close": GOING_AWAY}
_MESSAGES: Final = frozenset({"mute", "delay", "duplicate", "reorder", "garbage", "skew"})
"""The kinds that change the messages of an open connection."""


class FaultPlan:
    """The faults of one run, in absolute time."""

    def __init__(self, faults: Iterable[Fault], start: int) -> None:
        """`start` is the time (ms) from which the faults count theirs."""
        self.start = start
        self.faults = list(faults)
        self.applied: Counter[str] = Counter()
        """How many messages, requests and connections each kind of fault has changed."""
        self._minutes: dict[int, list[Fault]] = {}

    def add(self, fault: Fault) -> None:
        """Add a fault; its time is counted from the start."""
        self.faults.append(fault)
        self._minutes.clear()

    def near(self, since: int, until: int) -> list[Fault]:
        """Return the faults that may begin, end or be active with since <= time <= until (ms), in their order."""
        first, last = (since - self.start) // MINUTE, (until - self.start) // MINUTE
        if first == last:
            return self._minute(first)
        found: dict[int, Fault] = {}
        for minute in range(first, last + 1):
            found |= {id(fault): fault for fault in self._minute(minute)}
        return list(found.values())

    def _minute(self, minute: int) -> list[Fault]:
        known = self._minutes.get(minute)
        if known is None:
            begin, end = minute * MINUTE, (minute + 1) * MINUTE
            known = [
                fault for fault in self.faults if fault.at <= end and (fault.every or fault.at + fault.lasts >= begin)
            ]
            if len(self._minutes) > 64:
                self._minutes.clear()
            self._minutes[minute] = known
        return known

    def began(self, fault: Fault, now: int) -> int | None:
        """Return when a fault began (ms) that is active at `now`; None if it is not active."""
        at = fault.began(now - self.start)
        return at + self.start if at is not None else None

    def active(self, kind: str, now: int) -> Iterator[Fault]:
        """Yield the faults of a kind that are active at `now` (ms)."""
        for fault in self.near(now, now):
            if fault.kind == kind and self.began(fault, now) is not None:
                yield fault

    def begins(self, fault: Fault, since: int, until: int) -> Iterator[int]:
        """Yield the times (ms) at which a fault begins with since < time <= until."""
        return (at + self.start for at in fault.begins(since - self.start, until - self.start))

    def skew(self, now: int) -> int:
        """Return by how much (ms) the exchange's clock is ahead at `now`."""
        return sum(fault.by for fault in self.active("skew", now))

    def news(self, since: int, until: int) -> list[tuple[int, str]]:
        """Return a line for each fault that begins or ends with since < time <= until (ms), in the order of time."""
        lines = []
        for fault in self.near(since, until):
            lines += [(at, f"{fault} begins" if fault.lasts else str(fault)) for at in self.begins(fault, since, until)]
            if fault.lasts:
                ends = self.begins(fault, since - fault.lasts, until - fault.lasts)
                lines += [(at + fault.lasts, f"{fault} ends") for at in ends]
        return sorted(lines)


class RestFaults:
    """Answers REST requests in place of the exchange while a fault is active."""

    def __init__(self, plan: FaultPlan, product: Product) -> None:
        self._plan = plan
        self._product = product

    def unanswered(self, now: int) -> bool:
        """Return whether a request at `now` (ms) gets no answer at all."""
        return any(fault.rest for fault in self._plan.active("refuse", now))

    def response(self, request: Request, now: int) -> Response | None:
        """Return the response of a fault at `now` (ms); None if the exchange answers itself."""
        for fault in self._plan.active("ban", now):
            until = (self._plan.began(fault, now) or now) + fault.lasts
            text = f"Way too many requests; IP({request.ip}) banned until {until}."
            return self._error(fault, 418, -1003, f"{text} Please use the websocket for live updates.", until - now)
        for fault in self._plan.active("limit", now):
            if fault.concerns_path(request.path):
                text = f"Too many requests; current limit of IP({request.ip}) is exceeded."
                return self._error(fault, 429, -1003, f"{text} Please use the websocket for live updates.", MINUTE)
        for fault in self._plan.active("error", now):
            if fault.concerns_path(request.path):
                return self._error(fault, fault.status, fault.code, fault.msg, None)
        return None

    def _error(self, fault: Fault, status: int, code: int, text: str, wait: int | None) -> Response:
        self._plan.applied[fault.kind] += 1
        headers = dict(JSON)
        if wait is not None and self._product is Product.SPOT:
            headers["Retry-After"] = str(max(1, -(-wait // 1_000)))
        return Response(status, msgspec.json.encode({"code": code, "msg": text}), headers)


class _Held(NamedTuple):
    at: int
    order: int
    message: Outgoing


class StreamFaults:
    """Changes what one connection says while faults are active."""

    def __init__(self, plan: FaultPlan, connection: StreamConnection, product: Product) -> None:
        self._plan = plan
        self._connection = connection
        self._product = product
        self._order = count()
        self._held: list[_Held] = []
        """Messages that are sent later."""
        self._pairs: dict[int, tuple[int, Outgoing]] = {}
        """By the fault: its end, and the first of two messages that change places."""
        self._seen: Counter[int] = Counter()
        """By the fault: how many messages it concerned, for `nth`."""

    def apply(self, said: list[Outgoing], since: int, until: int) -> list[Outgoing]:
        """Return what the client gets with since < time <= until (ms), in the order of time."""
        faults = self._plan.near(since, until)
        if not (faults or self._held or self._pairs):
            return said
        changing = [fault for fault in faults if fault.kind in _MESSAGES]
        for message in said:
            if message.stream and changing:
                self._change(message, changing)
            else:
                self._hold(message)
        self._end_pairs(until)
        self._warn(faults, since, until)
        ready = sorted(each for each in self._held if each.at <= until)
        self._held = [each for each in self._held if each.at > until]
        sent = [each.message for each in ready]
        end = self._end(faults, since, until)
        if end is None:
            return sent
        self._held, self._pairs = [], {}
        return [message for message in sent if message.at <= end.at and message.code is None] + [end]

    def _hold(self, message: Outgoing) -> None:
        self._held.append(_Held(message.at, next(self._order), message))

    def _change(self, message: Outgoing, faults: list[Fault]) -> None:
        """Hold what is left of a message after its faults."""
        copies = [message]
        for fault in faults:
            key, began = id(fault), self._plan.began(fault, message.at)
            if not copies or began is None or not fault.concerns(message.stream):
                continue
            self._seen[key] += 1
            if self._seen[key] % fault.nth:
                continue
            self._plan.applied[fault.kind] += 1
            if fault.kind == "mute":
                return
            if fault.kind == "skew":
                copies = [each._replace(text=_skewed(each.text, fault.by)) for each in copies]
            elif fault.kind == "garbage":
                bad = message._replace(text=garbage(message.text, fault.form))
                copies = [bad] if fault.replaces else [bad, *copies]
            elif fault.kind == "duplicate":
                copies = copies * fault.times
            elif fault.kind == "delay":
                copies = [each._replace(at=each.at + fault.by) for each in copies]
            elif key in self._pairs:
                copies = [*copies, self._pairs.pop(key)[1]._replace(at=copies[-1].at)]
            else:
                self._pairs[key] = began + fault.lasts, copies[0]
                copies = copies[1:]
        for each in copies:
            self._hold(each)

    def _end_pairs(self, until: int) -> None:
        """Send the messages that wait for a second one of a fault that is over."""
        for key, (end, message) in list(self._pairs.items()):
            if end <= until:
                del self._pairs[key]
                self._hold(message._replace(at=max(message.at, end)))

    def _ends(self, faults: list[Fault], since: int, until: int) -> list[tuple[int, Fault]]:
        """Return when faults end the connection with since < time <= until."""
        streams = self._connection.streams
        return [
            (at, fault)
            for fault in faults
            if fault.kind in _ENDS and (fault.stream == "*" or any(fault.concerns(name) for name in streams))
            for at in self._plan.begins(fault, since, until)
        ]

    def _warn(self, faults: list[Fault], since: int, until: int) -> None:
        """Add the warnings of spot before it closes the connection."""
        if self._product is not Product.SPOT:
            return
        later = self._plan.near(since + WARNING, until + WARNING)
        for at, fault in self._ends(later, since + WARNING, until + WARNING):
            if fault.kind == "close":
                self._hold(Outgoing(at - WARNING, shutdown(at - WARNING)))

    def _end(self, faults: list[Fault], since: int, until: int) -> Outgoing | None:
        ends = sorted(self._ends(faults, since, until), key=lambda each: each[0])
        if not ends:
            return None
        at, fault = ends[0]
        self._plan.applied[fault.kind] += 1
        return self._connection.end(at, _ENDS[fault.kind], KINDS[fault.kind].meaning)


def _skewed(text: str, by: int) -> str:
    """Return a message whose event time is later by `by` (ms)."""
    return _EVENT_TIME.sub(lambda found: f'"E":{int(found[1]) + by}', text)
