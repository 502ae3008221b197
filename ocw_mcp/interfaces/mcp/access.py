"""How a tool gets at the engine: through a function, since tools are listed before there is anything to look at."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext

from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.interfaces.mcp.results import Meta, from_attributes

if TYPE_CHECKING:
    from ocw_mcp.runtime.facade import Facade

ASKING: Final = ("tools/call", "resources/read")
LOOK_S: Final = 0.02
SOON_S: Final = 5

Looks = Callable[[], "Facade"]


def of_now(look: Looks) -> Looks:
    """Look at an engine whose prices are not all history from before its market begins: none of those is an answer.

    The function that comes back raises RequestError meanwhile.
    """

    def looked() -> "Facade":
        facade = look()
        if facade.on_history:
            raise RequestError(
                RequestCode.WARMING_UP,
                limit="a market that has begun",
                actual="history only",
                next_=f"call again in {SOON_S} s; loading history takes some seconds",
            )
        return facade

    return looked


def once_warm(look: Looks, patience_s: float) -> ServerMiddleware[Any]:
    """Middleware: the first calls after a cold start wait until the engine is at its present, so long at most."""

    async def waits(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        if ctx.method in ASKING and not _is_urgent(ctx):
            await _wait(ctx, look(), patience_s)
        return await call_next(ctx)

    return waits


async def _wait(ctx: ServerRequestContext[Any, Any], facade: "Facade", patience_s: float) -> None:
    now = asyncio.get_running_loop().time
    began = told = now()
    while not facade.settled and now() - began < patience_s:
        await asyncio.sleep(LOOK_S)  # noqa: TID251 - waits on the wall for an engine that this loop runs
        if now() - told >= 1:
            told = now()
            await ctx.session.report_progress(round(told - began), patience_s, "the engine loads history")


def _is_urgent(ctx: ServerRequestContext[Any, Any]) -> bool:
    """A halt is taken at once, whatever else an engine does."""
    return (ctx.params or {}).get("name") == "risk_halt"


def meta(facade: "Facade") -> Meta:
    """Of which engine and moment an answer is, taken with the answer between the same two steps."""
    return from_attributes(Meta, facade.moment())


def headline(told: Meta) -> str:
    """The same at the head of a text."""
    if told.catching_up:
        # An engine that replays after a crash may not know an open position yet: its answers must not look current.
        past = f"this shows the past as of {told.as_of}" if told.as_of else "nothing is replayed yet"
        return f"[{told.mode} {told.state}, STALE: catching up after a restart, {past}; call again]"
    if told.as_of is None:
        return f"[{told.mode} {told.state}, STALE: the market has not begun; history may still be loading]"
    age = "a price missing" if told.age_ms is None else f"prices {told.age_ms / 1000:g}s old"
    return f"[{told.mode} {told.state} as of {told.as_of}, {age}{', STALE' if told.stale else ''}]"
