"""The policy file as typed values: the only source of every limit. It is read at start, hashed, and no tool changes it.

An unknown key is an error, and so is an impossible limit. A key that the file lacks takes its default here,
which is its strictest value. Shares are fractions (0.25 is a quarter). `core.risk.limits` declares the limits.
"""

from collections.abc import Collection, Iterator
from datetime import datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import AwareDatetime, Field, model_validator
from pydantic.fields import FieldInfo

from ocw_mcp.domain.policy_deciding import BudgetPolicy as BudgetPolicy
from ocw_mcp.domain.policy_deciding import DecisionPolicy as DecisionPolicy
from ocw_mcp.domain.policy_deciding import FallbackPolicy as FallbackPolicy
from ocw_mcp.domain.policy_deciding import GatePolicy as GatePolicy
from ocw_mcp.domain.policy_deciding import RulesPolicy as RulesPolicy
from ocw_mcp.domain.policy_table import FEWER, HIGHER, LOWER, MORE, OPTIONAL, Positive, Share, Table, stricter_of
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import SECOND, iso


class SymbolPolicy(Table):
    """The symbols and the directions that may be entered. `*` and `?` are wildcards."""

    allow: Annotated[tuple[str, ...], Field(min_length=1), FEWER] = ("BTCUSDT", "ETHUSDT")
    """Patterns of the symbols that may be entered."""
    sides: Annotated[tuple[Literal["long", "short"], ...], Field(min_length=1), FEWER] = ("long",)
    """The directions that may be entered: long, short or both. Spot cannot be sold short."""


class OrderPolicy(Table):
    """The size of one order."""

    max_notional: Annotated[Positive, LOWER] = Decimal(2000)
    """The largest notional of one order, in quote currency."""
    price_allowance: Annotated[Decimal, Field(ge=0, le=Decimal("0.1")), LOWER] = Decimal("0.002")
    """The share by which a market entry may fill worse than the last price: at that price it is sized and checked."""


class PositionPolicy(Table):
    """The size of one position."""

    max_share: Annotated[Share, LOWER] = Decimal("0.1")
    """The largest notional of one position, as a share of equity."""


class ExposurePolicy(Table):
    """All positions and open entries together."""

    max_gross: Annotated[Decimal, Field(gt=0, le=20), LOWER] = Decimal("0.2")
    """The largest sum of absolute notionals, as a multiple of equity."""


class CorrelatedPolicy(Table):
    """Symbols that move together: long positions in them are one bet, and so are short positions."""

    symbols: Annotated[tuple[str, ...], MORE] = ("BTC*", "ETH*", "SOL*")
    """Patterns of the symbols that move together; `*` and `?` are wildcards."""
    max_share: Annotated[Decimal, Field(gt=0, le=20), LOWER] = Decimal("0.2")
    """The largest notional of all of them together in one direction, as a share of equity."""


class PositionsPolicy(Table):
    """The number of positions at one time."""

    max_open: Annotated[int, Field(ge=1, le=1000), LOWER] = 2
    """The most symbols that may have a position or an open entry."""


class RiskPolicy(Table):
    """The loss of one position at its stop."""

    max_share: Annotated[Share, LOWER] = Decimal("0.004")
    """The largest loss at the stop, the gap allowance included, as a share of equity."""
    gap_allowance: Annotated[Decimal, Field(ge=0, le=Decimal("0.5")), HIGHER] = Decimal("0.01")
    """The distance beyond its price at which a stop is assumed to fill, as a share of the price."""


class StopPolicy(Table):
    """The stop that every entry needs. No setting turns it off."""

    max_distance: Annotated[Decimal, Field(gt=0, le=Decimal("0.5")), LOWER] = Decimal("0.03")
    """The largest distance of a stop from the price at which its entry should begin, as a share of it: the last price,
    or the limit of an order that waits for a better one."""
    deadline_s: Annotated[int, Field(ge=1, le=600), LOWER] = 15
    """The seconds after which a position without a live stop is closed."""
    liquidation_buffer: Annotated[Decimal, Field(ge=0, le=Decimal("0.5")), HIGHER] = Decimal("0.05")
    """The smallest distance of the stop from the price of liquidation, as a share of the last price."""


