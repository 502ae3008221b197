"""Faults of the account: requests of orders with a lost or a wrong answer, and what its owner and the exchange do."""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

import msgspec

from ocw_mcp.sandbox.binance.account.signed import SignedApi
from ocw_mcp.sandbox.binance.effects import FaultPlan
from ocw_mcp.sandbox.binance.exchange import JSON, Exchange, Request, Response
from ocw_mcp.sandbox.binance.fault_kinds import ANSWERS, OF_ORDERS
from ocw_mcp.sandbox.binance.faults import Fault
from ocw_mcp.sandbox.binance.parameters import ApiError


class Outcome(NamedTuple):
    """What a fault does to a request of an order."""

    response: Response | None
    """None if the request gets no answer."""


class OrderFaults:
    """Loses requests that place, change or cancel orders, or answers them with an error."""

    def __init__(self, plan: FaultPlan, exchange: Exchange) -> None:
        self._plan = plan
        self._exchange = exchange
        self._seen: Counter[int] = Counter()
        """By the fault: how many requests it concerned, for `nth`."""
        exchange.account.hidden = self._hidden

    def _hidden(self, path: str, now: int) -> int:
        """Return the age (ms) up to which queries at a path do not find orders."""
        ages = [fault.by for fault in self._plan.active("order_hidden", now) if fault.concerns_path(path)]
        if not ages:
            return 0
        self._plan.applied["order_hidden"] += 1
        return max(ages) + 1

    def outcome(self, request: Request, now: int, skew: int) -> Outcome | None:
        """Return what the active faults make of a request at a time (ms); None if none of them concerns it."""
        account = self._exchange.account
        if not account.is_order(request.method, request.path):
            return None
        for kind in sorted(OF_ORDERS):
            for fault in self._plan.active(kind, now):
                if not _concerns(fault, request):
                    continue
                self._seen[id(fault)] += 1
                if self._seen[id(fault)] % fault.nth:
                    continue
                self._plan.applied[kind] += 1
                return self._apply(account, fault, request, now, skew)
        return None

    def _apply(self, account: SignedApi, fault: Fault, request: Request, now: int, skew: int) -> Outcome:
        if fault.executed and fault.by:
            signed = request.signed()
            try:
                account.check(signed, now + skew)
            except ApiError:
                return Outcome(self._exchange.handle(request, now, skew))

            def execute(at: int) -> None:
                try:
                    account.execute(signed, at)
                except ApiError:
                    self._plan.applied["late orders refused"] += 1

            account.plan(now + fault.by, execute)
        elif fault.executed:
            self._exchange.handle(request, now, skew)
        if not fault.answer:
            return Outcome(None)
        answer = ANSWERS[fault.answer]
        body = msgspec.json.encode({"code": answer.code, "msg": answer.msg})
        return Outcome(Response(answer.status, body, dict(JSON)))


def _concerns(fault: Fault, request: Request) -> bool:
    if fault.method not in ("", request.method) or not fault.concerns_path(request.path):
        return False
    reduces = "true" in (request.query.get("reduceOnly", "").lower(), request.query.get("closePosition", "").lower())
    spared = bool(fault.answer) and ANSWERS[fault.answer].spares_reductions
    return not (spared and (reduces or request.method != "POST"))


def owner_action(account: SignedApi, fault: Fault) -> Callable[[int], object]:
    """Return what a fault of the account does at its time (ms)."""
    act, symbol = account.actions()[fault.kind], fault.symbol
    price = Decimal(fault.price) if fault.price is not None else None
    arguments: dict[str, tuple[object, ...]] = {
        "owner_order": (symbol, fault.side, Decimal(fault.quantity or "0"), price),
        "owner_close": (symbol,),
        "owner_cancel": (symbol,),
        "deleverage": (symbol, Decimal(fault.share)),
    }
    if fault.kind == "transfer":
        return lambda at: act(Decimal(fault.amount), at)
    return lambda at: act(*arguments.get(fault.kind, ()), at)
