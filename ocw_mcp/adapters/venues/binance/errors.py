"""What the exchange's answers mean: a table of its error codes, and the three ways in which a call fails.

CallFailed
├── Refused      the exchange did not do it
├── Banned       the exchange, or the reserve for reductions, takes no such request for a time
└── Unanswered   it is unknown whether the exchange did it, or nothing was sent
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import RejectReason, VenueNoticeKind


class Outcome(StrEnum):
    """What became of a request."""

    REFUSED = "refused"
    UNKNOWN = "unknown"
    """The exchange may have executed it."""
    CLOCK = "clock"
    """Refused, because its time stamp does not fit the exchange's time."""
    BANNED = "banned"
    """Refused, because too many requests came from this address."""
    TOO_MANY_ORDERS = "too_many_orders"
    """Refused, because the account placed too many orders in a span of time."""
    ALREADY_THERE = "already_there"
    """Refused, because an order with this client id exists: the order itself, placed before."""
    NOT_FOUND = "not_found"
    """The exchange does not know the order, or not yet, or no longer as an open one."""
    UNCHANGED = "unchanged"
    """The setting had the value before."""


class Verdict(NamedTuple):
    """The meaning of an error."""

    outcome: Outcome
    reason: RejectReason = RejectReason.OTHER
    """The reason of a rejection if the request would place an order."""
    notice: VenueNoticeKind | None = None
    """What it also means for trading as a whole."""


class CallFailed(Exception):  # noqa: N818
    """A call had no success."""


class Refused(CallFailed):
    """The exchange proved that it did not do what was asked."""

    def __init__(self, code: int, text: str, status: int, verdict: Verdict | None = None) -> None:
        self.code, self.text, self.status = code, text, status
        self.verdict = verdict or Verdict(Outcome.REFUSED)
        super().__init__(f"{status} {code} {text}"[:200])

    @property
    def passes(self) -> bool:
        """Whether the cause passes by itself, so that the same request can succeed later: clock, load or limits."""
        return self.verdict.reason in (RejectReason.CLOCK, RejectReason.OVERLOADED, RejectReason.RATE_LIMITED)


class Banned(CallFailed):
    """The request was not executed, and one of its kind has to wait until `until_ms` (exchange time, ms)."""

    def __init__(self, until_ms: int, why: str) -> None:
        self.until_ms, self.why = until_ms, why
        super().__init__(why)


class Unanswered(CallFailed):
    """No usable answer came. If `sent` is false, no byte has left this machine, so the exchange did nothing."""

    def __init__(self, why: str, sent: bool) -> None:
        self.why, self.sent = why, sent
        super().__init__(why)


_R: Final = RejectReason
_UNKNOWN: Final = Verdict(Outcome.UNKNOWN)
_OVERLOADED: Final = Verdict(Outcome.REFUSED, _R.OVERLOADED)
_HALT: Final = VenueNoticeKind.HALT
_REDUCING: Final = VenueNoticeKind.ONLY_REDUCTIONS
_BANNED: Final = Verdict(Outcome.BANNED, _R.RATE_LIMITED)
_BY_STATUS: Final = {
    403: Verdict(Outcome.REFUSED, _R.NOT_AUTHORISED, _HALT),
    418: _BANNED,
    429: _BANNED,
    451: Verdict(Outcome.REFUSED, _R.NOT_AUTHORISED, _HALT),
}
"""Statuses that mean the same with and without a code of the exchange's own."""


def _refused(reason: RejectReason, *codes: int, notice: VenueNoticeKind | None = None) -> Mapping[int, Verdict]:
    return dict.fromkeys(codes, Verdict(Outcome.REFUSED, reason, notice))


