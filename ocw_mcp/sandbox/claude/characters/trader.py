"""A plain trader: reads first, then follows the move of the last hours, with a stop, in sizes that would pass."""

from typing import Any, Final

from ocw_mcp.sandbox.claude import reading
from ocw_mcp.sandbox.claude.character import Call, ModelAnswer, Say, SeededRandom
from ocw_mcp.sandbox.claude.reading import Row, number
from ocw_mcp.sandbox.claude.request import MessagesRequest

FIRST_READS: Final = ("market_get_snapshot", "positions_get")
TREND_PERCENT: Final = 0.8
"""The move in four hours from which on it is a trend."""
SHARE_OF_LARGEST: Final = 0.8


def trader(request: MessagesRequest, rng: SeededRandom) -> ModelAnswer:
    """Read once, submit, and correct refused sizes once."""
    submitted = reading.completed_calls(request, reading.SUBMIT)
    if submitted:
        smaller = _smaller(request, submitted[-1]) if len(submitted) == 1 else []
        return _submit(request, smaller) if smaller else ModelAnswer((Say("Done."),))
    first = [tool.name for tool in request.tools if tool.name in FIRST_READS and not tool.input_schema.get("required")]
    if first and not reading.completed_calls(request):
        return ModelAnswer((Say("Looking first."), *(Call(name, {}) for name in first)))
    if all(tool.name != reading.SUBMIT for tool in request.tools):
        return ModelAnswer((Say("There is no tool to decide with, so everything is held."),))
    return _submit(request, _legs(request, rng), rng)


def _legs(request: MessagesRequest, rng: SeededRandom) -> list[dict[str, Any]]:
    """Return a leg for each symbol of the request."""
    held = {row["position"]: row for row in reading.table(request, "position", "quantity")}
    hourly = {row["symbol"]: row for row in reading.table(request, "symbol", "tf") if row["tf"] == "1h"}
    equity = reading.figure(request, "equity")
    rows = reading.table(request, "symbol", "last")
    return [_leg(row, held.get(row["symbol"]), hourly.get(row["symbol"], {}), equity, rng) for row in rows]


def _leg(row: Row, position: Row | None, hour: Row, equity: float | None, rng: SeededRandom) -> dict[str, Any]:
    symbol, last, move = row["symbol"], number(row, "last"), number(row, "ret4h")
    appetite = rng.share()
    if last is None or move is None or equity is None:
        return _hold(symbol, "too little is known")
    quantity = number(position, "quantity") if position is not None else None
    if quantity is not None:
        long = quantity > 0
        against = -move if long else move
        if against > TREND_PERCENT:
            return {"symbol": symbol, "action": "SELL" if long else "COVER", "thesis": f"4h went {move}% against it"}
        return _hold(symbol, f"4h is at {move}%, which still supports it")
    if abs(move) < TREND_PERCENT:
        return _hold(symbol, f"{move}% in 4h is no trend")
    long = move > 0
    most = (number(row, "long_max" if long else "short_max") or 0.0) * last / equity * SHARE_OF_LARGEST
    size = min(most, 0.05 + 0.1 * appetite)
    if size < 0.005:
        return _hold(symbol, "no size worth trading would pass")
    # Two average ranges away, but outside of noise and within the usual limits.
    away = min(4.0, max(1.0, 2 * (number(hour, "atr") or 1.0))) / 100 * (1 if long else -1)
    return {
        "symbol": symbol,
        "action": "BUY" if long else "SHORT",
        "size": f"{size:.4f}",
        "stop": f"{last * (1 - away):.6g}",
        "target": f"{last * (1 + 2 * away):.6g}",
        "confidence": round(0.5 + appetite / 4, 2),
        "thesis": f"{move}% in 4h; wrong at the stop",
        "signals": ["momentum"],
    }


def _hold(symbol: str, why: str) -> dict[str, Any]:
    return {"symbol": symbol, "action": "HOLD", "thesis": why}


def _smaller(request: MessagesRequest, tried: reading.CompletedCall) -> list[dict[str, Any]]:
    """Return the refused entries in sizes that would pass."""
    equity = reading.figure(request, "equity")
    last = {row["symbol"]: number(row, "last") for row in reading.table(request, "symbol", "last")}
    legs = []
    for leg in tried.call.input.get("legs", []):
        passes, price = reading.largest_size(tried.result.text, leg["symbol"]), last.get(leg["symbol"])
        if passes and price and equity and "size" in leg:
            legs.append(leg | {"size": f"{passes * price / equity * SHARE_OF_LARGEST:.4f}"})
    return legs


def _submit(request: MessagesRequest, legs: list[dict[str, Any]], rng: SeededRandom | None = None) -> ModelAnswer:
    wanted: dict[str, Any] = {"wake": reading.wake(request), "legs": legs}
    if rng is not None:
        acted = sorted(leg["symbol"] for leg in legs if leg["action"] != "HOLD")
        wanted |= {
            "next_check_s": 60 * int(30 + 60 * rng.share()),
            "note": f"acted on {', '.join(acted)}" if acted else "nothing to do; wait for a move",
        }
    return ModelAnswer((Call(reading.SUBMIT, reading.fit_to_schema(request, wanted)),))
