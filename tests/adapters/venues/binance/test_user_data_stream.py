"""The user data stream: its listen key, reconnections, its daily renewal, and silence with REST as second witness."""

import asyncio
from typing import Any

import pytest

from ocw_mcp.adapters.venues.binance.errors import Refused
from ocw_mcp.adapters.venues.binance.listen_key import ListenKeyChannel
from ocw_mcp.adapters.venues.binance.queries import Queries
from ocw_mcp.adapters.venues.binance.user_stream import UserStream
from ocw_mcp.domain.orders import AccountSeen, OutsideFill, VenueNotice, VenueNoticeKind
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.binance_venue import BTC, VenueRig, entry, on_venue

USER = "user@*"


def connections(rig: VenueRig) -> int:
    """Return how often a listen key was requested: once for each connection."""
    return sum(each["method"] == "POST" for each in rig.keys)


def texts(rig: VenueRig) -> list[str]:
    return [each.detail for each in rig.of(VenueNotice) if each.kind is VenueNoticeKind.DEGRADED]


def test_dropped_stream_is_opened_again_and_nothing_is_lost() -> None:
    async def use(rig: VenueRig) -> None:
        ref = await rig.send(entry())
        await rig.later(2)
        rig.fault("refuse", **{"for": "20s"})
        rig.fault("drop")
        await rig.later(2)
        assert rig.notices() == ["degraded"]
        rig.fault("owner_close", symbol=BTC)
        await rig.until(lambda: rig.notices() == ["degraded", "restored"], 60)
        kinds = [type(each) for each in rig.reports]
        restored = kinds.index(VenueNotice, kinds.index(VenueNotice) + 1)
        assert kinds.index(OutsideFill) < restored
        assert AccountSeen in kinds[kinds.index(OutsideFill) : restored]
        assert rig.seen.positions == ()
        assert rig.filled(ref) > 0

    on_venue(use)


def test_expired_listen_key_is_replaced() -> None:
    async def use(rig: VenueRig) -> None:
        rig.fault("key_expired")
        await rig.until(lambda: rig.notices() == ["degraded", "restored"], 15)
        assert "listen key has expired" in texts(rig)[0]
        rig.fault("owner_order", symbol=BTC, side="BUY", quantity="0.01")
        await rig.until(lambda: rig.of(OutsideFill), 3)

    on_venue(use)


@pytest.mark.parametrize("stream", [USER, "user@ORDER_TRADE_UPDATE"])
def test_silent_stream_is_replaced_when_rest_shows_a_change(stream: str) -> None:
    async def use(rig: VenueRig) -> None:
        await rig.later(1)
        rig.fault("mute", **{"for": "40s", "stream": stream})
        rig.fault("owner_order", symbol=BTC, side="BUY", quantity="0.01")
        await rig.until(lambda: "restored" in rig.notices(), 70)
        assert rig.notices()[:2] == ["degraded", "restored"]
        assert "mute" in texts(rig)[0]
        assert len(rig.of(OutsideFill)) == 1

    on_venue(use)


def test_silent_stream_of_a_silent_account_is_left_alone() -> None:
    async def use(rig: VenueRig) -> None:
        await rig.later(10 * 60)
        assert rig.notices() == []
        assert connections(rig) == 1

    on_venue(use)


class Quiet:
    """An exchange whose streams are open and say nothing: the requests of its listen key, and its connections."""

    def __init__(self, *, lost: bool) -> None:
        self.lost = lost
        """Whether its listen key is lost before the first extension."""
        self.requests: list[str] = []
        self.open: list[Quiet.Connection] = []
        self.most_open = 0

    class Connection:
        def __init__(self, exchange: "Quiet") -> None:
            self._exchange = exchange

        async def receive(self) -> list[str]:
            await asyncio.get_running_loop().create_future()
            return []

        async def send(self, text: str) -> None: ...

        async def close(self) -> None:
            self._exchange.open.remove(self)

    async def call(self, method: str, path: str, *_: Any, **__: Any) -> bytes:
        self.requests.append(method)
        if method == "PUT" and self.lost:
            raise Refused(-1125, "This listenKey does not exist.", 400)
        return b'{"listenKey": "key"}'

    def now_ms(self) -> int:
        return round(asyncio.get_running_loop().time() * 1_000)

    async def connect(self, path: str) -> "Quiet.Connection":
        assert path == "/private/ws?listenKey=key"
        self.open.append(Quiet.Connection(self))
        self.most_open = max(self.most_open, len(self.open))
        return self.open[-1]


def after(hours: float, *, lost: bool = False) -> tuple[Quiet, list[bool]]:
    """Return a quiet exchange after some hours, and the changes of the stream."""
    changes: list[bool] = []

    async def main() -> Quiet:
        quiet = Quiet(lost=lost)
        channel = ListenKeyChannel(Queries(quiet), quiet.connect)
        stream = UserStream(channel, quiet.now_ms, lambda said: None, lambda up, why: changes.append(up), lambda: 0.5)
        task = asyncio.ensure_future(stream.run())
        await asyncio.wait({task}, timeout=hours * 3_600)
        assert len(quiet.open) == 1
        task.cancel()
        await asyncio.wait({task})
        assert quiet.open == []
        return quiet

    return run_in_virtual_time(main()), changes


def test_listen_key_is_extended_every_25_minutes() -> None:
    quiet, changes = after(5.1)
    assert quiet.requests == ["POST"] + 12 * ["PUT"]
    assert changes == [True]


def test_lost_listen_key_is_noticed_at_its_extension() -> None:
    quiet, changes = after(0.8, lost=True)
    assert quiet.requests == ["POST", "PUT", "POST"]
    assert changes == [True, False, True]


def test_connection_is_renewed_each_day_without_a_hole() -> None:
    quiet, changes = after(50)
    assert quiet.requests.count("POST") == 3
    assert quiet.most_open == 2
    assert changes == [True]


def test_closed_venue_leaves_no_task_behind() -> None:
    async def use(rig: VenueRig) -> int:
        rig.fault("refuse", **{"for": "1h", "rest": True})
        await rig.later(100)
        await rig.close()
        return len(asyncio.all_tasks())

    assert on_venue(use) == 1