CODES: Final[Mapping[int, Verdict]] = {
    **dict.fromkeys((-1000, -1001, -1006, -1007), _UNKNOWN),
    -1003: _BANNED,
    -1008: _OVERLOADED,
    -1015: Verdict(Outcome.TOO_MANY_ORDERS, _R.RATE_LIMITED),
    **dict.fromkeys((-1021, -5028), Verdict(Outcome.CLOCK, _R.CLOCK)),
    **dict.fromkeys((-2011, -2013), Verdict(Outcome.NOT_FOUND)),
    **dict.fromkeys((-4116, -20132), Verdict(Outcome.ALREADY_THERE)),
    **dict.fromkeys((-4046, -4059, -4171), Verdict(Outcome.UNCHANGED)),
    **_refused(_R.NOT_AUTHORISED, -1002, -1022, -2008, -2014, -2015, -2017, -4088, notice=_HALT),
    **_refused(_R.INSUFFICIENT_BALANCE, -2018),
    **_refused(_R.INSUFFICIENT_MARGIN, -2019),
    **_refused(_R.FILTER, -1013, -1111, -4001, -4002, -4003, -4004, -4005, -4006, -4007, -4013, -4014),
    **_refused(_R.FILTER, -4016, -4023, -4024, -4029, -4030, -4131, -4183, -4184, -4210, -4211),
    **_refused(_R.WOULD_TRIGGER_IMMEDIATELY, -2021, -4142),
    **_refused(_R.WOULD_TAKE, -5022),
    **_refused(_R.REDUCE_ONLY, -2022, -2024),
    **_refused(_R.NO_POSITION, -4509),
    **_refused(_R.BLOCKED_BY_ORDERS, -4118),
    **_refused(_R.STOP_EXISTS, -4130),
    **_refused(_R.MIN_NOTIONAL, -4164),
    **_refused(_R.TOO_MANY_ORDERS, -2025),
    **_refused(_R.TOO_MANY_STOPS, -4045),
    **_refused(_R.POSITION_LIMIT, -2027),
    **_refused(_R.WRONG_SETTINGS, -2028, -4028, -4047, -4048, -4161),
    **_refused(_R.WRONG_SETTINGS, -4061, notice=_HALT),
    **_refused(_R.ONLY_REDUCTIONS, -2023, -4087, -4192, -4400, -4401, notice=_REDUCING),
    **_refused(_R.NOT_TRADING, -1121, -4108, -4140, -4141, -4402),
    **_refused(_R.OTHER, -1102, -1106, -2010, -5021),
    # The request went to the wrong endpoint: the exchange has changed, and a person has to update OCW.
    **_refused(_R.OTHER, -4120, notice=_HALT),
}
"""The meaning of each code that has one, as far as its text does not say more.

Source: the exchange's documentation of the error codes of USD-M futures and of spot. -2008, -4120, -4130, -4509 and
-20132 are not listed there, and were seen in answers; no source confirms -4108. On spot -2021 and -2022 answer only
requests to cancel and replace, which OCW does not send.
"""

DEFINITE_5XX: Final = ("service unavailable.", "internal error; unable to process")
"""The texts of answers with a status from 500 on futures that prove that the request was not executed."""

TEXTS: Final[Mapping[int, tuple[tuple[str, Verdict], ...]]] = {
    -2010: (
        ("would trigger immediately", Verdict(Outcome.REFUSED, _R.WOULD_TRIGGER_IMMEDIATELY)),
        ("immediately match and take", Verdict(Outcome.REFUSED, _R.WOULD_TAKE)),
        ("insufficient balance", Verdict(Outcome.REFUSED, _R.INSUFFICIENT_BALANCE)),
        ("duplicate order", Verdict(Outcome.ALREADY_THERE)),
        ("relationship of the prices", Verdict(Outcome.REFUSED, _R.WOULD_TRIGGER_IMMEDIATELY)),
        ("market is closed", Verdict(Outcome.REFUSED, _R.NOT_TRADING)),
        ("not permitted", Verdict(Outcome.REFUSED, _R.NOT_AUTHORISED, _HALT)),
    ),
    -1013: (
        ("notional", Verdict(Outcome.REFUSED, _R.MIN_NOTIONAL)),
        ("max_num_algo_orders", Verdict(Outcome.REFUSED, _R.TOO_MANY_STOPS)),
        ("max_num_orders", Verdict(Outcome.REFUSED, _R.TOO_MANY_ORDERS)),
        ("max_position", Verdict(Outcome.REFUSED, _R.POSITION_LIMIT)),
        ("market is closed", Verdict(Outcome.REFUSED, _R.NOT_TRADING)),
    ),
}
"""By code: parts of the text, in lower case, that say more than the code; the first that is found counts."""


def classify(status: int, code: int | None, text: str, product: Product = Product.UM) -> Verdict:
    """Return the meaning of an answer that is no success; `code` is None if the body has none that can be read.

    What is not listed is a refusal only with a status from 400 to 499 and a code; all else is unknown.
    """
    if status >= 500:
        definite = code is not None and (code == -1008 or text.lower().startswith(DEFINITE_5XX))
        return _OVERLOADED if definite and product is Product.UM else _UNKNOWN
    if status == 408 or status < 400:
        return _UNKNOWN
    if code is None:
        return _BY_STATUS.get(status, _UNKNOWN)
    for part, verdict in TEXTS.get(code, ()):
        if part in text.lower():
            return verdict
    if code == -1008 and product is Product.SPOT:
        return _UNKNOWN
    return CODES.get(code) or _BY_STATUS.get(status, Verdict(Outcome.REFUSED))
