"""Mean reversion: wait with a limit order below a market that fell out of its Bollinger bands, or above one that rose.

python examples/mean_reversion.py
ocw run --market sim --for 30d --every 15m --strategy examples.mean_reversion:decide
"""

from ocw_mcp import Decision, Leg, Snapshot, replay

SIZE = 0.1
BETTER = 0.002
"""How much better than the last price the limit is, as a share of it."""
STOP, TARGET = 0.02, 0.01
"""Distances from the limit, as shares of it."""


def decide(snapshot: Snapshot) -> Decision:
    """Bid below the lower band and offer above the upper one; the stop and the target do the rest."""
    legs = []
    for name, view in snapshot.symbols.items():
        place, last = view.reading("percent_b@15m"), view.last  # 0 is on the lower band, 1 on the upper one
        if view.position or not last or not isinstance(place, float):
            continue
        if not view.feasible:
            continue  # Unknown while an order of the symbol is under way
        if place < 0:
            way, action = 1, "BUY"
        elif place > 1:
            way, action = -1, "SHORT"
        else:
            continue
        limit = last * (1 - way * BETTER)
        legs.append(
            Leg(
                name,
                action,
                size=SIZE,
                limit=limit,
                limit_expires_s=900,
                post_only=True,
                stop=limit * (1 - way * STOP),
                target=limit * (1 + way * TARGET),
                reasoning=f"%B of 15m is {place:.2f}",
            )
        )
    return Decision(legs)


if __name__ == "__main__":
    result = replay("sim", strategy=decide, every="15m", days=10)
    print(result)
    print(result.trades)
