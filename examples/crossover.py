"""Moving-average crossover: long while the fast average of the hourly closes is above the slow one, flat otherwise.

python examples/crossover.py
ocw run --market sim --for 30d --every 1h --strategy examples.crossover:decide
"""

from ocw_mcp import Decision, Leg, Snapshot, replay

SIZE = 0.08
"""Share of equity in one position: three of them stay below the limit for symbols that move as one."""
STOP = 0.03
"""Distance of the stop from the price, as a share of it."""


def decide(snapshot: Snapshot) -> Decision:
    """Follow the averages of every symbol."""
    legs = []
    for name, view in snapshot.symbols.items():
        fast, slow, last = view.reading("ema_9@1h"), view.reading("ema_21@1h"), view.last
        if not (fast and slow and last):
            continue  # a reading is not known yet
        if fast > slow and not view.position:
            why = f"EMA 9 is {fast / slow - 1:.2%} above EMA 21"
            legs.append(Leg(name, "BUY", size=SIZE, stop=last * (1 - STOP), reasoning=why))
        elif fast < slow and view.position:
            legs.append(Leg(name, "SELL", reasoning="EMA 9 fell below EMA 21"))
    return Decision(legs)


if __name__ == "__main__":
    result = replay("sim", strategy=decide, every="1h", days=30)
    print(result)
    print(result.trades)