class LeveragePolicy(Table):
    """The leverage of a position: its margin is its cost divided by the leverage. On spot the leverage is 1."""

    max: Annotated[int, Field(ge=1, le=125), LOWER] = 2
    """The highest leverage that an entry may ask for."""
    usual: Annotated[int, Field(ge=1, le=125), LOWER] = 1
    """The leverage of an entry that asks for none."""

    @property
    def unasked(self) -> int:
        """The leverage of an entry that asks for none: `usual`, at most `max`."""
        return min(self.usual, self.max)

    @model_validator(mode="after")
    def _usual_is_allowed(self) -> Self:
        if self.gives("usual", "max") and self.usual > self.max:
            raise ValueError(f"usual ({self.usual}) is above max ({self.max}); lower usual or raise max")
        return self


class MarginPolicy(Table):
    """The part of equity that stays free of margin."""

    min_free: Annotated[Decimal, Field(ge=0, lt=1), HIGHER] = Decimal("0.5")
    """The share of equity that no position or entry may use as margin."""


class PricePolicy(Table):
    """The collar around the mark price: a price outside it is a typing error or a broken reading."""

    max_deviation: Annotated[Decimal, Field(gt=0, le=1), LOWER] = Decimal("0.03")
    """The largest distance of an entry's limit from the mark price, as a share of it."""
    max_move: Annotated[Share, LOWER] = Decimal("0.003")
    """The largest move of the mark price since it was shown in a preview or an approval, as a share of it."""


class BookPolicy(Table):
    """The state of the order book that an entry needs, if the market reports the order book."""

    max_spread: Annotated[Share, LOWER] = Decimal("0.001")
    """The largest distance of the best prices, as a share of their middle."""
    max_depth_share: Annotated[Share, LOWER] = Decimal("0.1")
    """The largest share that one entry may take of the quantity offered near the best price."""


class MandatePolicy(Table):
    """The amount and the symbols that a person lets the engine trade, and until when. On paper the table may be left
    out; in the other modes no entry passes without a mandate. No key has a default: each has to be given."""

    amount: Annotated[Positive, LOWER]
    """The largest notional of all positions and open entries together, in quote currency."""
    symbols: Annotated[tuple[str, ...], Field(min_length=1), FEWER]
    """Patterns of the symbols that the mandate covers."""
    expires: Annotated[AwareDatetime, LOWER]
    """The time at which the mandate ends: no entry passes from then on."""

    @cached_property
    def expires_ms(self) -> int:
        """`expires` in ms."""
        return round(self.expires.timestamp() * SECOND)


class ApprovalPolicy(Table):
    """The entries that a person has to approve one by one. The table may be left out."""

    above_notional: Annotated[Decimal, Field(ge=0), LOWER] = Decimal(0)
    """The notional, in quote currency, above which an entry has to be approved."""
    modes: Annotated[tuple[Mode, ...], MORE] = tuple(Mode)
    """The modes in which every entry has to be approved, whatever its size."""
    answer_s: Annotated[int, Field(ge=1, le=86_400), LOWER] = 60
    """The seconds that an order waits for the answer; without an answer until then it is refused."""


class TaintedPolicy(Table):
    """A second policy for entries that were decided after reading texts of other authors."""

    policy: Annotated[str, Field(min_length=1, max_length=40)] = "conservative"
    """The name of another policy file, in the same directory or shipped: an entry has to pass the limits of both."""


class ExitsPolicy(Table):
    """The conditions under which the guard closes a position of any agent, without asking the agent."""

    max_loss: Annotated[Share, LOWER] = Decimal("0.03")
    """The loss at which a position is closed, as a share of its average price."""
    take_profit: Annotated[Positive, LOWER] = Decimal("0.15")
    """The profit at which a position is closed, as a share of its average price."""
    trail_from: Annotated[Share, LOWER] = Decimal("0.02")
    """The profit from which a position's gain is guarded, as a share of its average price."""
    trail_gives_back: Annotated[Share, LOWER] = Decimal("0.5")
    """The share of its highest profit that a guarded position may give back before it is closed."""
    max_hold_h: Annotated[float, Field(gt=0, le=8760), LOWER] = 96
    """The hours after its opening at which a position is closed."""


class ScorePolicy(Table):
    """The rules' score of every open position, taken repeatedly: 0 to 1, high for closing it."""

    every_s: Annotated[int, Field(ge=1, le=86_400), LOWER] = 180
    """The longest time in seconds until the score is taken again."""
    review: Annotated[float, Field(gt=0, le=1), LOWER] = 0.45
    """The score at which the deciding agent is woken to review the position."""
    exit: Annotated[float, Field(gt=0, le=1), LOWER] = 0.55
    """The score at which the position is closed."""

    @model_validator(mode="after")
    def _asks_before_it_closes(self) -> Self:
        if self.gives("review", "exit") and self.review > self.exit:
            raise ValueError(f"review ({self.review:g}) is above exit ({self.exit:g}); lower review or raise exit")
        return self


