"""Why a decision is HOLD for every symbol, or why the rules made it in the agent's place."""

from typing import Final

import msgspec

from ocw_mcp.domain.explained import Explained


class CauseKind(Explained):
    """The kinds of causes."""

    NOTHING_TO_DO = "NOTHING_TO_DO", "nothing to do"
    NO_AGENT = "NO_AGENT", "the run was started without an agent"
    MODEL_HOLDS = "MODEL_HOLDS", "the model decided to hold"
    UNSENT = "UNSENT", "the model wrote its decision as text, so nothing was sent"
    REMEMBERED = "REMEMBERED", "nothing that matters has changed since the model decided to hold"
    PAUSED = "PAUSED", "the agent is paused"
    EARLIER = "EARLIER", "the text of an earlier version"
    DEADLINE = "DEADLINE", "no answer came before the deadline"
    GIVEN_UP = "GIVEN_UP", "the engine stopped waiting for the answer"
    ERROR = "ERROR", "the decider failed"
    NO_KEY = "NO_KEY", "there is no API key"
    BAD_KEY = "BAD_KEY", "the API rejects the key (401, 403)"
    NO_CREDIT = "NO_CREDIT", "the account has no credit (402, or 400 with a credit balance that is too low)"
    RATE_LIMITED = "RATE_LIMITED", "the rate limit of the API is exceeded (429)"
    OVERLOADED = "OVERLOADED", "the API is overloaded (529)"
    SERVER = "SERVER", "the API failed with an internal error (5xx)"
    BAD_REQUEST = "BAD_REQUEST", "the API rejects the request (4xx)"
    NO_MODEL = "NO_MODEL", "the model does not exist, or is retired (404)"
    TIMEOUT = "TIMEOUT", "no answer came in time"
    UNREACHABLE = "UNREACHABLE", "nothing answers at the API's address"
    CONNECTION = "CONNECTION", "the connection broke off"
    REFUSAL = "REFUSAL", "the model refused to answer"
    CUT_OFF = "CUT_OFF", "the answer was cut off"
    MALFORMED = "MALFORMED", "no decision could be read from the answer"
    IMPOSSIBLE = "IMPOSSIBLE", "every leg of the decision was refused"
    TOOL_LOOP = "TOOL_LOOP", "the model kept calling tools and did not decide"
    TOOLS = "TOOLS", "the engine's tools could not be called"
    BUDGET = "BUDGET", "the next call might cost more than may be spent"
    THROTTLED = "THROTTLED", "most of the budget is spent, so the rules decide every other routine wake"
    NOT_KEPT = "NOT_KEPT", "the possible cost of the next call could not be stored first"
    NO_PRICE = "NO_PRICE", "the model's price is unknown, so the budget could not be enforced"
    BREAKER = "BREAKER", "too many decisions failed in a row, so the model is not asked for a while"
    NOT_RECORDED = "NOT_RECORDED", "the recording has no answer to this request"
    INTERNAL = "INTERNAL", "an internal error occurred"

    @property
    def failed(self) -> bool:
        """Whether the decider failed to answer; all other kinds explain a HOLD."""
        return self not in _HOLDS


MODEL_ANSWERED: Final = frozenset({CauseKind.MODEL_HOLDS, CauseKind.UNSENT})
"""The causes of a model's answer without legs; the detail of these causes quotes the model."""
_HOLDS: Final = MODEL_ANSWERED | {
    CauseKind.NOTHING_TO_DO,
    CauseKind.NO_AGENT,
    CauseKind.REMEMBERED,
    CauseKind.PAUSED,
    CauseKind.EARLIER,
}


class Cause(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a decision is HOLD for every symbol or was made by the rules. `detail`, one clause, may quote a model."""

    kind: CauseKind
    detail: str = ""

    def text(self, detail: str) -> str:
        """Return the cause in plain words, with `detail` in place of `self.detail`."""
        if self.kind is CauseKind.EARLIER:
            return detail
        if self.kind.failed:
            text, separator = f"{self.kind}: {self.kind.meaning}", "; "
        else:
            text, separator = self.kind.meaning, ": "
        return f"{text}{separator}{detail}" if detail else text

    def __str__(self) -> str:
        return self.text(self.detail)
