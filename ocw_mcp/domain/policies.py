"""The policy file as typed values: the only source of every limit. No tool can change the file.

An unknown key or an impossible limit is an error. A key that the file lacks takes its default here, which is its
strictest value. Shares are fractions (0.25 is a quarter). `core.risk.limits` declares the limits.
"""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cache, cached_property
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import AwareDatetime, Field, model_validator
from pydantic.fields import FieldInfo

from ocw_mcp.domain.policy_account import AdoptPolicy as AdoptPolicy
from ocw_mcp.domain.policy_deciding import BudgetPolicy as BudgetPolicy
from ocw_mcp.domain.policy_deciding import DecisionPolicy as DecisionPolicy
from ocw_mcp.domain.policy_deciding import FallbackPolicy as FallbackPolicy
from ocw_mcp.domain.policy_deciding import GatePolicy as GatePolicy
from ocw_mcp.domain.policy_deciding import RulesPolicy as RulesPolicy
from ocw_mcp.domain.policy_execution import ExecutionPolicy as ExecutionPolicy
from ocw_mcp.domain.policy_learning import LearningPolicy as LearningPolicy
from ocw_mcp.domain.policy_scale import AnomalyPolicy as AnomalyPolicy
from ocw_mcp.domain.policy_scale import ScalePolicy as ScalePolicy
from ocw_mcp.domain.policy_table import FEWER, HIGHER, LOWER, MORE, OPTIONAL, Positive, Share, Table, stricter_of
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import SECOND, iso


class SymbolPolicy(Table):
    """The symbols and the directions in which entries may be placed. `*` and `?` are wildcards."""

    allow: Annotated[tuple[str, ...], Field(min_length=1), FEWER] = ("BTCUSDT", "ETHUSDT")
    """Patterns of the symbols in which entries may be placed."""
    sides: Annotated[tuple[Literal["long", "short"], ...], Field(min_length=1), FEWER] = ("long",)
    """The allowed directions of positions: long, short or both. On spot only long is possible."""


class OrderPolicy(Table):
    """The size of one order."""

    max_notional: Annotated[Positive, LOWER] = Decimal(2000)
    """The largest notional of one order, in quote currency."""
    price_allowance: Annotated[Decimal, Field(ge=0, le=Decimal("0.1")), LOWER] = Decimal("0.002")
    """The share by which a market entry may fill worse than the last price. The last price with this
    allowance is the limit price of the order, at which the order is sized and checked."""


class PositionPolicy(Table):
    """The size of one position."""

    max_share: Annotated[Share, LOWER] = Decimal("0.1")
    """The largest notional of one position, as a share of equity."""


class ExposurePolicy(Table):
    """The notional of all positions and open entries together."""

    max_gross: Annotated[Decimal, Field(gt=0, le=20), LOWER] = Decimal("0.2")
    """The largest sum of absolute notionals, as a multiple of equity."""


class CorrelatedPolicy(Table):
    """Correlated symbols: all long positions in them count as one position, and so do all short positions."""

    symbols: Annotated[tuple[str, ...], MORE] = ("BTC*", "ETH*", "SOL*")
    """Patterns of the correlated symbols; `*` and `?` are wildcards."""
    max_share: Annotated[Decimal, Field(gt=0, le=20), LOWER] = Decimal("0.2")
    """The largest notional of all correlated symbols together in one direction, as a share of equity."""


class PositionsPolicy(Table):
    """The number of positions at one time."""

    max_open: Annotated[int, Field(ge=1, le=1000), LOWER] = 2
    """The largest number of symbols that may have a position or an open entry."""


class RiskPolicy(Table):
    """The loss of one position at its stop."""

    max_share: Annotated[Share, LOWER] = Decimal("0.004")
    """The largest loss at the stop, the gap allowance included, as a share of equity."""
    gap_allowance: Annotated[Decimal, Field(ge=0, le=Decimal("0.5")), HIGHER] = Decimal("0.01")
    """The distance beyond its trigger price at which a stop is assumed to fill, as a share of that price."""


