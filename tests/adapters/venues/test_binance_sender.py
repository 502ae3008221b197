"""Orders and cancels of futures on the sandbox exchange: what is sent, and what the answers prove."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.adapters.binance.transport import RestResponse
from ocw_mcp.adapters.venues.binance.errors import CODES
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    CancelRefused,
    OrderRef,
    OutcomeUnknown,
    Purpose,
    Rejected,
    RejectReason,
    Side,
    Throttled,
    VenueNotice,
    VenueNoticeKind,
)
from ocw_mcp.domain.time import MINUTE, SECOND
from tests.support.binance_account import BTC, SandboxAccount, enter, on_sandbox, order, outcomes
from tests.support.exchange import NOW

D = Decimal
ENTRY, STOP, TARGET, EXIT = Purpose.ENTRY, Purpose.STOP, Purpose.TARGET, Purpose.EXIT
SELL = Side.SELL
SHORTLY = {"at": "0ms", "for": "2s"}


def test_market_order_is_accepted_under_its_client_id() -> None:
    async def use(account: SandboxAccount) -> Any:
        reports = await account.send(order())
        found = await account.asks("GET", "/fapi/v1/order", symbol=BTC, origClientOrderId="ocw-abc234-1-e-0")
        return reports, str(found["orderId"]), found["status"]

    reports, number, status = on_sandbox(use)
    assert reports == [Accepted(OrderRef(1, ENTRY), number)]
    assert status == "FILLED"


@pytest.mark.parametrize(
    ("changes", "in_force"), [({}, "GTC"), ({"post_only": True}, "GTX"), ({"immediate": True}, "IOC")]
)
def test_limit_order_rests_as_long_as_it_was_meant_to(changes: dict[str, Any], in_force: str) -> None:
    async def use(account: SandboxAccount) -> Any:
        below = account.price() - 2_000
        reports = await account.send(order(limit_price=below, **changes))
        found = await account.asks("GET", "/fapi/v1/order", symbol=BTC, origClientOrderId="ocw-abc234-1-e-0")
        return outcomes(reports), found["timeInForce"]

    expected = ["Accepted", "Canceled"] if in_force == "IOC" else ["Accepted"]
    assert on_sandbox(use) == (expected, in_force)


def test_stop_and_target_are_algo_orders_on_the_mark_price() -> None:
    async def use(account: SandboxAccount) -> Any:
        await enter(account)
        price = account.price()
        stop = await account.send(order(STOP, SELL, trigger_price=price - 1_000))
        target = await account.send(order(TARGET, SELL, trigger_price=price + 1_000))
        return outcomes(stop + target), account.state()["algoOrders"]

    said, resting = on_sandbox(use)
    assert said == ["Accepted", "Accepted"]
    assert [each["orderType"] for each in resting] == ["STOP_MARKET", "TAKE_PROFIT_MARKET"]
    assert all(each["workingType"] == "MARK_PRICE" and each["reduceOnly"] for each in resting)
    assert [each["clientAlgoId"] for each in resting] == ["ocw-abc234-1-s-0", "ocw-abc234-1-t-0"]


def test_stop_of_the_whole_position_has_no_quantity_and_exists_once() -> None:
    async def use(account: SandboxAccount) -> Any:
        trigger = account.price() - 1_000
        flat = await account.send(order(STOP, SELL, trigger_price=trigger, close_position=True))
        await enter(account)
        first = await account.send(order(STOP, SELL, trigger_price=trigger, close_position=True, revision=1))
        second = await account.send(order(STOP, SELL, trigger_price=trigger, close_position=True, revision=2))
        return outcomes(flat), outcomes(first), outcomes(second), account.state()["algoOrders"], account.witness

    flat, first, second, resting, witness = on_sandbox(use)
    assert (flat, first, second) == (["NO_POSITION"], ["Accepted"], ["STOP_EXISTS"])
    assert [(each["quantity"], each["closePosition"]) for each in resting] == [("0.000", True)]
    assert len(witness.reconciled) == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"quantity": "0.0001"}, "FILTER"),
        ({"quantity": "90"}, "INSUFFICIENT_MARGIN"),
        ({"symbol": "NOPEUSDT"}, "NOT_TRADING"),
        ({"purpose": EXIT, "side": SELL}, "REDUCE_ONLY"),
        ({"limit_price": "1000000", "post_only": True}, "FILTER"),
        ({"trigger_price": "1000000", "purpose": STOP, "side": SELL}, "WOULD_TRIGGER_IMMEDIATELY"),
    ],
)
def test_refused_order_is_rejected_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    async def use(account: SandboxAccount) -> Any:
        account.sender.leverage_seen("NOPEUSDT", 20)
        reports = await account.send(order(**changes))
        return outcomes(reports), account.witness.looked_up, len(account.known)

    assert on_sandbox(use) == ([reason], [], 0)


def test_post_only_order_that_would_take_is_rejected() -> None:
    async def use(account: SandboxAccount) -> Any:
        return outcomes(await account.send(order(limit_price=account.price() + 500, post_only=True)))

    assert on_sandbox(use) == ["WOULD_TAKE"]


def test_exit_beside_a_resting_reduction_of_all_is_blocked() -> None:
    async def use(account: SandboxAccount) -> Any:
        await enter(account)
        await account.send(order(TARGET, SELL, limit_price=account.price() + 5_000))
        return outcomes(await account.send(order(EXIT, SELL))), len(account.witness.reconciled)

    assert on_sandbox(use) == (["BLOCKED_BY_ORDERS"], 1)


@pytest.mark.parametrize("executed", [True, False])
def test_lost_answer_is_an_unknown_outcome_and_nothing_is_resent(executed: bool) -> None:
    async def use(account: SandboxAccount) -> Any:
        reports = await account.send(order())
        return reports, account.witness.looked_up, account.placed, bool(account.state()["positions"])

    fault = {"kind": "order_drop", "executed": executed, **SHORTLY}
    reports, looked_up, placed, has_position = on_sandbox(use, fault)
    assert [type(each) for each in reports] == [OutcomeUnknown]
    assert [ref for ref, _ in looked_up] == [OrderRef(1, ENTRY)]
    assert (placed, has_position) == (1, executed)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("timeout", ["OutcomeUnknown"]),
        ("unknown", ["OutcomeUnknown"]),
        ("unavailable", ["OVERLOADED"]),
        ("internal", ["OVERLOADED"]),
        ("overloaded", ["OVERLOADED"]),
        ("reductions_only", ["ONLY_REDUCTIONS", "VenueNotice"]),
        ("cooling_off", ["ONLY_REDUCTIONS", "VenueNotice"]),
    ],
)
def test_error_of_an_entry_is_unknown_or_definite_as_documented(answer: str, expected: list[str]) -> None:
    async def use(account: SandboxAccount) -> Any:
        return outcomes(await account.send(order())), account.placed

    assert on_sandbox(use, {"kind": "order_error", "answer": answer, **SHORTLY}) == (expected, 1)


def test_reduction_that_was_refused_by_overload_is_sent_again_until_it_passes() -> None:
    async def use(account: SandboxAccount) -> Any:
        await enter(account)
        account.exchange.add_fault({"kind": "order_error", "answer": "unavailable", "for": "2s"}, NOW + SECOND)
        await asyncio.sleep(1)  # noqa: TID251 - virtual time
        return outcomes(await account.send(order(EXIT, SELL))), account.placed, account.state()["positions"]

    said, placed, positions = on_sandbox(use)
    assert (said, positions) == (["Accepted"], [])
    assert placed > 3


def test_entry_that_did_not_leave_this_machine_is_rejected() -> None:
    async def use(account: SandboxAccount) -> Any:
        await account.client.measure_time()
        account.transport.offline_until = NOW + MINUTE
        return outcomes(await account.send(order())), account.witness.looked_up

    assert on_sandbox(use) == (["NOT_SENT"], [])


@pytest.mark.parametrize(("outage_s", "expected"), [(5, "Accepted"), (60, "NOT_SENT")])
def test_reduction_that_did_not_leave_is_tried_for_some_seconds(outage_s: int, expected: str) -> None:
    async def use(account: SandboxAccount) -> Any:
        await enter(account)
        account.transport.offline_until = NOW + outage_s * SECOND
        return outcomes(await account.send(order(EXIT, SELL)))

    assert on_sandbox(use) == [expected]


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b'{"orderId":1,"clientOrderId":"another","status":"NEW"}'])
def test_answer_that_cannot_be_read_is_an_unknown_outcome(body: bytes) -> None:
    async def use(account: SandboxAccount) -> Any:
        account.transport.answer = RestResponse(200, body, {})
        said = outcomes(await account.send(order()))
        return said, [type(each) for each in await account.cancel(OrderRef(1, ENTRY))], len(account.witness.looked_up)

    assert on_sandbox(use) == (["OutcomeUnknown"], [CancelRefused], 2)


ANSWERS = st.builds(
    RestResponse,
    st.sampled_from([200, 302, 400, 401, 403, 404, 408, 418, 429, 451, 500, 502, 503, 504]),
    st.one_of(
        st.binary(max_size=6),
        st.sampled_from([b"[]", b"null", b'{"orderId":1}', b'{"orderId":"x","clientOrderId":1}']),
        st.sampled_from(sorted(CODES)).map(lambda code: b'{"code":%d,"msg":"Service Unavailable."}' % code),
    ),
    st.sampled_from([{}, {"retry-after": "3"}, {"retry-after": "-"}, {"x-mbx-used-weight-1m": "9999999999"}]),
)


def test_stop_during_a_ban_without_an_end_is_given_back_to_the_engine() -> None:
    async def use(account: SandboxAccount) -> Any:
        await enter(account)
        account.transport.answer = RestResponse(418, b"", {})
        reports = await account.send(order(STOP, SELL, trigger_price=account.price() - 2_000))
        return outcomes(reports), account.transport.exchange_ms() - NOW

    said, after = on_sandbox(use)
    assert said == ["Throttled", "Throttled", "Throttled", "RATE_LIMITED"]
    assert 4 * MINUTE <= after <= 5 * MINUTE


@settings(max_examples=25, deadline=None)
@given(ANSWERS)
def test_every_answer_to_an_entry_gives_one_outcome(answer: RestResponse) -> None:
    async def use(account: SandboxAccount) -> Any:
        account.transport.answer = answer
        return await account.send(order()), account.witness.looked_up

    reports, looked_up = on_sandbox(use)
    settled = [each for each in reports if isinstance(each, Accepted | Rejected | OutcomeUnknown)]
    assert len(settled) == 1
    assert bool(looked_up) == isinstance(settled[0], OutcomeUnknown)


@settings(max_examples=20, deadline=None)
@given(ANSWERS)
def test_every_answer_to_a_cancel_ends_in_a_look_up_or_a_proof(answer: RestResponse) -> None:
    async def use(account: SandboxAccount) -> Any:
        live = order(limit_price=account.price() - 1_000)
        await account.send(live)
        account.transport.answer = answer
        return await account.cancel(live.ref), account.witness.looked_up

    reports, looked_up = on_sandbox(use)
    said = [each for each in reports if isinstance(each, Canceled | CancelRefused)]
    assert len(said) == 1
    assert bool(looked_up) == isinstance(said[0], CancelRefused)


def test_late_time_stamp_measures_the_clock_and_sends_once_more() -> None:
    async def use(account: SandboxAccount) -> Any:
        await account.client.measure_time()
        reports = await account.send(order())
        return outcomes(reports), account.placed, account.client.clock.measurements

    fault = {"kind": "order_error", "answer": "late", "at": "0ms", "for": "180ms"}
    assert on_sandbox(use, fault) == (["Accepted"], 2, 2)


def test_time_stamp_that_stays_wrong_is_a_rejection() -> None:
    async def use(account: SandboxAccount) -> Any:
        return outcomes(await account.send(order())), account.placed

    assert on_sandbox(use, {"kind": "order_error", "answer": "late", **SHORTLY}) == (["CLOCK"], 2)


def test_order_whose_id_exists_already_is_looked_up() -> None:
    async def use(account: SandboxAccount) -> Any:
        resting = order(limit_price=account.price() - 1_000)
        first = await account.send(resting)
        account.begin()
        second = await account.send(resting)
        return outcomes(first), outcomes(second), account.witness.looked_up, len(account.state()["orders"])

    first, second, looked_up, resting = on_sandbox(use)
    assert (first, second, resting) == (["Accepted"], ["OutcomeUnknown"], 1)
    assert "-4116" in looked_up[0][1]


@pytest.mark.requirement("L01")
def test_entry_while_requests_are_refused_is_rejected_and_reported_once() -> None:
    async def use(account: SandboxAccount) -> Any:
        return await account.send(order(n=1)) + await account.send(order(n=2)), account.placed

    reports, placed = on_sandbox(use, {"kind": "limit", "path": "/fapi/v1/order", "at": "0ms", "for": "2m"})
    assert outcomes(reports) == ["Throttled", "RATE_LIMITED", "RATE_LIMITED"]
    assert isinstance(reports[0], Throttled)
    assert NOW + MINUTE <= reports[0].until <= NOW + MINUTE + SECOND
    assert placed == 1


@pytest.mark.requirement("L02")
def test_stop_during_a_ban_is_sent_when_the_ban_ends() -> None:
    async def use(account: SandboxAccount) -> Any:
        await enter(account)
        account.exchange.add_fault({"kind": "ban", "for": "2m"}, account.transport.exchange_ms())
        reports = await account.send(order(STOP, SELL, trigger_price=account.price() - 2_000))
        return outcomes(reports), account.placed, account.transport.exchange_ms() - NOW

    said, placed, after = on_sandbox(use)
    assert said == ["Throttled", "Accepted"]
    assert placed == 3
    assert 2 * MINUTE <= after <= 2 * MINUTE + 2 * SECOND


def test_entries_leave_a_part_of_the_order_limit_to_reductions() -> None:
    async def use(account: SandboxAccount) -> Any:
        far = account.price() - 5_000
        reports = [outcomes(await account.send(order(n=n, quantity="0.003", limit_price=far))) for n in range(1, 182)]
        await enter_later(account)
        return reports[179], reports[180]

    async def enter_later(account: SandboxAccount) -> None:
        """A reduction passes although entries may not."""
        assert outcomes(await account.send(order(EXIT, SELL))) == ["REDUCE_ONLY"]

    assert on_sandbox(use, round_trip_ms=2) == (["Accepted"], ["Throttled", "RATE_LIMITED"])


def test_leverage_is_set_before_an_entry_only_if_it_differs() -> None:
    async def use(account: SandboxAccount) -> Any:
        for n, leverage in enumerate((20, 5, 5, 3), 1):
            assert outcomes(await account.send(order(n=n, leverage=leverage))) == ["Accepted"]
        await account.send(order(EXIT, SELL, leverage=10))
        found = await account.asks("GET", "/fapi/v1/symbolConfig", 5, symbol=BTC)
        return account.transport.requests.count("/fapi/v1/leverage"), found[0]["leverage"]

    assert on_sandbox(use) == (2, 3)


def test_entry_whose_leverage_is_refused_is_not_sent() -> None:
    async def use(account: SandboxAccount) -> Any:
        return outcomes(await account.send(order(leverage=500))), account.placed

    assert on_sandbox(use) == (["WRONG_SETTINGS"], 0)


def test_key_that_may_not_trade_halts_and_rejects() -> None:
    async def use(account: SandboxAccount) -> Any:
        keyring = account.exchange.exchange.account.keyring
        keyring.remove(keyring.first.key)
        return await account.send(order())

    rejected, notice = on_sandbox(use)
    assert isinstance(notice, VenueNotice)
    assert notice.kind is VenueNoticeKind.HALT
    assert isinstance(rejected, Rejected)
    assert rejected.reason is RejectReason.NOT_AUTHORISED
    assert "-2015" in rejected.text


def test_order_of_another_position_side_halts() -> None:
    async def use(account: SandboxAccount) -> Any:
        await account.asks("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true")
        return outcomes(await account.send(order()))

    assert on_sandbox(use) == ["WRONG_SETTINGS", "VenueNotice"]
