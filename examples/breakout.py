"""Volatility breakout: look every four hours, and let wake conditions call in between when a price leaves its range.

python examples/breakout.py
ocw run --market sim --for 30d --every 4h --strategy examples.breakout:decide
"""

from ocw_mcp import Decision, Leg, Snapshot, WakeCondition, replay

SIZE = 0.1
RANGE = 2.0
"""Half the width of the range, in ATRs of an hour."""
STOP = 2.0
"""Distance of the stop, in ATRs of an hour; the policies allow 5 % of the price at most."""


def decide(snapshot: Snapshot) -> Decision:
    """Enter the way that a price has broken out within the last hour; watch the ranges of the others."""
    legs, conditions = [], []
    for name, view in snapshot.symbols.items():
        atr, last = view.reading("atr_14@1h"), view.last
        if view.position or not (atr and last):
            continue
        width, moved = RANGE * atr / last, view.return_1h or 0.0
        if abs(moved) > width:
            way = 1 if moved > 0 else -1
            stop = last * (1 - way * min(STOP * atr / last, 0.045))
            why = f"moved {moved:.2%} in an hour, beyond {width:.2%}"
            legs.append(Leg(name, "BUY" if way > 0 else "SHORT", size=SIZE, stop=stop, reasoning=why))
        else:
            conditions.append(WakeCondition(name, "price", "crosses_above", last * (1 + width)))
            conditions.append(WakeCondition(name, "price", "crosses_below", last * (1 - width)))
    return Decision(legs, wake_conditions=conditions)


if __name__ == "__main__":
    result = replay("sim", strategy=decide, every="4h", days=30)
    print(result)
    print(result.trades)
