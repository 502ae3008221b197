"""The decision of an agent: the type that models, strategies and the rules return."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from ocw_mcp.domain.causes import MODEL_ANSWERED, Cause, CauseKind
from ocw_mcp.domain.errors import StrategyError

LONGEST_CLAUSE: Final = 200
"""The largest number of characters of the text about an unreadable part of a decision."""
NUMBERS: Final = ("size", "stop", "target", "limit", "risk", "share", "trail")
"""The fields of a leg that are Decimals."""

Number = Decimal | int | float | str
"""The types that a leg accepts for a Decimal. A float is read from its text: 0.1 becomes Decimal("0.1")."""
_Word = TypeVar("_Word", bound=StrEnum)


class Action(StrEnum):
    """The action of a decision on one symbol.

    BUY opens a long and SELL closes it; SHORT opens a short and COVER closes it. ADD makes the open position larger,
    REDUCE closes a share of it, PROTECT moves its stop and target. CANCEL cancels an entry that has not filled.
    """

    BUY = "BUY"
    SELL = "SELL"
    SHORT = "SHORT"
    COVER = "COVER"
    ADD = "ADD"
    REDUCE = "REDUCE"
    PROTECT = "PROTECT"
    CANCEL = "CANCEL"
    HOLD = "HOLD"

    @property
    def adds_risk(self) -> bool:
        """Whether the action can make a position larger; the others never add risk."""
        return self in (Action.BUY, Action.SHORT, Action.ADD)

    @property
    def closes(self) -> bool:
        """Whether the action closes a position or a part of it."""
        return self in (Action.SELL, Action.COVER, Action.REDUCE)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a leg that this action uses, besides the symbol and the texts."""
        if self.adds_risk:
            return _ENTRY_FIELDS
        return {Action.REDUCE: ("share",), Action.PROTECT: ("stop", "target", "trail")}.get(self, ())


_ENTRY_FIELDS: Final = ("size", "risk", "stop", "target", "limit", "limit_expires_s", "post_only", "leverage")
_OF_A_LIMIT: Final = ("limit_expires_s", "post_only")
"""The fields of an entry that only a limit order uses."""
_TERMS: Final = (*_ENTRY_FIELDS, "share", "trail")


class Leg(msgspec.Struct, frozen=True):
    """The decision about one symbol. Prices in quote currency; the engine puts them on the venue's tick.

    `action` may be the text of an Action; the fields named in `NUMBERS` may be any `Number`. Raises StrategyError for a
    text that is no action or no number, and for a float that is not finite. A field that the action does not use is
    refused at the order (`unused`).
    """

    symbol: str
    action: Action
    size: Decimal | None = None
    """The notional of an entry as a share of equity, above 0 and up to 1."""
    stop: Decimal | None = None
    target: Decimal | None = None
    limit: Decimal | None = None
    """The worst price of the entry, which is then a limit order. None means a market order."""
    limit_expires_s: int | None = None
    """The seconds from now after which a limit entry is cancelled; None means one hour."""
    post_only: bool = False
    """Whether the venue rejects a limit entry that would trade at once and pay the taker's fee."""
    leverage: int | None = None
    """The leverage of the position that the leg opens; None means the policy's usual one."""
    risk: Decimal | None = None
    """The share of equity that an entry loses at its stop, gap allowance included; it sets the size, in place of
    `size`."""
    share: Decimal | None = None
    """The share of the open position that REDUCE closes, above 0 and up to 1."""
    trail: Decimal | None = None
    """The distance at which the stop follows the best price, as a share of that price; PROTECT sets it."""
    confidence: float | None = None
    """The decider's confidence, from 0 to 1, which is journaled and has no effect."""
    reasoning: str = ""
    signals: tuple[str, ...] = ()
    signal_weights: tuple[tuple[str, float], ...] = ()
    """How much each of OCW's own signals counted for the decision, with its name in `core/signals`; may be a dict."""
    malformed: str = ""
    """Why the leg could not be read, in one clause; a leg with this clause is refused."""

    if TYPE_CHECKING:

        def __init__(
            self,
            symbol: str,
            action: Action | str,
            size: Number | None = None,
            stop: Number | None = None,
            target: Number | None = None,
            limit: Number | None = None,
            limit_expires_s: int | None = None,
            post_only: bool = False,
            leverage: int | None = None,
            risk: Number | None = None,
            share: Number | None = None,
            trail: Number | None = None,
            confidence: float | None = None,
            reasoning: str = "",
            signals: tuple[str, ...] = (),
            signal_weights: Mapping[str, float] | tuple[tuple[str, float], ...] = (),
            malformed: str = "",
        ) -> None: ...

    def __post_init__(self) -> None:
        for name in NUMBERS:
            value = getattr(self, name)
            if value is not None and type(value) is not Decimal:
                msgspec.structs.force_setattr(self, name, _decimal(value, f"{name} of the leg on {self.symbol}"))
        if isinstance(self.signal_weights, Mapping):
            msgspec.structs.force_setattr(self, "signal_weights", tuple(self.signal_weights.items()))
        if type(self.action) is not Action:
            action = _word(self.action, Action, f"action of the leg on {self.symbol}")
            msgspec.structs.force_setattr(self, "action", action)

    @property
    def asks(self) -> bool:
        """Whether the leg gets an answer: any action but HOLD does, and a HOLD that is unreadable or has terms."""
        return self.action is not Action.HOLD or bool(self.malformed or self.unused)

    @property
    def unused(self) -> str:
        """The given fields that the action does not use, such as `stop=2300, leverage=3`; empty if there are none."""
        used, needed = self.action.fields, _OF_A_LIMIT if self.limit is None else ()
        given = {name: getattr(self, name) for name in _TERMS if name not in used or name in needed}
        return ", ".join(
            f"{name}={value}{' without a limit' if name in used else ''}"
            for name, value in given.items()
            if value is not None and value is not False
        )