class StopPolicy(Table):
    """The stop that every entry needs. No setting removes this requirement."""

    max_distance: Annotated[Decimal, Field(gt=0, le=Decimal("0.5")), LOWER] = Decimal("0.03")
    """The largest distance of a stop from the entry price (the last price, or the limit of a resting order), as a share
    of the entry price."""
    deadline_s: Annotated[int, Field(ge=1, le=600), LOWER] = 15
    """The seconds after which a position without a live stop is closed."""
    liquidation_buffer: Annotated[Decimal, Field(ge=0, le=Decimal("0.5")), HIGHER] = Decimal("0.05")
    """The smallest distance of the stop from the liquidation price, as a share of the last price."""


class LeveragePolicy(Table):
    """The leverage of a position: its margin is its cost divided by the leverage. On spot the leverage is 1."""

    max: Annotated[int, Field(ge=1, le=125), LOWER] = 2
    """The highest leverage that an entry may have."""
    usual: Annotated[int, Field(ge=1, le=125), LOWER] = 1
    """The leverage of an entry that requests none."""

    @property
    def unasked(self) -> int:
        """The leverage of an entry that requests none: `usual`, at most `max`."""
        return min(self.usual, self.max)

    @model_validator(mode="after")
    def _usual_is_allowed(self) -> Self:
        if self.gives("usual", "max") and self.usual > self.max:
            raise ValueError(f"usual ({self.usual}) is above max ({self.max}); lower usual or raise max")
        return self


class MarginPolicy(Table):
    """The part of equity that must not be used as margin."""

    min_free: Annotated[Decimal, Field(ge=0, lt=1), HIGHER] = Decimal("0.5")
    """The share of equity that positions and entries together must not use as margin."""


class PricePolicy(Table):
    """The collar around the mark price. A price outside the collar is taken as a typing error or as bad market data."""

    max_deviation: Annotated[Decimal, Field(gt=0, le=1), LOWER] = Decimal("0.03")
    """The largest distance of an entry's limit price from the mark price, as a share of the mark price."""
    max_move: Annotated[Share, LOWER] = Decimal("0.003")
    """The largest move of the mark price since the preview or the approval showed it, as a share of the shown price."""


class BookPolicy(Table):
    """The spread and depth of the order book that an entry needs, if the market reports an order book."""

    max_spread: Annotated[Share, LOWER] = Decimal("0.001")
    """The largest spread between best bid and best ask, as a share of the mid price."""
    max_depth_share: Annotated[Share, LOWER] = Decimal("0.1")
    """The largest quantity of one entry, as a share of the quantity offered near the best price."""


class MandatePolicy(Table):
    """The amount, the symbols and the time for which a person lets the engine trade. This table is optional. In live
    mode no entry passes without a mandate, and the one that `ocw connect` seals counts, too. Each key is required,
    since none has a strictest value."""

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
    """The entries that a person has to approve one by one. This table is optional."""

    above_notional: Annotated[Decimal, Field(ge=0), LOWER] = Decimal(0)
    """The notional, in quote currency, above which an entry needs an approval."""
    modes: Annotated[tuple[Mode, ...], MORE] = tuple(Mode)
    """The modes in which every entry needs an approval, whatever its size."""
    answer_s: Annotated[int, Field(ge=1, le=86_400), LOWER] = 60
    """The seconds that an order waits for an approval; after this time the order is refused."""


class TaintedPolicy(Table):
    """A second policy for the entries of an agent that read untrusted text before its decision."""

    policy: Annotated[str, Field(min_length=1, max_length=40)] = "conservative"
    """The name of another policy file, in the same folder or shipped with OCW; these entries must pass both."""


