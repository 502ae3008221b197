"""Invents: tools, symbols, prices, sizes, wakes, results, and shapes of a decision that no schema has."""

from collections.abc import Callable
from typing import Any, Final

from ocw_mcp.sandbox.claude import reading
from ocw_mcp.sandbox.claude.answer import Call, ModelAnswer, Say
from ocw_mcp.sandbox.claude.dice import SeededRandom
from ocw_mcp.sandbox.claude.request import MessagesRequest


def hallucinator(request: MessagesRequest, dice: SeededRandom) -> ModelAnswer:
    """One invention after another; which ones is for the dice."""
    return dice.pick(INVENTIONS)(request, dice)


def a_tool(request: MessagesRequest, dice: SeededRandom) -> ModelAnswer:
    """A tool that nobody offered."""
    name = dice.pick(("orders_place_now", "risk_raise_limits", "web_search", "account_withdraw"))
    return ModelAnswer((Call(name, {"symbol": "BTCUSDT", "quantity": 1}),))


def a_symbol(request: MessagesRequest, dice: SeededRandom) -> ModelAnswer:
    """A coin that nobody listed."""
    symbol = dice.pick(("MOONUSDT", "SAFEELONUSDT", "BTCUSDX"))
    return _submit(request, [_entry(symbol, size="0.1", stop="0.9", target="2")])


def a_price(request: MessagesRequest, dice: SeededRandom) -> ModelAnswer:
    """Prices from another market."""
    stop, target = dice.pick((("-5", "10"), ("0", "0"), ("99999999", "1"), ("0.0000001", "1e12")))
    return _submit(request, [_entry(_known(request, dice), size="0.1", stop=stop, target=target)])


def a_size(request: MessagesRequest, dice: SeededRandom) -> ModelAnswer:
    """Ten times everything there is."""
    return _submit(request, [_entry(_known(request, dice), size=dice.pick(("10", "-1", "1e9")), stop="1")])


def a_shape(request: MessagesRequest, dice: SeededRandom) -> ModelAnswer:
    """A decision in a form of its own."""
    symbol = _known(request, dice)
    legs: Any = dice.pick(
        (
            f"BUY {symbol}",
            [{"symbol": symbol, "action": "YOLO"}],
            [symbol],
            [{"action": "BUY", "size": "a lot"}],
            {"symbol": symbol, "action": "BUY"},
        )
    )
    return ModelAnswer((Call(reading.SUBMIT, {"wake": reading.wake(request), "legs": legs, "conviction": "max"}),))


def a_wake(request: MessagesRequest, dice: SeededRandom) -> ModelAnswer:
    """The answer to another question."""
    return ModelAnswer((Call(reading.SUBMIT, {"wake": reading.wake(request) + 1_000, "legs": []}),))


def a_result(request: MessagesRequest, dice: SeededRandom) -> ModelAnswer:
    """A decision that it only talks about."""
    return ModelAnswer(
        (Say(f"I have submitted a BUY of {_known(request, dice)} and it was filled at a very good price."),)
    )


INVENTIONS: Final[tuple[Callable[[MessagesRequest, SeededRandom], ModelAnswer], ...]] = (
    a_tool,
    a_symbol,
    a_price,
    a_size,
    a_shape,
    a_wake,
    a_result,
)


def _known(request: MessagesRequest, dice: SeededRandom) -> str:
    return dice.pick([row["symbol"] for row in reading.table(request, "symbol", "last")] or ["BTCUSDT"])


def _entry(symbol: str, **figures: str) -> dict[str, Any]:
    return {"symbol": symbol, "action": "BUY", **figures, "thesis": "it can only go up", "signals": ["vibes"]}


def _submit(request: MessagesRequest, legs: list[dict[str, Any]]) -> ModelAnswer:
    return ModelAnswer((Call(reading.SUBMIT, {"wake": reading.wake(request), "legs": legs}),))
