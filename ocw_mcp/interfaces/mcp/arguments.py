"""Arguments of tools: validators that cut texts and round numbers, ids of orders, cursors of lists, and decisions."""

import re
from collections.abc import Collection
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, WithJsonSchema

from ocw_mcp.domain.decision import LONGEST_CLAUSE, Action, Comparison, Decision, Leg, WakeCondition
from ocw_mcp.domain.metrics import INDICATORS, PLAIN, TIMEFRAMES, metric_on
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.domain.symbols import spelt

PLACES: Final = 12
FINEST: Final = Decimal(1).scaleb(-PLACES)
"""The smallest unit of a price, a quantity or a share."""
FLOAT_DIGITS: Final = 15
"""Significant digits of a JSON number; further digits are artefacts of the binary format."""
CONCISE: Final = 8_000
DETAILED: Final = 24_000
"""Largest number of characters of a text or of a result's JSON; clients cut longer answers."""
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

_Model = TypeVar("_Model", bound=BaseModel)


def _ascii_number(given: Any) -> Any:
    if isinstance(given, bool):
        raise ValueError("a boolean is not a number")
    if isinstance(given, str) and not _DECIMAL.fullmatch(given.strip()):
        raise ValueError("write a number in ASCII digits, such as 0.25")
    return given


ASCII_NUMBER: Final = BeforeValidator(_ascii_number)
"""Accepts JSON numbers and ASCII decimals as text; pydantic alone accepts `True`, `1_0` and digits of other scripts."""


def cut(longest: int) -> BeforeValidator:
    """Return a validator that keeps the first `longest` characters of a text, or elements of a list."""
    return BeforeValidator(lambda given: given[:longest] if isinstance(given, str | list) else given)


def _rounded(given: Any) -> Any:
    """Return a number rounded to `FINEST`; any other value is returned for the type check to refuse."""
    if isinstance(given, bool) or not isinstance(given, float | str):
        return given
    try:
        number = Decimal(str(given).strip())
        if not number.is_finite():
            return given
        if isinstance(given, float):
            number = Decimal(f"{given:.{FLOAT_DIGITS}g}")
        exponent = number.as_tuple().exponent
        if not isinstance(exponent, int) or exponent >= -PLACES:
            return str(number) if isinstance(given, float) else given
        return str(number.quantize(FINEST))
    except InvalidOperation:
        return given


Amount = Annotated[
    Decimal,
    Field(gt=0, le=10**12, max_digits=30, decimal_places=12, allow_inf_nan=False),
    WithJsonSchema({"type": "number"}),
    BeforeValidator(_rounded),
    ASCII_NUMBER,
]
"""A price, a quantity or a share above 0, as a number or as text."""
OrderAction = Literal["BUY", "SHORT", "ADD", "SELL", "COVER"]
Size = Annotated[Amount | None, Field(description="share of equity, 0.1 is 10%")]
Risk = Annotated[Amount | None, Field(description="share of equity lost at the stop")]
Quantity = Annotated[Amount | None, Field(description="base asset, instead of size")]
LimitPrice = Annotated[Amount | None, Field(description="limit price")]
LONGEST_WHY = 500
Why = Annotated[str, Field(max_length=LONGEST_WHY), cut(LONGEST_WHY)]
Text = Annotated[str, Field(max_length=200), cut(200)]
Key = Annotated[
    str,
    Field(min_length=1, max_length=64),
    WithJsonSchema({"type": "string", "description": "new per request, same on retry"}),
]
"""Names a request: the same key with the same request gets the first answer again, and nothing is done twice."""


def cursor_of(tool: str, place: int | None) -> str | None:
    """Return the cursor of the next page of a list; None after the last page."""
    return None if place is None else f"{tool}:{place}"


def older_line(cursor: str | None) -> list[str]:
    """Return the line at the end of a page that names the cursor of the next one; nothing on the last page."""
    return [f"older: cursor={cursor}"] if cursor else []


def order_ref(text: str) -> OrderRef:
    """Return the order with an id such as `3-e-0`. Raises RequestError for a malformed id."""
    found = re.fullmatch(r"([0-9]{1,9})-([estx])-([0-9]{1,9})", text.strip(), re.ASCII)
    if found is None:
        raise RequestError(
            RequestCode.BAD_ARGUMENTS,
            limit="an order's id such as 3-e-0",
            actual=repr(text[:40]),
            next_="orders_get shows the live orders",
        )
    return OrderRef(int(found[1]), Purpose(found[2]), int(found[3]))


def place_of(tool: str, cursor: str | None) -> int | None:
    """Return the place in a cursor of `tool`; None without a cursor. Raises RequestError for an invalid cursor."""
    if cursor is None:
        return None
    found = re.fullmatch(rf"{tool}:([0-9]{{1,18}})", cursor)
    if found is None:
        raise RequestError(
            RequestCode.BAD_CURSOR,
            limit=f"a cursor such as {tool}:123",
            actual=repr(cursor[:40]),
            next_="pass the cursor of the last answer unchanged, or none for the newest",
        )
    return int(found[1])


Symbol = Annotated[str, Field(max_length=40), WithJsonSchema({"type": "string"})]


