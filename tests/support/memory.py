"""Diary entries, and Hypothesis strategies for them."""

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from ocw_mcp.adapters.store.views.trades import TradeRow
from ocw_mcp.agent.memory.diary import Diary, Digest, Origin, Reflection, Situation
from ocw_mcp.domain.time import DAY, HOUR

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


@st.composite
def diaries(draw: st.DrawFn, most: int = 8) -> Diary:
    """Draw a diary of reflections within 60 days, some with a lesson."""
    times = sorted(draw(st.lists(st.integers(0, 60 * DAY), max_size=most)))
    return diary(
        *(
            reflection(
                order,
                NOON + after,
                pnl=str(draw(st.integers(-3, 3))),
                situation=draw(situations),
                side=draw(st.sampled_from(["long", "short"])),
                lesson=draw(st.sampled_from(["", f"Lesson of {order}."])),
            )
            for order, after in enumerate(times, 1)
        )
    )
