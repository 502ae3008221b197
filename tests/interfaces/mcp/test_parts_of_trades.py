"""A position that a client reduces and protects is one trade with its parts in the tools about the past."""

from pathlib import Path

from tests.support.deciders import Scripted
from tests.support.facades import FacadeRun
from tests.support.trading import call, content, holding, price, text


async def test_trade_of_a_client_shows_its_parts_and_moved_stops(tmp_path: Path) -> None:
    sim = FacadeRun(tmp_path / "desk", Scripted({}))
    await holding(sim)
    stop = f"{price(sim) * 0.98:.2f}"
    content(await call(sim, "positions_set_protection", symbol="BTCUSDT", stop=stop, key="p"))
    content(await call(sim, "positions_reduce", symbol="BTCUSDT", share=0.5, rationale="half is enough", key="r"))
    await sim.go(3)
    content(await call(sim, "positions_close", symbol="BTCUSDT", rationale="the day ends", key="c"))
    await sim.go(4)
    found = await call(sim, "trades_search")
    (trade,) = content(found)["trades"]
    entry, half, rest = trade["parts"]
    assert entry.startswith("in 100% at ")
    assert entry.endswith("BUY by mcp:insider")
    assert half.startswith("out ")
    assert half.endswith("REDUCE by mcp:insider")
    assert rest.endswith("close by mcp:insider")
    assert all(part in text(found) for part in trade["parts"])
    told = await call(sim, "decisions_explain", id=trade["id"], detail="detailed")
    assert f"trade {trade['id']} long BTCUSDT: pnl {trade['pnl']} after fees and funding; {entry}" in text(told)
    (moved,) = [line for line in content(told)["steps"] if " -> " in line]
    assert "BTCUSDT stop " in moved
    assert moved.endswith(" by mcp:insider")
    sim.store.close()