class ExitsPolicy(Table):
    """The conditions under which the guard closes a position, whatever the agent decides."""

    max_loss: Annotated[Share, LOWER] = Decimal("0.03")
    """The loss at which a position is closed, as a share of its average price."""
    take_profit: Annotated[Positive, LOWER] = Decimal("0.15")
    """The profit at which a position is closed, as a share of its average price."""
    trail_from: Annotated[Share, LOWER] = Decimal("0.02")
    """The profit from which `trail_gives_back` applies to a position, as a share of its average price."""
    trail_gives_back: Annotated[Share, LOWER] = Decimal("0.5")
    """The share of its highest profit that a position may give back before it is closed."""
    max_hold_h: Annotated[float, Field(gt=0, le=8760), LOWER] = 96
    """The hours after which an open position is closed."""


class ScorePolicy(Table):
    """The exit score that the rules compute repeatedly for every open position: 0 (keep) to 1 (close)."""

    every_s: Annotated[int, Field(ge=1, le=86_400), LOWER] = 180
    """The longest time in seconds between two computations of the score."""
    review: Annotated[float, Field(gt=0, le=1), LOWER] = 0.45
    """The score from which the agent is woken to review the position."""
    exit: Annotated[float, Field(gt=0, le=1), LOWER] = 0.55
    """The score at which the position is closed."""

    @model_validator(mode="after")
    def _asks_before_it_closes(self) -> Self:
        if self.gives("review", "exit") and self.review > self.exit:
            raise ValueError(f"review ({self.review:g}) is above exit ({self.exit:g}); lower review or raise exit")
        return self


class DailyLossPolicy(Table):
    """The loss of a UTC day (realised and unrealised) from which entries are refused until the next day."""

    max_share: Annotated[Share, LOWER] = Decimal("0.01")
    """The loss of a day from which entries are refused, as a share of the equity at the start of the day."""


class DrawdownPolicy(Table):
    """The drawdown of equity that halts trading until a person resumes. A resume makes the current equity the peak."""

    max_share: Annotated[Share, LOWER] = Decimal("0.05")
    """The fall of equity from its peak that halts trading, as a share of the peak."""


class LossesPolicy(Table):
    """The losing trades in a row after which entries are refused for a while."""

    in_a_row: Annotated[int, Field(ge=1, le=100), LOWER] = 3
    """The number of losing trades in a row, over all symbols, that pauses entries; a trade without a loss resets it."""
    pause_s: Annotated[int, Field(ge=0, le=604_800), HIGHER] = 86400
    """The seconds in which entries are refused after `in_a_row` losses."""


class PacePolicy(Table):
    """The pace of trading. Orders that reduce risk are counted, but only `reductions_per_minute` limits them."""

    entries_per_minute: Annotated[int, Field(ge=1, le=1000), LOWER] = 1
    """The largest number of entries in any 60 seconds."""
    entries_per_day: Annotated[int, Field(ge=1, le=100_000), LOWER] = 6
    """The largest number of entries in a UTC day."""
    max_turnover: Annotated[Decimal, Field(gt=0, le=1000), LOWER] = Decimal(2)
    """The largest turnover (bought and sold) of a UTC day, as a multiple of the equity at the start of the day."""
    max_fees: Annotated[Share, LOWER] = Decimal("0.002")
    """The fees of a UTC day from which entries are refused, as a share of the equity at the start of the day."""
    reductions_per_minute: Annotated[int, Field(ge=1, le=1000), LOWER] = 10
    """The largest number of closings and new stops that an agent may request in any 60 seconds; the guard's do not
    count. A trailing stop moves at most once a candle, and only by a tenth of its distance or more: two requests."""
    reentry_s: Annotated[int, Field(ge=0, le=604_800), HIGHER] = 14400
    """The seconds after the close of a position in which entries in its symbol are refused."""


class CallersPolicy(Table):
    """The quotas of each attached caller for events in the journal. Closing, cancelling and halting always pass."""

    notes_per_minute: Annotated[int, Field(ge=1, le=10_000), LOWER] = 30
    """The largest number of notes of one caller in any 60 seconds."""
    refusals_per_minute: Annotated[int, Field(ge=1, le=10_000), LOWER] = 150
    """The largest number of refusals of one caller in any 60 seconds; then entries and notes are rejected unread."""


