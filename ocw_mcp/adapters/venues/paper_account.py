"""The paper venue's account: its money, its positions, its last prices, and the funding it pays and gets."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from ocw_mcp.core.matching.funding import ASSUMED_EVERY, ASSUMED_RATE, assumed_payment, next_stamp, payment
from ocw_mcp.core.orders.ledger import Ledger, LedgerState
from ocw_mcp.domain.market import Funding, Product
from ocw_mcp.domain.money import exact
from ocw_mcp.domain.orders import FundingPaid, Side

NEVER = 1 << 62


class PaperAccountState(msgspec.Struct):
    """An account, to be restored."""

    ledger: LedgerState
    last: dict[str, float]
    next_funding: int
    settled: dict[str, int]


class PaperAccount:
    """One account of one product. `leverage` is how many times the equity the venue lends against."""

    def __init__(self, product: Product, wallet: Decimal, leverage: Decimal) -> None:
        self.product = product
        self.ledger = Ledger(wallet)
        self.last: dict[str, float] = {}
        """Each symbol's last price, which is its mark, too."""
        self.next_funding = NEVER if product is Product.SPOT else 0
        """The next stamp (ms) at which funding is assumed where none is told."""
        self._settled: dict[str, int] = {}
        """The last stamp (ms) of each symbol whose funding is told."""
        self._leverage = leverage

    def affords(self, symbol: str, side: Side, quantity: Decimal, price: Decimal, fee: Decimal) -> bool:
        """Whether the money carries an entry at a price (quote), with its fee."""
        if self.product is Product.SPOT and side is Side.SELL:
            return quantity <= self.ledger.quantity(symbol)
        for held in self.ledger.positions:
            if held in self.last:
                self.ledger.mark(held, exact(self.last[held]))
        return quantity * price + fee <= self.ledger.equity() * self._leverage - self.ledger.gross()

    def settle_funding(self, until: int, told: Sequence[Funding]) -> list[FundingPaid]:
        """Settle what was `told`, then the assumed stamps up to `until` (ms) for symbols of which nothing ever was."""
        if self.product is Product.SPOT:
            return []
        reports: list[FundingPaid] = []
        for funding in told:
            if funding.at > self._settled.get(funding.symbol, -1):
                self._settled[funding.symbol] = funding.at
                reports += self._fund(funding.symbol, exact(funding.rate), funding.at, assumed=False)
        if not self.ledger.positions:
            self.next_funding = max(self.next_funding, next_stamp(until))
        while self.next_funding <= until:
            for symbol in sorted(self.ledger.positions.keys() - self._settled.keys()):
                reports += self._fund(symbol, ASSUMED_RATE, self.next_funding, assumed=True)
            self.next_funding += ASSUMED_EVERY
        return reports

    def state(self) -> PaperAccountState:
        """All of the account."""
        return PaperAccountState(self.ledger.state(), self.last, self.next_funding, self._settled)

    def restore(self, state: PaperAccountState) -> None:
        """Put back what `state` gave."""
        self.ledger.restore(state.ledger)
        self.last = state.last
        self.next_funding = state.next_funding
        self._settled = state.settled

    def _fund(self, symbol: str, rate: Decimal, at: int, *, assumed: bool) -> list[FundingPaid]:
        held = self.ledger.quantity(symbol)
        if not held:
            return []
        mark = exact(self.last[symbol])
        amount = assumed_payment(held, mark) if assumed else payment(held, mark, rate)
        self.ledger.fund(symbol, amount)
        return [FundingPaid(symbol, amount, rate, held, mark, at, assumed)]
