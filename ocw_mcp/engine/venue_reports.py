"""What the engine does with each report of its venue: on orders, on money, on the account, and on the connection."""

from ocw_mcp.core.orders.table import invalid_report
from ocw_mcp.domain.events import Incident
from ocw_mcp.domain.orders import (
    Accepted,
    AccountSeen,
    Filled,
    FundingPaid,
    OrderReport,
    OutsideFill,
    Rejected,
    RejectReason,
    Throttled,
    Transferred,
    Triggered,
    VenueNotice,
    VenueNoticeKind,
    VenueReport,
)
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.time import iso
from ocw_mcp.engine.chase import ChasedEntries
from ocw_mcp.engine.guard import Guard
from ocw_mcp.engine.outside_trades import OutsideTrades
from ocw_mcp.engine.reconciling import Reconciler


class VenueReports:
    """Takes the reports of the venue, one at a time."""

    def __init__(self, guard: Guard, chased: ChasedEntries) -> None:
        self._guard = guard
        self._chased = chased
        self._manager = guard.manager
        self._account = guard.manager.account
        self._effects = guard.manager.effects
        self._outside = OutsideTrades(guard)
        self._reconciler = Reconciler(guard, self._outside)

    def take(self, report: VenueReport, now: int) -> bool:
        """Take a report. Return whether it changed positions, orders or money, so that the limits have to be checked.

        A report with an impossible amount is an incident, and nothing of it is booked.
        """
        if why := invalid_report(report):
            self._manager.lower(f"the venue reported {why} ({type(report).__name__}); nothing of it was booked")
            return False
        match report:
            case FundingPaid(at=at) | Transferred(at=at) | OutsideFill(at=at) if at <= self._account.exchange.found_at:
                # The account with which the book began contains it; a restart soon after may report it.
                return False
            case FundingPaid(at=at):
                self._moved(at)
                return self._account.book_funding(report)
            case Transferred(at=at):
                self._moved(at)
                return self._account.book_transfer(report)
            case OutsideFill(symbol=symbol, at=at):
                self._traded(symbol, at)
                self._outside.take(report, now)
                return True
            case AccountSeen():
                self._reconciler.take(report, now)
                return True
            case Throttled():
                self._slow_down(report, now)
                return False
            case VenueNotice():
                self._notice(report)
                return False
            case _:
                return self.take_order_report(report, now)

    def take_order_report(self, report: OrderReport, now: int) -> bool:
        """Apply a report on an order, of the venue or of a person. Return whether it changed anything."""
        exchange = self._account.exchange
        if self._manager.config.on_exchange and isinstance(report, Accepted | Triggered):
            # A report of the account has a time of the exchange, which engine time follows only while it is known.
            exchange.heard_at[str(report.ref)] = now if report.at is None else report.at
        change = self._manager.apply(report, now)
        if change is None:
            return False
        if isinstance(report, Filled):
            self._traded(change.tracked.order.symbol, report.traded_at)
        self._guard.on_report(change, now)
        self._chased.on_report(change, now)
        match report:
            case Rejected(_, RejectReason.ONLY_REDUCTIONS, text):
                self._manager.lower(f"the exchange takes only reductions: {text}")
        return True

    def resume(self, now: int) -> bool:
        """Compare a report of the account that waited for a price, if there is one; return whether there was."""
        if self._account.exchange.waiting is None:
            return False
        self._reconciler.take_waiting(now)
        return True

    def _traded(self, symbol: str, at: int) -> None:
        """Note the time (ms) of a trade: a report of the account that is older cannot be compared with it."""
        if self._manager.config.on_exchange:
            known = self._account.exchange.traded_at
            known[symbol] = max(at, known.get(symbol, -1))
            self._moved(at)

    def _moved(self, at: int) -> None:
        exchange = self._account.exchange
        exchange.moved_at = max(at, exchange.moved_at)

    def _slow_down(self, report: Throttled, now: int) -> None:
        exchange = self._account.exchange
        if exchange.busy_until <= now < report.until:
            self._effects.record(Incident(f"the exchange takes no entries until {iso(report.until)}: {report.why}"))
        exchange.busy_until = max(exchange.busy_until, report.until)
        self._account.version += 1

    def _notice(self, notice: VenueNotice) -> None:
        """Take what the adapter reports about its connection, or about the settings of the account."""
        exchange, detail = self._account.exchange, notice.detail
        self._account.version += 1
        match notice.kind:
            case VenueNoticeKind.CONNECTING:
                exchange.read, exchange.resumed = False, True
                self._manager.names.skip()
            case VenueNoticeKind.DEGRADED:
                if not exchange.degraded:
                    self._effects.record(Incident(f"the account cannot be seen at once: {detail}"))
                    # A resting entry that fills unseen would have no stop.
                    self._manager.cancel_entries("its fill could not be seen at once")
                exchange.degraded, exchange.read = detail, False
            case VenueNoticeKind.RESTORED:
                if exchange.degraded:
                    self._effects.record(Incident(f"the account can be seen at once again: {detail}"))
                exchange.degraded = ""
            case VenueNoticeKind.ONLY_REDUCTIONS:
                self._manager.lower(f"the exchange takes only reductions: {detail}")
            case VenueNoticeKind.HALT:
                self._effects.record(Incident(detail))
                self._account.change_state(TradingState.HALTED, detail)
                self._manager.cancel_entries("halted")
            case VenueNoticeKind.INCIDENT:
                self._effects.record(Incident(detail))