class Comparison(StrEnum):
    """How a wake condition compares a reading with its threshold."""

    GT = "gt"
    LT = "lt"
    CROSSES_ABOVE = "crosses_above"
    """At or below the threshold at the previous evaluation, above it now."""
    CROSSES_BELOW = "crosses_below"
    """At or above the threshold at the previous evaluation, below it now."""
    ABS_CHANGE_PCT_GT = "abs_change_pct_gt"
    """Moved by more than this percentage, up or down, since the condition was set."""


class WakeCondition(msgspec.Struct, frozen=True):
    """A condition that wakes the agent once, as soon as a reading of a symbol meets the threshold.

    `comparison` may be the text of a Comparison, and `threshold` any `Number`; other values raise StrategyError.
    """

    symbol: str
    metric: str
    """`price`, or an indicator on a timeframe: `rsi_14@1h`."""
    comparison: Comparison
    threshold: float
    reason: str = ""
    expires_s: int | None = None
    """The seconds from now after which it expires; None means the longest time that the policy allows."""
    place: int = 0
    """The condition's number (from 1) in the submitted list, if other conditions of it were dropped; otherwise 0."""
    stays: bool = False
    """Whether the condition stays when the position of its symbol is closed."""

    if TYPE_CHECKING:

        def __init__(
            self,
            symbol: str,
            metric: str,
            comparison: Comparison | str,
            threshold: Number,
            reason: str = "",
            expires_s: int | None = None,
            place: int = 0,
            stays: bool = False,
        ) -> None: ...

    def __post_init__(self) -> None:
        if type(self.threshold) is not float:
            threshold = float(_decimal(self.threshold, f"threshold of the condition on {self.symbol}"))
            msgspec.structs.force_setattr(self, "threshold", threshold)
        if type(self.comparison) is not Comparison:
            comparison = _word(self.comparison, Comparison, f"comparison of the condition on {self.symbol}")
            msgspec.structs.force_setattr(self, "comparison", comparison)


class Decision(msgspec.Struct, frozen=True):
    """One answer to one wake. Symbols without a leg stay as they are. `legs` and `wake_conditions` may be lists."""

    legs: tuple[Leg, ...] = ()
    next_check_s: int | None = None
    """The seconds after which the agent is woken at the latest, within the bounds of the gate's policy."""
    wake_conditions: tuple[WakeCondition, ...] | None = None
    """The conditions that replace the agent's wake conditions; None leaves them as they are."""
    note: str = ""
    cause: Cause | None = None
    """Why the decision holds everything, or was made by the rules; None for the legs of the decider."""
    unread: tuple[str, ...] = ()
    """The parts other than legs that could not be read, one sentence each."""

    if TYPE_CHECKING:

        def __init__(
            self,
            legs: Sequence[Leg] = (),
            next_check_s: int | None = None,
            wake_conditions: Sequence[WakeCondition] | None = None,
            note: str = "",
            cause: Cause | None = None,
            unread: tuple[str, ...] = (),
        ) -> None: ...

    def __post_init__(self) -> None:
        for name in ("legs", "wake_conditions"):
            value = getattr(self, name)
            if type(value) is list:
                msgspec.structs.force_setattr(self, name, tuple(value))

    @property
    def holds(self) -> bool:
        """Whether the decision leaves every symbol as it is."""
        return not any(leg.asks for leg in self.legs)

    @property
    def cause_kind(self) -> CauseKind | None:
        """The kind of the decision's cause; None without a cause."""
        return None if self.cause is None else self.cause.kind

    @property
    def answered(self) -> bool:
        """Whether the decision is a new answer of its decider: legs, or a model's deliberate HOLD."""
        return self.cause is None or self.cause.kind in MODEL_ANSWERED


def _decimal(value: Any, name: str) -> Decimal:
    """Return a number as the Decimal that was written. Raises StrategyError, whose text names the field."""
    number = Decimal("NaN")
    if isinstance(value, str | Decimal):
        with suppress(InvalidOperation):
            number = Decimal(value)
    elif isinstance(value, Integral) and value is not True and value is not False:
        number = Decimal(int(value))
    elif isinstance(value, Real) and not isinstance(value, Integral):
        number = Decimal(repr(float(value)))
    if not number.is_finite():
        shown = value if isinstance(value, float) else repr(value)[:40]
        raise StrategyError(
            f"{name} is {shown}; expected a finite number: a Decimal, an int, a float, or a text such as '0.1'"
        )
    return number


def _word(value: object, kind: type[_Word], name: str) -> _Word:
    """Return the member of an enumeration that a text names. Raises StrategyError, which lists the members."""
    for each in kind:
        if isinstance(value, str) and value.upper() == each.value.upper():
            return each
    raise StrategyError(f"{name} is {repr(value)[:40]}; expected one of {', '.join(kind)}")