class DailyLossPolicy(Table):
    """The loss of a UTC day, unrealised included, that closes entries until the next day."""

    max_share: Annotated[Share, LOWER] = Decimal("0.01")
    """The loss of a day that closes entries, as a share of the equity with which the day began."""


class DrawdownPolicy(Table):
    """The fall of equity from its peak that halts trading until a person resumes; the peak then begins anew."""

    max_share: Annotated[Share, LOWER] = Decimal("0.05")
    """The fall of equity that halts trading, as a share of the peak."""


class LossesPolicy(Table):
    """Losing trades in a row that pause entries."""

    in_a_row: Annotated[int, Field(ge=1, le=100), LOWER] = 3
    """The number of losing trades in a row, in any symbols, that pauses entries; any other trade ends the row."""
    pause_s: Annotated[int, Field(ge=0, le=604_800), HIGHER] = 86400
    """The seconds that entries pause after so many losses in a row."""


class PacePolicy(Table):
    """The pace of trading. Orders that reduce risk count, but only `reductions_per_minute` limits them."""

    entries_per_minute: Annotated[int, Field(ge=1, le=1000), LOWER] = 1
    """The most entries that may be sent in any 60 seconds."""
    entries_per_day: Annotated[int, Field(ge=1, le=100_000), LOWER] = 6
    """The most entries that may be sent in a UTC day."""
    max_turnover: Annotated[Decimal, Field(gt=0, le=1000), LOWER] = Decimal(2)
    """The largest turnover (bought and sold) of a UTC day, as a multiple of the equity with which it began."""
    max_fees: Annotated[Share, LOWER] = Decimal("0.002")
    """The fees of a UTC day that close entries, as a share of the equity with which it began."""
    reductions_per_minute: Annotated[int, Field(ge=1, le=1000), LOWER] = 10
    """The most closings that an agent may ask for in any 60 seconds; the guard's own closings do not count."""
    reentry_s: Annotated[int, Field(ge=0, le=604_800), HIGHER] = 14400
    """The seconds after the close of a position in which its symbol takes no entry."""


class CallersPolicy(Table):
    """The quotas of each attached caller in the journal. Closing, cancelling and halting always pass."""

    notes_per_minute: Annotated[int, Field(ge=1, le=10_000), LOWER] = 30
    """The most notes that one caller may write in any 60 seconds."""
    refusals_per_minute: Annotated[int, Field(ge=1, le=10_000), LOWER] = 150
    """The most refusals of one caller in any 60 seconds; after that its entries and notes are rejected unread."""


class DataPolicy(Table):
    """The age of a price at which an entry still passes, and the end of a symbol's data."""

    slack_s: Annotated[int, Field(ge=0, le=3600), LOWER] = 30
    """The seconds by which a price may be older than the length of a candle."""
    on_end: Annotated[Literal["close", "keep"], OPTIONAL] = "close"
    """The treatment of a position whose symbol's candles end while others continue: `close` it at its last price with
    the usual fee, or `keep` it at that price and report it as not closed."""


class ScalePolicy(Table):
    """The factors on limits of size while a reading is unknown: the product of both, at most 1, multiplies
    position.max_share, risk.max_share, exposure.max_gross and correlated.max_share. The size of a request is never
    scaled."""

    regime_unknown: Annotated[Share, LOWER] = Decimal("0.5")
    """The factor on limits of size while no model gives the regime."""
    macro_unknown: Annotated[Share, LOWER] = Decimal("0.8")
    """The factor on limits of size while no source gives a macro reading."""


