"""Keeps tools and system in the API's prompt cache between two decisions, since reading them costs less than writing.

A cached prefix expires an hour after it was last read. `KEEP_WARM_MS` of real time after a decision, the prefix is read
by a call with a short question and one output token; this repeats at most `KEEP_WARM_TIMES` times. A call is made only
if its worst-case cost fits into the budget, and its cost is reported with the next decision.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final

from ocw_mcp.agent.messages import Messages, Reply, Request
from ocw_mcp.agent.pricing import KEEP_WARM_MS, KEEP_WARM_TIMES, cost, worst_cost
from ocw_mcp.agent.spending import SpendingLog
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.protocols import Clock

KEEPS_CACHE: Final = "keep the prompt cache"
"""The name of the task that keeps the cache."""
TIMEOUT_S: Final = 30.0
WORST_BYTES: Final = 100
"""Largest size (bytes) of the question."""

log = logging.getLogger(__name__)


class CacheKeeper:
    """Reads the prompt's prefix again while no decision is made. `messages` answers, and records nothing."""

    def __init__(self, messages: Messages, clock: Clock, model: str) -> None:
        self._messages = messages
        self._clock = clock
        self._model = model
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether the cache is being kept now."""
        return self._task is not None and not self._task.done()

    def start(
        self, wake: int, body: dict[str, Any], tokens: int, spending: SpendingLog, left_usd: Callable[[], Decimal]
    ) -> None:
        """Begin to keep the prefix of a request warm; `tokens` is the size of the whole prompt, as the API counted it.

        `left_usd` returns the unspent LLM budget.
        """
        question = {"role": "user", "content": [{"type": "text", "text": "Answer with one word."}]}
        asks = Request(wake, 0, body | {"max_tokens": 1, "messages": [question]})
        self._task = asyncio.create_task(self._keep(asks, tokens, spending, left_usd), name=KEEPS_CACHE)

    async def stop(self) -> None:
        """End it. The cost of a call that is interrupted stays counted at its worst case."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def _keep(
        self, request: Request, tokens: int, spending: SpendingLog, left_usd: Callable[[], Decimal]
    ) -> None:
        try:
            for _ in range(KEEP_WARM_TIMES):
                await self._clock.pause(KEEP_WARM_MS)
                now = self._clock.now()
                worst = worst_cost(WORST_BYTES, 1, self._model, now, tokens)
                if worst > left_usd():
                    return
                await spending.add_other(worst)
                reply = None
                with suppress(TimeoutError):
                    async with asyncio.timeout(TIMEOUT_S):
                        reply = await self._messages.create(request)
                if not isinstance(reply, Reply):
                    # A failed call may be billed, so its worst case stays counted.
                    return
                await spending.add_other(cost(reply.usage, self._model, now) - worst)
                if not reply.usage.read:
                    log.info("the prompt cache did not last until its next use")
                    return
        except BookError as error:
            log.warning("the prompt cache is not kept: %s", error)
        except LookupError:
            return
