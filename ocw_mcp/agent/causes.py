"""Why a decision did not come from Claude: one cause each, and the sentence that explains it."""

from enum import StrEnum
from typing import Final

import msgspec


class Cause(StrEnum):
    """The causes. What they mean is in `CAUSE_MEANING`."""

    NO_KEY = "NO_KEY"
    BAD_KEY = "BAD_KEY"
    NO_CREDIT = "NO_CREDIT"
    RATE_LIMITED = "RATE_LIMITED"
    OVERLOADED = "OVERLOADED"
    SERVER = "SERVER"
    BAD_REQUEST = "BAD_REQUEST"
    NO_MODEL = "NO_MODEL"
    TIMEOUT = "TIMEOUT"
    UNREACHABLE = "UNREACHABLE"
    CONNECTION = "CONNECTION"
    REFUSAL = "REFUSAL"
    CUT_OFF = "CUT_OFF"
    MALFORMED = "MALFORMED"
    IMPOSSIBLE = "IMPOSSIBLE"
    TOOL_LOOP = "TOOL_LOOP"
    TOOLS = "TOOLS"
    BUDGET = "BUDGET"
    THROTTLED = "THROTTLED"
    NOT_KEPT = "NOT_KEPT"
    NO_PRICE = "NO_PRICE"
    BREAKER = "BREAKER"
    NOT_RECORDED = "NOT_RECORDED"
    INTERNAL = "INTERNAL"


CAUSE_MEANING: Final[dict[Cause, str]] = {
    Cause.NO_KEY: "there is no key to ask with",
    Cause.BAD_KEY: "the key is not let in (401, 403)",
    Cause.NO_CREDIT: "the account cannot pay (402, or 400 with a credit balance that is too low)",
    Cause.RATE_LIMITED: "more was asked than may be (429)",
    Cause.OVERLOADED: "the API is overloaded (529)",
    Cause.SERVER: "the API failed inside (5xx)",
    Cause.BAD_REQUEST: "the API does not take the request (4xx)",
    Cause.NO_MODEL: "the model does not exist, or is retired (404)",
    Cause.TIMEOUT: "no answer came in time",
    Cause.UNREACHABLE: "nobody answers at the API's address",
    Cause.CONNECTION: "the connection broke off",
    Cause.REFUSAL: "the model refused to answer",
    Cause.CUT_OFF: "the answer was cut off",
    Cause.MALFORMED: "the answer is none that a decision could be read from",
    Cause.IMPOSSIBLE: "every leg of the decision was refused",
    Cause.TOOL_LOOP: "the model went on calling tools and did not decide",
    Cause.TOOLS: "the desk's tools could not be asked",
    Cause.BUDGET: "the next call might cost more than may be spent",
    Cause.THROTTLED: "of the budget little is left, so every other routine wake is left to the rules",
    Cause.NOT_KEPT: "what the next call may cost could not be written down first",
    Cause.NO_PRICE: "nobody tells what the model costs, so no budget could hold",
    Cause.BREAKER: "too many decisions failed in a row, and the model is left alone for a while",
    Cause.NOT_RECORDED: "the recording holds no answer to this request",
    Cause.INTERNAL: "something failed inside",
}

UNASKED: Final = frozenset(
    {
        Cause.NO_KEY,
        Cause.BUDGET,
        Cause.THROTTLED,
        Cause.NOT_KEPT,
        Cause.NO_PRICE,
        Cause.BREAKER,
        Cause.NOT_RECORDED,
    }
)
"""Causes that say nothing about whether the model would have answered."""
ANSWERED: Final = frozenset({Cause.IMPOSSIBLE})
"""Causes that show it did."""

RETRIED: Final = frozenset({Cause.RATE_LIMITED, Cause.OVERLOADED, Cause.SERVER})
"""Worth a second try: nothing was billed, and a moment later it may go."""


class Trouble(msgspec.Struct, frozen=True):
    """What went wrong with one call: data for a person, never for a model."""

    cause: Cause
    detail: str = ""
    retry_after_s: float | None = None
    """How long the API asks to be left alone, where it does."""
    may_be_billed: bool = False
    """Whether the model may have worked on the call all the same: then it counts at its worst, and is not repeated."""

    def __str__(self) -> str:
        meaning = CAUSE_MEANING[self.cause]
        return f"{self.cause}: {meaning}; {self.detail}" if self.detail else f"{self.cause}: {meaning}"
