"""Deciders that do as they are told."""

from collections.abc import Callable
from decimal import Decimal
from random import Random  # noqa: TID251 - seeded, by whoever asks
from typing import Any

from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.time import SECOND


class Scripted:
    """Answers the wakes of a script, by wake number, and thinks for as long as it is told to."""

    name = "scripted"

    def __init__(self, script: dict[int, Decision], thinking_ms: int | Callable[[int], int] = 0) -> None:
        self._script = script
        self._thinking = thinking_ms
        self.asked: list[DecisionRequest] = []

    def thinking_ms(self, request: DecisionRequest) -> int:
        return self._thinking if isinstance(self._thinking, int) else self._thinking(request.wake_id)

    async def decide(self, request: DecisionRequest) -> Decision:
        self.asked.append(request)
        return self._script.get(request.wake_id, Decision(cause=Cause(CauseKind.NOTHING_TO_DO)))


class Failing:
    """Cannot answer."""

    name = "failing"

    def thinking_ms(self, request: DecisionRequest) -> int:
        return 0

    async def decide(self, request: DecisionRequest) -> Decision:
        raise ConnectionError("the line is dead")


def with_used_fields(symbol: str, action: Action, **fields: Any) -> Leg:
    """Return a leg with those of the fields that its action uses."""
    return Leg(symbol, action, **{name: value for name, value in fields.items() if name in action.fields})


class Reckless:
    """Decides at random, but the same at the same wake."""

    name = "random"

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def thinking_ms(self, request: DecisionRequest) -> int:
        return Random(f"{self._seed} thinks {request.wake_id}").choice((0, 0, 20, 45, 75, 200)) * SECOND

    async def decide(self, request: DecisionRequest) -> Decision:
        draw = Random(f"{self._seed} decides {request.wake_id}")
        legs = []
        for view in request.snapshot.symbols.values():
            action = draw.choice((*Action, Action.BUY, Action.BUY, Action.SHORT, Action.SHORT, Action.ADD))
            price = view.last if isinstance(view.last, float) else 1.0
            side = -1 if action is Action.SHORT or (view.position and view.position.quantity < 0) else 1
            stop = price * (1 - side * draw.choice((0.004, 0.01, 0.03, 0.049, 0.06, -0.01)))
            target = price * (1 + side * draw.choice((0.003, 0.02))) if draw.random() < 0.4 else None
            patient = draw.random() < 0.4
            limit = price * (1 - side * draw.choice((-0.002, 0.0, 0.001, 0.003)))
            size = Decimal(draw.choice(("0.05", "0.12", "0.25", "0.6")))
            expires_s = draw.choice((None, 90, 600))
            legs.append(
                with_used_fields(
                    view.symbol,
                    action,
                    size=size,
                    stop=Decimal(f"{stop:.4f}"),
                    target=Decimal(f"{target:.7f}") if target else None,
                    limit=Decimal(f"{limit:.5f}") if patient else None,
                    limit_expires_s=expires_s if patient else None,
                    post_only=draw.random() < 0.3 and patient,
                    share=Decimal(draw.choice(("0.001", "0.3", "0.5", "1"))),
                    trail=draw.choice((None, Decimal("0.002"), Decimal("0.02"))),
                )
            )
        return Decision(tuple(legs))
