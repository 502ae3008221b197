"""What the engine knows of its account at an exchange, and why no entry may be sent there now."""

from decimal import Decimal

import msgspec

from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.orders import AccountSeen, Balance


class ExchangeAccount(msgspec.Struct):
    """The account as the exchange reported it last. On paper nothing of it is set but `adopted` and `elsewhere`."""

    found: bool = False
    """Whether the account was taken over, at its first report."""
    found_at: int = -1
    """The exchange's time (ms) of that report: it contains whatever happened until then."""
    read: bool = False
    """Whether the account was compared with the books since the exchange was connected, or its view was degraded; true
    on paper, which has no account outside of the books."""
    resumed: bool = False
    """Whether the process was started again, and has not compared the account with the books since."""
    seen_at: int = -1
    """The exchange's time (ms) of the last report that was compared."""
    degraded: str = ""
    """Why the account cannot be seen at once; empty if it can."""
    busy_until: int = 0
    """The time (ms) until which the exchange takes no entries."""
    balances: tuple[Balance, ...] = ()
    differences: dict[str, Decimal] = {}
    """By symbol, the quantity (base asset) by which the exchange's position differs from the books."""
    quote_difference: Decimal = ZERO
    """The amount (quote) by which the exchange's balance differs from the books."""
    quote_differs_since: int = -1
    """The exchange's time (ms) of the first report with that difference."""
    corrected: bool = False
    """Whether a position was corrected, at a price that is a guess, since the balance agreed last."""
    missing: list[str] = []
    """The live orders that the last report did not show."""
    unsettled: list[str] = []
    """The live orders that the last two reports did not show."""
    stray: dict[str, bool] = {}
    """The finished orders of this book that the last report showed as live, and whether they are being cancelled."""
    foreign: list[str] = []
    """The exchange's ids of the live orders that are not of this book."""
    elsewhere: dict[str, Decimal] = {}
    """The positions (signed, base asset) on the account that are not in the books, by symbol."""
    shared: list[str] = []
    """On spot: the symbols of whose base asset the account had more than the books, when it was last compared while no
    exit was under way. There, an order for the whole position could sell what is not the book's."""
    margin_elsewhere: Decimal = ZERO
    """The margin (quote) of the positions that are not in the books, which no entry can use."""
    adopted: list[str] = []
    """The symbols whose position in the books was opened by others."""
    waiting: AccountSeen | None = None
    """The last report, while a symbol of it has no price yet."""
    traded_at: dict[str, int] = {}
    """The exchange's time (ms) of the last known trade of each symbol."""
    moved_at: int = -1
    """The exchange's time (ms) of the last known change of the quote balance."""
    heard_at: dict[str, int] = {}
    """The exchange's time (ms) of its last report on each live order."""

    def objection(self) -> str:
        """Return why no entry may be sent in any symbol; empty if the books agree with the account."""
        if self.degraded:
            return self.degraded
        if not self.read:
            return "the account was not read yet" if self.waiting is None else "a position on the account has no price"
        if self.differences:
            symbol, by = next(iter(sorted(self.differences.items())))
            return f"the position in {symbol} differs by {plain(by)}"
        if self.unsettled:
            return f"order {self.unsettled[0]} is not among the orders at the exchange"
        if (stray := next((name for name, asked in self.stray.items() if asked), "")) != "":
            return f"order {stray} is live at the exchange, but finished in the books"
        return f"the balance differs by {plain(self.quote_difference)}" if self.quote_difference else ""

    def stands_in(self, symbol: str) -> str:
        """Return what stands of a position that the book did not open in a symbol; empty if there is none."""
        if symbol in self.elsewhere:
            return f"{plain(self.elsewhere[symbol])}, not in the books"
        return "one under the stop of this book" if symbol in self.adopted else ""

    def adopt(self, symbol: str) -> None:
        """Note that others opened the position of a symbol."""
        if symbol not in self.adopted:
            self.adopted = [*self.adopted, symbol]

    def forget(self, symbol: str) -> None:
        """Note that a symbol is flat."""
        if symbol in self.adopted:
            self.adopted = [each for each in self.adopted if each != symbol]
