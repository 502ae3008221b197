"""The kinds of faults, and the keys with which a script describes them."""

from typing import Final, NamedTuple

FORMS: Final = {
    "malformed": "a message that is cut off, so that it is no JSON",
    "nan": "prices that are not numbers",
    "zero": "prices of zero",
    "huge": "prices multiplied by 10^9",
    "negative": "prices below zero",
    "other_symbol": "the message of another symbol",
    "future": "times one day in the future",
    "schema": "fields with another name and another type",
}
"""The forms of `garbage`, and what each sends."""


class Answer(NamedTuple):
    """An error that the exchange answers to a request of an order."""

    status: int
    code: int
    msg: str
    meaning: str
    unknown: bool = False
    """Whether the order may exist nevertheless."""
    spares_reductions: bool = False
    """Whether only new orders that do not reduce a position are concerned."""


ANSWERS: Final = {
    "timeout": Answer(
        408,
        -1007,
        "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
        "The outcome is unknown.",
        unknown=True,
    ),
    "unknown": Answer(
        503,
        -1000,
        "Unknown error, please check your request or try again later.",
        "The outcome is unknown.",
        unknown=True,
    ),
    "unavailable": Answer(503, -1000, "Service Unavailable.", "The request failed."),
    "internal": Answer(
        503, -1001, "Internal error; unable to process your request. Please try again.", "The request failed."
    ),
    "overloaded": Answer(
        503,
        -1008,
        "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. Please try again.",
        "The request failed; orders that reduce a position, and cancels, are answered as usual.",
        spares_reductions=True,
    ),
    "reductions_only": Answer(
        400,
        -4400,
        "Futures Trading Quantitative Rules violated, only reduceOnly order is allowed, please try again later.",
        "The account may only reduce positions.",
        spares_reductions=True,
    ),
    "cooling_off": Answer(
        400,
        -4192,
        "Trade forbidden due to Cooling-off Period.",
        "The account may only reduce positions.",
        spares_reductions=True,
    ),
    "late": Answer(
        400,
        -5028,
        "Timestamp for this request is outside of the ME recvWindow.",
        "The request reached the matching engine too late, and failed.",
    ),
}
"""The answers of `order_error`."""


class Key(NamedTuple):
    """A key of a fault: what it expects, in words and as an example, and what it means."""

    expected: str
    example: str
    meaning: str


KEYS: Final = {
    "at": Key("a span of time", '"10m"', "When the fault begins, from the start of the sandbox."),
    "for": Key("a span of time", '"2m"', "How long the fault lasts."),
    "every": Key("a span of time", '"1h"', "The fault repeats after this time."),
    "stream": Key("a name with * and ?", '"btcusdt@kline_*"', "The streams concerned; all if it is missing."),
    "path": Key("a path with * and ?", '"/fapi/v1/klines"', "The REST paths concerned; all if it is missing."),
    "by": Key(
        "a span of time, which may be negative", '"500ms"', "The delay of messages or orders, or the skew of the clock."
    ),
    "times": Key("a whole number from 2 to 100", "2", "How often each message is sent."),
    "status": Key("an HTTP status from 400 to 599", "503", "The HTTP status of the answer."),
    "code": Key("a whole number", "-1000", "The exchange's error code in the answer."),
    "msg": Key("a text", '"Unknown error"', "The exchange's error text in the answer."),
    "form": Key(f"one of {', '.join(FORMS)}", '"nan"', "What the message contains."),
    "nth": Key("a whole number from 1", "10", "Only each n-th message of the streams concerned."),
    "replaces": Key("true or false", "true", "Whether the message is sent in place of the right one, or before it."),
    "rest": Key("true or false", "true", "Whether REST requests get no answer either."),
    "symbol": Key("a symbol", '"BTCUSDT"', "The symbol concerned."),
    "tick": Key("a decimal number as text", '"0.01"', "The new tick size."),
    "step": Key("a decimal number as text", '"0.001"', "The new step size."),
    "min_notional": Key("a decimal number as text", '"10"', "The new smallest notional."),
    "answer": Key(f"one of {', '.join(ANSWERS)}", '"timeout"', "The error that is answered."),
    "executed": Key("true or false", "true", "Whether the exchange executes the request nevertheless."),
    "method": Key("one of POST, PUT, DELETE", '"POST"', "The HTTP method concerned; all three if it is missing."),
    "side": Key("BUY or SELL", '"SELL"', "The side of the owner's order."),
    "quantity": Key("a decimal number as text", '"0.01"', "The quantity of the owner's order (base asset)."),
    "price": Key("a decimal number as text", '"80000"', "The limit of the owner's order; at the market without it."),
    "amount": Key("a decimal number as text, which may be negative", '"-100"', "The amount that is moved in (USDT)."),
    "share": Key("a decimal number as text, at most 1", '"0.5"', "The share of the position; all if it is missing."),
}


