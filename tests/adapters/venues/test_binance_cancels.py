"""Cancels and withdrawn orders of futures on the sandbox exchange."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from ocw_mcp.domain.orders import (
    Canceled,
    CancelRefused,
    OrderRef,
    Purpose,
    Side,
)
from ocw_mcp.domain.time import SECOND
from tests.support.binance_account import SandboxAccount, enter, on_sandbox, order, outcomes
from tests.support.exchange import NOW

D = Decimal
ENTRY, STOP, TARGET, EXIT = Purpose.ENTRY, Purpose.STOP, Purpose.TARGET, Purpose.EXIT
SELL = Side.SELL


def test_cancel_of_a_reduction_that_waits_for_the_end_of_a_ban_drops_it() -> None:
    async def use(account: SandboxAccount) -> Any:
        await enter(account)
        account.exchange.add_fault({"kind": "ban", "for": "2m"}, account.transport.exchange_ms())
        stop = order(STOP, SELL, trigger_price=account.price() - 2_000)
        sending = asyncio.create_task(account.send(stop))
        await asyncio.sleep(30)  # noqa: TID251 - virtual time
        await account.cancel(stop.ref)
        return outcomes(await sending), account.state()["algoOrders"]

    assert on_sandbox(use) == (["Throttled", "NOT_SENT"], [])


@pytest.mark.parametrize("is_sent", [True, False])
def test_withdrawn_order_is_not_sent_again_and_its_cancel_follows(is_sent: bool) -> None:
    async def use(account: SandboxAccount) -> Any:
        await enter(account)
        if not is_sent:
            account.exchange.add_fault({"kind": "ban", "for": "2m"}, account.transport.exchange_ms())
        stop = order(STOP, SELL, trigger_price=account.price() - 2_000)
        sending = asyncio.create_task(account.send(stop))
        await asyncio.sleep(0)  # noqa: TID251 - virtual time
        # Its request is under way, and nobody knows yet whether it will have to wait.
        account.sender.withdraw(stop.ref)
        said = outcomes(await sending)
        took = account.transport.exchange_ms() - NOW
        return said, outcomes(await account.cancel(stop.ref)), account.state()["algoOrders"], took < SECOND

    expected = (["Accepted"], ["Canceled"]) if is_sent else (["Throttled", "NOT_SENT"], [])
    assert on_sandbox(use) == (*expected, [], True)


def test_entry_withdrawn_while_its_leverage_is_set_is_not_sent() -> None:
    async def use(account: SandboxAccount) -> Any:
        entry = order(leverage=7)
        sending = asyncio.create_task(account.send(entry))
        await asyncio.sleep(0)  # noqa: TID251 - virtual time
        account.sender.withdraw(entry.ref)
        return outcomes(await sending), outcomes(await account.cancel(entry.ref)), account.placed

    assert on_sandbox(use) == (["NOT_SENT"], [], 0)


def test_withdrawal_of_an_order_that_is_not_being_sent_does_nothing() -> None:
    async def use(account: SandboxAccount) -> Any:
        live = order(limit_price=account.price() - 1_000)
        account.sender.withdraw(live.ref)
        await account.send(live)
        account.sender.withdraw(live.ref)
        return outcomes(await account.cancel(live.ref)), account.state()["orders"]

    assert on_sandbox(use) == (["Canceled"], [])


@pytest.mark.parametrize("kind", ["order", "algo"])
def test_cancel_of_a_live_order_is_reported(kind: str) -> None:
    async def use(account: SandboxAccount) -> Any:
        await enter(account)
        below = account.price() - 1_000
        live = order(STOP, SELL, trigger_price=below) if kind == "algo" else order(limit_price=below)
        await account.send(live)
        reports = await account.cancel(live.ref)
        return [type(each) for each in reports], account.state()["orders"], account.state()["algoOrders"]

    assert on_sandbox(use) == ([Canceled], [], [])


def test_cancel_of_a_partly_filled_order_leaves_the_report_to_the_look_up() -> None:
    async def use(account: SandboxAccount) -> Any:
        await account.client.measure_time()
        account.exchange.add_fault({"kind": "transfer", "amount": "10000000"}, account.transport.exchange_ms())
        ask = account.best_ask()
        live = order(quantity=str(ask.quantity * 2), limit_price=ask.price)
        await account.send(live)
        (resting,) = account.state()["orders"]
        return await account.cancel(live.ref), account.witness.looked_up, D(resting["executedQty"])

    reports, looked_up, executed = on_sandbox(use)
    assert executed > 0
    assert (reports, [ref for ref, _ in looked_up]) == ([], [OrderRef(1, ENTRY)])


def test_refused_cancel_is_reported_and_the_order_is_looked_up() -> None:
    async def use(account: SandboxAccount) -> Any:
        await account.send(order())
        return await account.cancel(OrderRef(1, ENTRY)), account.witness.looked_up

    reports, looked_up = on_sandbox(use)
    assert [type(each) for each in reports] == [CancelRefused]
    assert [ref for ref, _ in looked_up] == [OrderRef(1, ENTRY)]


def test_cancel_without_an_answer_is_asked_again() -> None:
    async def use(account: SandboxAccount) -> Any:
        live = order(limit_price=account.price() - 1_000)
        await account.send(live)
        return [type(each) for each in await account.cancel(live.ref)], account.state()["orders"]

    fault = {"kind": "order_drop", "method": "DELETE", "at": "0ms", "for": "1s"}
    assert on_sandbox(use, fault) == ([Canceled], [])


def test_cancel_of_an_order_that_nothing_is_known_of_starts_a_look_up() -> None:
    async def use(account: SandboxAccount) -> Any:
        return await account.cancel(OrderRef(7, STOP)), account.witness.looked_up, account.transport.requests

    reports, looked_up, requests = on_sandbox(use)
    assert [type(each) for each in reports] == [CancelRefused]
    assert [ref for ref, _ in looked_up] == [OrderRef(7, STOP)]
    assert requests == []
