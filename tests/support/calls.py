"""Hypothesis strategies for tool calls, most of them valid, drawn from the tools' own schemas."""

from typing import Any

from hypothesis import strategies as st

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**40), 10**40),
    st.floats(),
    st.sampled_from(["", "NaN", "-Infinity", "1e999999", "0x10", "\x00", "٣", "../../etc/passwd", "'; DROP TABLE x"]),
    st.text(max_size=200),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)
TEXTS = st.one_of(
    st.sampled_from(["BTCUSDT", "ethusdt", "1h", "15m", "2026-01-01", "wake:1", "order:1", "1-e-0", "orders:5", "0.1"]),
    st.text(max_size=40),
)
NUMBERS = st.one_of(st.integers(-5, 500), st.floats(allow_nan=False, allow_infinity=False), TEXTS)


def fitting(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for the valid values of a property."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    choices: list[st.SearchStrategy[Any]] = []
    for kind in kinds:
        if kind == "array":
            choices.append(st.lists(st.deferred(lambda: element(schema["items"])), max_size=4))
        elif kind == "integer":
            choices.append(st.integers(schema.get("minimum", -(10**6)), schema.get("maximum", 10**6)))
        elif kind == "object":
            choices.append(st.dictionaries(TEXTS, NUMBERS, max_size=4))
        else:
            choices.append({"string": TEXTS, "number": NUMBERS, "null": st.none(), "boolean": st.booleans()}[kind])
    return st.one_of(choices)


def element(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for the items of a list."""
    return arguments(schema) if schema["type"] == "object" else fitting(schema)


@st.composite
def arguments(draw: st.DrawFn, schema: dict[str, Any]) -> dict[str, Any]:
    """Draw arguments for a tool: most fit its schema, some are junk, missing or unknown."""
    given_: dict[str, Any] = {}
    for name, each in schema["properties"].items():
        if name in schema.get("required", ()) or draw(st.booleans()):
            given_[name] = draw(JUNK if draw(st.integers(0, 5)) == 0 else fitting(each))
    if draw(st.integers(0, 9)) == 0:
        given_[draw(st.text(max_size=10))] = draw(JUNK)
    return given_