class Policies(Table):
    """A whole policy file. A missing table takes the strictest value of each key."""

    name: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[\w .+-]+$")]
    symbols: SymbolPolicy = SymbolPolicy()
    order: OrderPolicy = OrderPolicy()
    price: PricePolicy = PricePolicy()
    book: BookPolicy = BookPolicy()
    position: PositionPolicy = PositionPolicy()
    positions: PositionsPolicy = PositionsPolicy()
    exposure: ExposurePolicy = ExposurePolicy()
    correlated: CorrelatedPolicy = CorrelatedPolicy()
    leverage: LeveragePolicy = LeveragePolicy()
    margin: MarginPolicy = MarginPolicy()
    stop: StopPolicy = StopPolicy()
    risk: RiskPolicy = RiskPolicy()
    exits: ExitsPolicy = ExitsPolicy()
    score: ScorePolicy = ScorePolicy()
    daily_loss: DailyLossPolicy = DailyLossPolicy()
    drawdown: DrawdownPolicy = DrawdownPolicy()
    losses: LossesPolicy = LossesPolicy()
    pace: PacePolicy = PacePolicy()
    callers: CallersPolicy = CallersPolicy()
    data: DataPolicy = DataPolicy()
    scale: ScalePolicy = ScalePolicy()
    tainted: TaintedPolicy = TaintedPolicy()
    gate: GatePolicy = GatePolicy()
    decision: DecisionPolicy = DecisionPolicy()
    fallback: FallbackPolicy = FallbackPolicy()
    budget: BudgetPolicy = BudgetPolicy()
    rules: RulesPolicy = RulesPolicy()
    mandate: MandatePolicy | None = None
    approval: ApprovalPolicy | None = None


_MOST_SHOWN: Final = 5
"""The largest number of looser keys that `not_stricter` names."""


def table_of(declared: FieldInfo) -> type[Table] | None:
    """Return the table that a field of the policies holds, optional or not; None for a field that is no table."""
    kinds = (declared.annotation, *get_args(declared.annotation))
    return next((each for each in kinds if isinstance(each, type) and issubclass(each, Table)), None)


def policy_keys() -> Iterator[tuple[str, FieldInfo]]:
    """Yield every key of a policy file, as `table.key`, with its declaration, in the order of the models."""
    for table, field in Policies.model_fields.items():
        kind = table_of(field)
        for key, declared in kind.model_fields.items() if kind is not None else ():
            yield f"{table}.{key}", declared


def value_of(policies: Policies, key: str) -> Any:
    """Return the value of a key, such as `order.max_notional`; None if its table is left out."""
    table, name = key.split(".")
    return getattr(getattr(policies, table), name, None)


def value_text(value: object, between: str) -> str:
    """Return a policy's value as text; the entries of a list are separated by `between`."""
    if isinstance(value, tuple):
        return between.join(map(str, value)) or "none"
    if value is None:
        return "none"
    return iso(round(value.timestamp() * SECOND)) if isinstance(value, datetime) else str(value)


def as_strict(declared: FieldInfo, one: Any, other: Any) -> bool:
    """Return whether `one` is at least as strict as `other`, both values of a limit's key."""
    stricter = stricter_of(declared)
    if stricter in (LOWER, HIGHER):
        return bool(one <= other if stricter is LOWER else one >= other)
    if stricter in (FEWER, MORE):
        return _covers(other, one) if stricter is FEWER else _covers(one, other)
    choices = get_args(declared.annotation)
    return choices.index(one) <= choices.index(other)


def looser_and_stricter(one: Policies, than: Policies) -> tuple[list[str], list[str]]:
    """Return the keys of limits, in tables of both, in which `one` is looser, and those in which it is stricter."""
    looser, stricter = [], []
    for key, declared in policy_keys():
        mine, theirs = value_of(one, key), value_of(than, key)
        if stricter_of(declared) is None or mine is None or theirs is None:
            continue
        if not as_strict(declared, mine, theirs):
            looser.append(key)
        elif not as_strict(declared, theirs, mine):
            stricter.append(key)
    return looser, stricter


def not_stricter(strict: Policies, usual: Policies, keys: Collection[str]) -> str:
    """Return a sentence if the policy of `[tainted]` is not stricter than the usual one in `keys`; else nothing."""
    looser, stricter = ([key for key in found if key in keys] for found in looser_and_stricter(strict, usual))
    if stricter and not looser:
        return ""
    if looser:
        more = f" and {len(looser) - _MOST_SHOWN} more" if len(looser) > _MOST_SHOWN else ""
        why = f"{', '.join(looser[:_MOST_SHOWN])}{more} {'are' if len(looser) > 1 else 'is'} looser there"
    else:
        why = "it is the same policy" if strict == usual else "no limit of a tainted entry is stricter there"
    return (
        f"[tainted] policy = {strict.name} is not stricter than {usual.name}: {why}; a tainted entry "
        "(decided after reading texts of other authors) has to pass the limits of both; name a stricter policy there"
    )


def _covers(patterns: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Return whether each of `others` equals or matches one of `patterns`."""
    return all(any(other == pattern or fnmatchcase(other, pattern) for pattern in patterns) for other in others)