class Kind(NamedTuple):
    """A kind of fault: what it does, and its keys beside `at` and `every`."""

    meaning: str
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    @property
    def lasts(self) -> bool:
        """Return whether the fault lasts for a time, and is not over at once."""
        return "for" in self.required


_OF_ORDERS: Final = ("executed", "by", "path", "method", "nth")
KINDS: Final = {
    "drop": Kind("Each open stream connection is dropped without a closing frame.", (), ("stream",)),
    "close": Kind("Each open stream connection is closed, as after 24 hours; spot warns before.", (), ("stream",)),
    "refuse": Kind("New stream connections are refused.", ("for",), ("rest",)),
    "mute": Kind("Streams are silent, while the connection stays open.", ("for",), ("stream",)),
    "delay": Kind("Messages arrive later.", ("for", "by"), ("stream", "nth")),
    "duplicate": Kind("Messages arrive more than once.", ("for",), ("stream", "times", "nth")),
    "reorder": Kind("Each two messages arrive in the wrong order.", ("for",), ("stream",)),
    "garbage": Kind("Invalid messages arrive.", ("for", "form"), ("stream", "nth", "replaces")),
    "error": Kind("REST requests fail.", ("for",), ("path", "status", "code", "msg")),
    "limit": Kind("REST requests get the answer 429: too many requests.", ("for",), ("path",)),
    "ban": Kind("REST requests get the answer 418 until the fault ends.", ("for",), ()),
    "skew": Kind("The clock of /time and of the event times of messages is wrong.", ("for", "by"), ()),
    "filters": Kind("exchangeInfo reports other filters from now on.", ("symbol",), ("tick", "step", "min_notional")),
    "order_drop": Kind("Requests that place, change or cancel orders get no answer.", ("for",), _OF_ORDERS),
    "order_error": Kind("Requests that place, change or cancel orders fail.", ("for", "answer"), _OF_ORDERS),
    "order_hidden": Kind("Queries do not find orders that are younger than `by`.", ("for", "by"), ("path",)),
    "owner_order": Kind("The account's owner places an order in the app.", ("symbol", "side", "quantity"), ("price",)),
    "owner_close": Kind("The account's owner closes a position in the app.", ("symbol",)),
    "owner_cancel": Kind("The account's owner cancels all orders and algo orders of a symbol.", ("symbol",)),
    "transfer": Kind("The account's owner moves USDT into the account, or out of it.", ("amount",)),
    "deleverage": Kind("The exchange closes a position, or a share of it: auto-deleveraging.", ("symbol",), ("share",)),
    "key_expired": Kind("The listen key expires.", (), ()),
}
"""The kinds of faults."""

OWNER: Final = frozenset({"owner_order", "owner_close", "owner_cancel", "transfer", "deleverage", "key_expired"})
"""The kinds that change the account."""
OF_ORDERS: Final = frozenset({"order_drop", "order_error"})
"""The kinds that concern the requests of orders."""
