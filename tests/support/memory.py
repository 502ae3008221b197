"""Diary entries, and Hypothesis strategies for them."""

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from ocw_mcp.adapters.store.views.trades import TradeRow
from ocw_mcp.agent.memory.diary import Diary, Digest, Origin, Reflection, Situation
from ocw_mcp.domain.time import DAY, HOUR
from tests.support.dice import Dice, dice

WRITER = "claude-haiku-4-5"
NOON = 20_000 * DAY + 12 * HOUR
RISING = Situation("BTCUSDT", None, (("momentum", 0.8), ("reversion", -0.6), ("trend", 1.0)))
FALLING = Situation("BTCUSDT", None, (("momentum", -0.8), ("reversion", 0.6), ("trend", 1.0)))


def origin(at: int = NOON) -> Origin:
    """Return the origin of an entry that is known from `at`."""
    return Origin(at, WRITER, "prompts")


def reflection(
    order: int = 1, at: int = NOON, *, pnl: str = "-12.5", situation: Situation = RISING, **more: Any
) -> Reflection:
    """Return a reflection on a long that was stopped out."""
    fields: dict[str, Any] = {"wake": 7, "side": "long", "closed_at": at - HOUR, "closed_by": "stop"}
    fields |= {"text": f"Text of {order}."} | more
    return Reflection(origin(at), order, situation=situation, pnl=Decimal(pnl), **fields)


def digest(at: int = NOON, text: str = "A quiet day.") -> Digest:
    """Return the digest of a day."""
    return Digest(origin(at), "2026-03-09", text)


def diary(*entries: Reflection | Digest) -> Diary:
    """Return a diary of entries, in the order in which they became known."""
    made = Diary()
    for each in entries:
        made = made.with_entry(each)
    return made


def trade(order: int = 1, closed_at: int = NOON, pnl: str = "-12.5", **more: Any) -> TradeRow:
    """Return a long that was stopped out after three hours."""
    fields: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "side": "long",
        "opened_at": closed_at - 3 * HOUR,
        "quantity": Decimal("0.1"),
        "entry_price": Decimal(60_000),
        "exit_price": Decimal(59_900),
        "fees": Decimal("2.5"),
        "funding": Decimal(0),
        "closed_by": "stop",
    }
    return TradeRow(closed_at=closed_at, pnl=Decimal(pnl), order=order, **(fields | more))


shares = st.floats(-1, 1)
situations = st.builds(
    Situation,
    st.sampled_from(["BTCUSDT", "ETHUSDT"]),
    st.none() | st.sampled_from(["calm", "wild"]),
    st.dictionaries(st.sampled_from(["momentum", "reversion", "trend", "derivatives"]), shares).map(
        lambda found: tuple(sorted(found.items()))
    ),
)


def _situation(roll: Dice) -> Situation:
    """Return a situation as `situations` draws it."""
    symbol, regime = roll.pick(("BTCUSDT", "ETHUSDT")), roll.pick((None, None, "calm", "wild"))
    scores = {name: roll.pick(_SCORES) for name in ("derivatives", "momentum", "reversion", "trend") if roll.yes()}
    return Situation(symbol, regime, tuple(scores.items()))


_SCORES = (0.0, -1.0, 1.0, *(number / 1_000_003 for number in range(-1_000_000, 1_000_000, 7_919)))


def _diary(roll: Dice, most: int) -> Diary:
    times = sorted(roll.pick(range(60 * DAY + 1)) for _ in range(roll.pick(range(most + 1))))
    return diary(
        *(
            reflection(
                order,
                NOON + after,
                pnl=str(roll.pick(range(-3, 4))),
                situation=_situation(roll),
                side=roll.pick(("long", "short")),
                lesson=roll.pick(("", f"Lesson of {order}.")),
            )
            for order, after in enumerate(times, 1)
        )
    )


def diaries(most: int = 8) -> st.SearchStrategy[Diary]:
    """Return a strategy of diaries of reflections within 60 days, some with a lesson."""
    return dice(1 + 34 * most).map(lambda roll: _diary(roll, most))
