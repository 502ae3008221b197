"""Reports positions whose price has come near to their stop or target, so that the decider can still act.

Near means that at most the share `gate.near_exit` remains of the distance that the price had when the stop or target
was set. Each price of a stop or target is reported once; a changed one begins anew.
"""

from decimal import Decimal
from typing import NamedTuple

import msgspec

from ocw_mcp.core.market.market import Market
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.snapshot import WakeKind, WakeReason
from ocw_mcp.domain.stateful import Stateful
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.engine.guard import Guard


class ExitPrice(msgspec.Struct):
    """The stop or the target of a position."""

    price: Decimal
    distance: float
    """The distance (quote) of the symbol's price when the stop or target was set."""
    reported: bool = False


class NearExitsState(msgspec.Struct):
    """The stops and targets of the open positions, by symbol, under `stop` and `target`."""

    exits: dict[str, dict[str, ExitPrice]] = {}


class WatchedExits(NamedTuple):
    """The stop and the target of a position as of its last check."""

    stop: Decimal
    target: Decimal | None
    waiting: list[tuple[float, float]]
    """The price (quote) of each that is not reported, and the distance from it that is near."""

    def calm(self, stop: Decimal, target: Decimal | None, price: float) -> bool:
        """Return whether stop and target are the same objects, and a price (quote) is near to none."""
        if stop is not self.stop or target is not self.target:
            return False
        for level, near in self.waiting:  # noqa: SIM110 - a generator is slower
            if abs(price - level) <= near:
                return False
        return True


class NearExits(Stateful[NearExitsState]):
    """Finds the positions that are near to their stop or target."""

    def __init__(self, market: Market, guard: Guard) -> None:
        super().__init__(NearExitsState())
        self._market = market
        self._guard = guard
        policy = guard.manager.config.policies.gate
        self._share, self._near_stop = policy.near_exit, policy.near_stop
        self._watched: dict[str, WatchedExits] = {}
        """The stops and targets as of each symbol's last check, to be fast."""

    def check(self) -> list[tuple[str, WakeReason]]:
        """Return a wake reason for each stop or target that the price has come near to since the last check."""
        found: list[tuple[str, WakeReason]] = []
        exits, held = self._state.exits, self._guard.manager.account.ledger.positions
        for symbol in exits.keys() - held.keys():
            del exits[symbol]
            self._watched.pop(symbol, None)
        for symbol in sorted(held):
            protection, price = self._guard.protections.get(symbol), self._market.symbols[symbol].last
            if protection is None or isinstance(price, Unknown):
                continue
            watched = self._watched.get(symbol)
            if watched is not None and watched.calm(protection.trigger, protection.target, price):
                continue
            known = exits.setdefault(symbol, {})
            for name, level in (("stop", protection.trigger), ("target", protection.target)):
                if level is None:
                    known.pop(name, None)
                    continue
                distance, before = abs(price - float(level)), known.get(name)
                if before is None or before.price != level:
                    known[name] = ExitPrice(level, distance)
                elif not before.reported and distance <= self._share * before.distance:
                    before.reported = True
                    found.append((symbol, WakeReason(WakeKind.NEAR, name, f"{plain(level)}, price {price:.10g}")))
            waiting = [(float(each.price), self._share * each.distance) for each in known.values() if not each.reported]
            self._watched[symbol] = WatchedExits(protection.trigger, protection.target, waiting)
        return found

    def restore(self, state: NearExitsState, /) -> None:
        """Restore a state that `state` returned."""
        super().restore(state)
        self._watched.clear()

    def near_stop(self, symbol: str) -> bool:
        """Return whether a symbol has a position whose stop is within the share `gate.near_stop` of the price."""
        protection, price = self._guard.protections.get(symbol), self._market.symbols[symbol].last
        if protection is None or isinstance(price, Unknown):
            return False
        return abs(float(protection.trigger) / price - 1) <= self._near_stop
