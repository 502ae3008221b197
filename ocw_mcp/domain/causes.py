"""Why a decision holds everything, or why the rules made it in the agent's place."""

from enum import StrEnum
from typing import Final

import msgspec


class CauseKind(StrEnum):
    """The kinds of causes; `MEANING_OF_CAUSE` explains each."""

    NOTHING_TO_DO = "NOTHING_TO_DO"
    NO_AGENT = "NO_AGENT"
    MODEL_HOLDS = "MODEL_HOLDS"
    UNSENT = "UNSENT"
    REMEMBERED = "REMEMBERED"
    PAUSED = "PAUSED"
    EARLIER = "EARLIER"
    DEADLINE = "DEADLINE"
    GIVEN_UP = "GIVEN_UP"
    ERROR = "ERROR"
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

    @property
    def failed(self) -> bool:
        """Whether the decider did not answer; the other kinds explain a HOLD."""
        return self not in _HOLDS


_HOLDS: Final = frozenset(
    {
        CauseKind.NOTHING_TO_DO,
        CauseKind.NO_AGENT,
        CauseKind.MODEL_HOLDS,
        CauseKind.UNSENT,
        CauseKind.REMEMBERED,
        CauseKind.PAUSED,
        CauseKind.EARLIER,
    }
)
MODEL_ANSWERED: Final = frozenset({CauseKind.MODEL_HOLDS, CauseKind.UNSENT})
"""Kinds with which a model answered without legs; the detail is in its own words."""

MEANING_OF_CAUSE: Final[dict[CauseKind, str]] = {
    CauseKind.NOTHING_TO_DO: "nothing to do",
    CauseKind.NO_AGENT: "the run was started without an agent",
    CauseKind.MODEL_HOLDS: "the model decided to hold",
    CauseKind.UNSENT: "the model wrote its decision as text, so nothing was sent",
    CauseKind.REMEMBERED: "nothing that matters has changed since the model decided to hold",
    CauseKind.PAUSED: "the agent is paused",
    CauseKind.EARLIER: "the text of an earlier version",
    CauseKind.DEADLINE: "no answer came before the deadline",
    CauseKind.GIVEN_UP: "the engine stopped waiting for the answer",
    CauseKind.ERROR: "the decider failed",
    CauseKind.NO_KEY: "there is no API key",
    CauseKind.BAD_KEY: "the API rejects the key (401, 403)",
    CauseKind.NO_CREDIT: "the account has no credit (402, or 400 with a credit balance that is too low)",
    CauseKind.RATE_LIMITED: "the rate limit of the API is exceeded (429)",
    CauseKind.OVERLOADED: "the API is overloaded (529)",
    CauseKind.SERVER: "the API failed with an internal error (5xx)",
    CauseKind.BAD_REQUEST: "the API rejects the request (4xx)",
    CauseKind.NO_MODEL: "the model does not exist, or is retired (404)",
    CauseKind.TIMEOUT: "no answer came in time",
    CauseKind.UNREACHABLE: "nothing answers at the API's address",
    CauseKind.CONNECTION: "the connection broke off",
    CauseKind.REFUSAL: "the model refused to answer",
    CauseKind.CUT_OFF: "the answer was cut off",
    CauseKind.MALFORMED: "no decision could be read from the answer",
    CauseKind.IMPOSSIBLE: "every leg of the decision was refused",
    CauseKind.TOOL_LOOP: "the model kept calling tools and did not decide",
    CauseKind.TOOLS: "the engine's tools could not be called",
    CauseKind.BUDGET: "the next call might cost more than may be spent",
    CauseKind.THROTTLED: "most of the budget is spent, so the rules decide every other routine wake",
    CauseKind.NOT_KEPT: "the possible cost of the next call could not be stored first",
    CauseKind.NO_PRICE: "the model's price is unknown, so the budget could not be enforced",
    CauseKind.BREAKER: "too many decisions failed in a row, so the model is not asked for a while",
    CauseKind.NOT_RECORDED: "the recording has no answer to this request",
    CauseKind.INTERNAL: "an internal error occurred",
}


class Cause(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a decision is not the decider's own order. The detail is one clause, and may quote a model or an error."""

    kind: CauseKind
    detail: str = ""

    def told(self, detail: str) -> str:
        """Return the cause in plain words, with `detail` as the caller quotes it."""
        meaning = MEANING_OF_CAUSE[self.kind]
        if self.kind is CauseKind.EARLIER:
            return detail
        if not self.kind.failed:
            return f"{meaning}: {detail}" if detail else meaning
        return f"{self.kind}: {meaning}; {detail}" if detail else f"{self.kind}: {meaning}"

    def __str__(self) -> str:
        return self.told(self.detail)