class LegIn(BaseModel, extra="forbid"):
    """One leg of a decision."""

    symbol: Symbol
    action: Literal["BUY", "SHORT", "ADD", "REDUCE", "SELL", "COVER", "PROTECT", "CANCEL", "HOLD"]
    size: Annotated[Amount | None, Field(description="share of equity")] = None
    risk: Annotated[Amount | None, Field(description="share of equity lost at the stop; instead of size")] = None
    stop: Amount | None = None
    target: Amount | None = None
    limit: Amount | None = None
    share: Annotated[Amount | None, Field(description="REDUCE: share of the position")] = None
    trail: Annotated[Amount | None, Field(description="PROTECT: share of the price")] = None
    leverage: Annotated[int | None, Field(ge=1, le=125), ASCII_NUMBER] = None
    confidence: Annotated[float | None, Field(ge=0, le=1), ASCII_NUMBER] = None
    thesis: Why = ""
    signals: Annotated[
        list[Text],
        Field(max_length=16),
        cut(16),
        WithJsonSchema({"type": "array", "items": {"type": "string"}}),
    ] = []
    signal_weights: Annotated[
        dict[Text, Annotated[float, Field(ge=-1, le=1), ASCII_NUMBER]],
        Field(max_length=32),
        WithJsonSchema({"type": "object"}),
    ] = {}


class ConditionIn(BaseModel, extra="forbid"):
    """Wakes you once."""

    symbol: Symbol
    metric: Annotated[Text, WithJsonSchema({"enum": [*PLAIN, *INDICATORS], "type": "string"})]
    timeframe: Annotated[
        Text,
        WithJsonSchema({"enum": [*TIMEFRAMES], "type": "string"}),
        Field(description="of close and all metrics after it"),
    ] = ""
    comparison: Literal["gt", "lt", "crosses_above", "crosses_below", "abs_change_pct_gt"]
    threshold: Annotated[float, Field(allow_inf_nan=False), ASCII_NUMBER]
    reason: Annotated[Text, WithJsonSchema({"type": "string"})] = ""
    expires_s: Annotated[int | None, Field(ge=1, le=604_800), WithJsonSchema({"type": "integer"}), ASCII_NUMBER] = None
    stays: Annotated[bool, Field(description="after the position is closed")] = False


_Parts = Annotated[list[Any], Field(max_length=64)]
"""A list whose elements are read one by one, so that a malformed element does not invalidate the others."""
_LEG: Final = {name: each for name, each in LegIn.model_json_schema().items() if name != "description"}
Legs = Annotated[_Parts, WithJsonSchema({"type": "array", "maxItems": 16, "items": _LEG})]
Conditions = Annotated[
    _Parts, WithJsonSchema({"type": "array", "maxItems": 16, "items": ConditionIn.model_json_schema()})
]


class CheckIn(BaseModel):
    """The latest time of the next wake."""

    next_check_s: Annotated[int, ASCII_NUMBER]


def decision_of(
    legs: list[Any], next_check_s: Any, conditions: list[Any] | None, note: str, symbols: Collection[str]
) -> Decision:
    """Return the decision with a list of its malformed parts. Raises RequestError if all parts are malformed."""
    read_legs = [_leg(each, symbols) for each in legs]
    unread: list[str] = []
    armed: list[WakeCondition] = []
    for number, each in enumerate(conditions or (), 1):
        found = _read(ConditionIn, each)
        if isinstance(found, str):
            unread.append(f"condition {number} could not be read: {found}")
        else:
            metric = metric_on(found.metric, found.timeframe)
            names = {"symbol": spelt(found.symbol, symbols), "metric": metric}
            fields = found.model_dump(exclude={"timeframe"}) | names | {"comparison": Comparison(found.comparison)}
            # A condition has a place only if one before it could not be read.
            armed.append(WakeCondition(**fields, place=number if unread else 0))
    check = None if next_check_s is None else _read(CheckIn, {"next_check_s": next_check_s})
    if isinstance(check, str):
        unread.append(f"next_check_s could not be read: {check}")
        check = None
    wrong = [*(leg.malformed for leg in read_legs if leg.malformed), *unread]
    if wrong and not armed and all(leg.malformed for leg in read_legs):
        raise RequestError(
            RequestCode.BAD_ARGUMENTS,
            limit=wrong[0],
            actual="nothing that could be read",
            next_="see the input schema of decisions_submit; the decision is still open",
        )
    return Decision(
        legs=tuple(read_legs),
        next_check_s=None if check is None else check.next_check_s,
        wake_conditions=None if conditions is None else tuple(armed),
        note=note,
        unread=tuple(unread),
    )


def shortened(legs: list[Any]) -> list[str]:
    """Return one clause for each text of a leg that is longer than is kept."""
    theses = [each.get("thesis") if isinstance(each, dict) else None for each in legs]
    return [
        f"thesis of leg {number}: its first {LONGEST_WHY} characters are kept"
        for number, thesis in enumerate(theses, 1)
        if isinstance(thesis, str) and len(thesis) > LONGEST_WHY
    ]


def _leg(given: Any, symbols: Collection[str]) -> Leg:
    found = _read(LegIn, given)
    if isinstance(found, str):
        asked = given if isinstance(given, dict) else {}
        action = str(asked.get("action", ""))
        known = Action(action) if action in Action.__members__ else Action.HOLD
        return Leg(spelt(str(asked.get("symbol", ""))[:40], symbols), known, malformed=found)
    fields = found.model_dump(exclude={"symbol", "action", "thesis", "signals"})
    signals = tuple(found.signals)
    return Leg(spelt(found.symbol, symbols), Action(found.action), reasoning=found.thesis, signals=signals, **fields)


def _read(model: type[_Model], given: Any) -> _Model | str:
    """Return a part of an argument as a `model`, or one clause that names the wrong field. Null fields are dropped."""
    if isinstance(given, dict):
        given = {name: value for name, value in given.items() if value is not None}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "it"
    if first["type"] == "extra_forbidden":
        return f"{field[:40]!r} is not a known field"
    shown = "" if first["type"] == "missing" else f", not {repr(first.get('input'))[:40]}"
    return f"{field}: {first['msg'][:120]}{shown}"[:LONGEST_CLAUSE]
