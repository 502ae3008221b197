"""The venue of a replay of a book on an exchange: it has the filters of its symbols, and takes no order."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from ocw_mcp.adapters.venues.instruments import PaperInstruments
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.errors import InvariantError
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.orders import OrderRef, VenueReport
from ocw_mcp.domain.protocols import KnownOrder


class SilentVenue:
    """An exchange venue that is never opened. What the exchange reported is in the inputs that are repeated."""

    name = "replay"

    def __init__(self, product: Product) -> None:
        self._instruments = PaperInstruments(product)

    def instrument(self, symbol: str, price: float) -> Instrument:
        """Return the filters that the exchange reported last; before the first report, those that are known."""
        return self._instruments.get(symbol, price)

    def set_instruments(self, instruments: Sequence[Instrument]) -> None:
        """Use the filters that the exchange reported."""
        for each in instruments:
            self._instruments.set(each)

    async def open(self, orders: Sequence[KnownOrder], since: int | None) -> None:
        """Raise InvariantError: a replay opens no exchange."""
        raise _closed("open a connection")

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        """Raise InvariantError: a replay sends no order."""
        raise _closed("send an order")

    async def cancel(self, ref: OrderRef, now: int) -> None:
        """Raise InvariantError: a replay cancels no order."""
        raise _closed("cancel an order")

    def withdraw(self, ref: OrderRef) -> None:
        """Raise InvariantError: a replay has no order under way."""
        raise _closed("withdraw an order")

    async def reports(self) -> AsyncIterator[VenueReport]:
        """Yield nothing."""
        await asyncio.Event().wait()
        yield  # type: ignore[misc]

    async def close(self) -> None:
        """Do nothing."""


def _closed(what: str) -> InvariantError:
    return InvariantError(f"a replay of a recording tried to {what}; it must only repeat inputs")
