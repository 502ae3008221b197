"""Requests to the Messages API and its replies as plain data, and `Messages`, the protocol that answers them.

`client.py` answers by calling the API through the SDK, and `recording.py` from a recording in a replay.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from ocw_mcp.agent.pricing import TokenUsage
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.protocols import Clock
from ocw_mcp.domain.time import DAY, day_begins, utc_day

NOTICE_AFTER_S: Final = 5.0
"""Seconds (real time) after which an answer that has not arrived is reported."""


UNASKED: Final = frozenset(
    {
        CauseKind.DEADLINE,
        CauseKind.GIVEN_UP,
        CauseKind.ERROR,
        CauseKind.NO_KEY,
        CauseKind.BUDGET,
        CauseKind.THROTTLED,
        CauseKind.NOT_KEPT,
        CauseKind.NO_PRICE,
        CauseKind.BREAKER,
        CauseKind.NOT_RECORDED,
    }
)
"""Causes that the circuit breaker ignores: the model was not called, or the result of the call is unknown."""
ANSWERED: Final = frozenset({CauseKind.IMPOSSIBLE})
"""Causes for which the rules decide although the model answered."""
RETRIED: Final = frozenset({CauseKind.RATE_LIMITED, CauseKind.OVERLOADED, CauseKind.SERVER})
"""Causes of failed calls that are retried: nothing was billed, and the next call may succeed."""


class Trouble(msgspec.Struct, frozen=True):
    """The failure of one call. Its text is for people; no model sees it."""

    kind: CauseKind = msgspec.field(name="cause")
    detail: str = ""
    retry_after_s: float | None = None
    """The wait (s) before a retry that the API requests; None if it requests none."""
    may_be_billed: bool = False
    """Whether the failed call may be billed: then its worst-case cost counts, and it is not retried."""

    @property
    def cause(self) -> Cause:
        """The failure as the cause for which the rules decide."""
        return Cause(self.kind, self.detail)

    def __str__(self) -> str:
        return str(self.cause)


class Request(msgspec.Struct, frozen=True):
    """One call of the model: the body of `POST /v1/messages` and the key under which it is recorded."""

    wake: int
    """The number of the wake, or below 0 the number of a diary entry (`reflection_number`, `digest_number`)."""
    turn: int
    """The number of earlier calls for the same decision."""
    body: dict[str, Any]


class Reply(msgspec.Struct, frozen=True):
    """The answer of the model. `content` is sent back unchanged with the next request."""

    stop_reason: str
    content: tuple[dict[str, Any], ...]
    usage: TokenUsage

    @property
    def text(self) -> str:
        """The text blocks, one per line."""
        texts = (block.get("text") for block in self.content if block["type"] == "text")
        return "\n".join(text for text in texts if isinstance(text, str)).strip()

    @property
    def calls(self) -> tuple[dict[str, Any], ...]:
        """The tool calls."""
        return tuple(block for block in self.content if block["type"] == "tool_use")


class Messages(Protocol):
    """Answers requests: the API, a recording, or a wrapper around one of them."""

    async def create(self, request: Request) -> Reply | Trouble:
        """Return the reply to a request, or its `Trouble`; raise nothing but a cancellation."""
        ...


def trouble_of(reply: Reply) -> Trouble | None:
    """Return the trouble of a turn that was refused, cut off or malformed; None for a finished turn."""
    match reply.stop_reason:
        case "tool_use" if reply.calls:
            return None
        case "end_turn" | "stop_sequence":
            return None
        case "refusal":
            return Trouble(CauseKind.REFUSAL)
        case "max_tokens" | "model_context_window_exceeded":
            return Trouble(CauseKind.CUT_OFF, reply.stop_reason)
        case _:
            return Trouble(CauseKind.MALFORMED, f"its stop_reason is {reply.stop_reason[:40]!r}")


def without_cache_control(body: Any) -> Any:
    """Return a request, or a part of one, without its cache breakpoints."""
    if isinstance(body, list):
        return [without_cache_control(each) for each in body]
    if isinstance(body, dict):
        return {name: without_cache_control(each) for name, each in body.items() if name != "cache_control"}
    return body


def reflection_number(order: int) -> int:
    """Return the request number of a reflection on the trade that an order opened: negative and even."""
    return -2 * order


def digest_number(day: str) -> int:
    """Return the request number of the digest of a UTC day: negative and odd."""
    return -2 * (day_begins(day) // DAY) - 1


def request_name(number: int) -> str:
    """Return the purpose of a request number in words: `wake 7`, `the reflection on order 3`."""
    if number >= 0:
        return f"wake {number}"
    if number % 2 == 0:
        return f"the reflection on order {number // -2}"
    return f"the digest of {utc_day((number + 1) // -2 * DAY)}"


ReportWait = Callable[[int, str, float], None]
"""Called with the engine time (ms), the name of the request, and the longest wait (s, real time)."""


class SlowAnswerNotice(msgspec.Struct, frozen=True):
    """A wrapper around `Messages` that reports each slow answer once; until it arrives, a simulated clock stops."""

    messages: Messages
    clock: Clock
    wake_s: float
    """The longest wait for a decision."""
    entry_s: float
    """The longest wait for a diary entry."""
    report: ReportWait
    notice_after_s: float = NOTICE_AFTER_S

    async def create(self, request: Request) -> Reply | Trouble:
        """Return the answer of the wrapped `Messages`."""
        longest_s = self.entry_s if request.wake < 0 else self.wake_s
        notice = asyncio.get_running_loop().call_later(
            self.notice_after_s, lambda: self.report(self.clock.now(), request_name(request.wake), longest_s)
        )
        try:
            return await self.messages.create(request)
        finally:
            notice.cancel()
