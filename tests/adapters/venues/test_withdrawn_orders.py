"""A reduction that waits for the end of a ban is withdrawn by a cancel, on both products alike."""

import asyncio

import pytest

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Purpose, Rejected, RejectReason, Side, VenueReport
from ocw_mcp.runtime.clock import LiveClock
from ocw_mcp.runtime.outbox import Outbox
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.adapters.venues.conformance import hold
from tests.adapters.venues.exchange_stage import ExchangeStage, binance_venue
from tests.adapters.venues.papers import ETH, cleared_order


class StageClock(LiveClock):
    """The time of a stage."""

    def __init__(self, stage: ExchangeStage) -> None:
        super().__init__()
        self._stage = stage

    def present(self) -> int:
        return self._stage.now


@pytest.mark.requirement("L02")
@pytest.mark.parametrize("product", Product)
def test_cancel_during_a_ban_drops_the_stop_at_once(product: Product) -> None:
    async def play() -> tuple[list[Rejected], list[VenueReport], bool]:
        stage = ExchangeStage(product, binance_venue)
        await stage.begin()
        quantity = await hold(stage)
        not_sent: list[VenueReport] = []
        outbox = Outbox(
            stage.venue,
            StageClock(stage),
            not_sent.append,
            lambda cleared, now: cleared,
            stops_lock=product is Product.SPOT,
        )
        outbox.open()
        stage.exchange.add_fault({"kind": "ban", "for": "4m"}, stage.now)
        stop = cleared_order(Side.SELL, quantity, Purpose.STOP, now=stage.now, product=product, trigger="900")
        outbox.send(stop, 0.0)
        await asyncio.sleep(5)  # noqa: TID251 - virtual time
        outbox.cancel(stop.order.ref, ETH)
        await asyncio.sleep(0.1)  # noqa: TID251 - virtual time
        busy = outbox.busy
        said = [each for each in await stage.moves(1_000.0) if isinstance(each, Rejected)]
        await outbox.close()
        await stage.end()
        return said, not_sent, busy

    (rejected,), not_sent, busy = run_in_virtual_time(play())
    assert rejected.reason is RejectReason.NOT_SENT
    assert rejected.text.startswith("cancelled before it was sent")
    assert (not_sent, busy) == ([], False)