class DataPolicy(Table):
    """The oldest price with which an entry passes, and the treatment of positions when a symbol's data end."""

    slack_s: Annotated[int, Field(ge=0, le=3600), LOWER] = 30
    """The largest age of the last price, in seconds, beyond the length of a candle."""
    on_end: Annotated[Literal["close", "keep"], OPTIONAL] = "close"
    """The treatment of a position if its symbol's candles end before those of other symbols: `close` it at the last
    price with the usual fee, or `keep` it at that price and report it as not closed."""


class Policies(Table):
    """A whole policy file. A missing table takes the strictest value of each key."""

    name: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[\w .+-]+$")]
    symbols: SymbolPolicy = SymbolPolicy()
    order: OrderPolicy = OrderPolicy()
    execution: ExecutionPolicy = ExecutionPolicy()
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
    adopt: AdoptPolicy = AdoptPolicy()
    scale: ScalePolicy = ScalePolicy()
    anomaly: AnomalyPolicy = AnomalyPolicy()
    tainted: TaintedPolicy = TaintedPolicy()
    gate: GatePolicy = GatePolicy()
    decision: DecisionPolicy = DecisionPolicy()
    fallback: FallbackPolicy = FallbackPolicy()
    budget: BudgetPolicy = BudgetPolicy()
    rules: RulesPolicy = RulesPolicy()
    learning: LearningPolicy = LearningPolicy()
    mandate: MandatePolicy | None = None
    approval: ApprovalPolicy | None = None


_MOST_SHOWN: Final = 5
"""The largest number of looser keys that `not_stricter` names."""


def table_of(declared: FieldInfo) -> type[Table] | None:
    """Return the table that a field of the policies holds, optional or not; None for a field that is no table."""
    kinds = (declared.annotation, *get_args(declared.annotation))
    return next((each for each in kinds if isinstance(each, type) and issubclass(each, Table)), None)


@cache
def policy_keys() -> tuple[tuple[str, FieldInfo], ...]:
    """Return every key of a policy file, as `table.key`, with its declaration, in the order of the models."""
    kinds = [(table, kind) for table, field in Policies.model_fields.items() if (kind := table_of(field)) is not None]
    return tuple((f"{table}.{key}", declared) for table, kind in kinds for key, declared in kind.model_fields.items())


def value_of(policies: Policies, key: str) -> Any:
    """Return the value of a key, such as `order.max_notional`; None if the file lacks its table."""
    table, name = key.split(".")
    return getattr(getattr(policies, table), name, None)


def value_text(value: object, between: str) -> str:
    """Return a policy's value as text; the entries of a list are separated by `between`."""
    if isinstance(value, tuple):
        return between.join(map(str, value)) or "none"
    if isinstance(value, dict):
        return between.join(f"{name} = {size:g}" for name, size in value.items()) or "none"
    if value is None:
        return "none"
    return iso(round(value.timestamp() * SECOND)) if isinstance(value, datetime) else str(value)


def as_strict(declared: FieldInfo, one: Any, other: Any) -> bool:
    """Return whether `one` is at least as strict as `other`; both are values of the same key."""
    stricter = stricter_of(declared)
    if stricter in (LOWER, HIGHER):
        return bool(one <= other if stricter is LOWER else one >= other)
    if stricter in (FEWER, MORE):
        return _covers(other, one) if stricter is FEWER else _covers(one, other)
    choices = get_args(declared.annotation)
    return choices.index(one) <= choices.index(other)


def looser_and_stricter(one: Policies, than: Policies) -> tuple[list[str], list[str]]:
    """Return the keys of limits in which `one` is looser than `than`, and those in which it is stricter."""
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
    """Return why the policy of `[tainted]` is not stricter than the usual one in `keys`; empty if it is stricter."""
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
