"""Access of tools to the engine: through a function, since tools are listed before an engine exists."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext

from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.interfaces.mcp.results import Meta, from_attributes

if TYPE_CHECKING:
    from ocw_mcp.runtime.facade import Facade

ASKING: Final = ("tools/call", "resources/read")
POLL_S: Final = 0.02
RETRY_S: Final = 5

GetFacade = Callable[[], "Facade"]


def after_warm_up(get_facade: GetFacade) -> GetFacade:
    """Return a getter of the facade that raises RequestError during warm-up, while all prices are historical."""

    def checked() -> "Facade":
        facade = get_facade()
        if facade.on_history:
            raise RequestError(
                RequestCode.WARMING_UP,
                limit="a market that has begun",
                actual="history only",
                next_=f"call again in {RETRY_S} s; loading history takes some seconds",
            )
        return facade

    return checked


def wait_for_warm_up(get_facade: GetFacade, patience_s: float) -> ServerMiddleware[Any]:
    """Return middleware that delays calls after a cold start until the engine is current, `patience_s` at most.

    A halt is taken at once.
    """

    async def waits(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        if ctx.method in ASKING and (ctx.params or {}).get("name") != "risk_halt":
            now = asyncio.get_running_loop().time
            began = reported = now()
            while not get_facade().settled and now() - began < patience_s:
                await asyncio.sleep(POLL_S)  # noqa: TID251 - waits in real time for the engine on this event loop
                if now() - reported >= 1:
                    reported = now()
                    await ctx.session.report_progress(round(reported - began), patience_s, "the engine loads history")
        return await call_next(ctx)

    return waits


def meta(facade: "Facade") -> Meta:
    """Return the engine and the time of an answer, read between the same two engine steps as the answer."""
    return from_attributes(Meta, facade.moment())


def headline(of: Meta) -> str:
    """Return the engine and the time of an answer as the first line of its text."""
    if of.catching_up:
        # An engine that replays after a crash may not know an open position yet: its answers must not look current.
        past = f"this shows the past as of {of.as_of}" if of.as_of else "nothing is replayed yet"
        return f"[{of.mode} {of.state}, STALE: catching up after a restart, {past}; call again]"
    if of.as_of is None:
        return f"[{of.mode} {of.state}, STALE: the market has not begun; history may still be loading]"
    age = "a price missing" if of.age_ms is None else f"prices {of.age_ms / 1000:g}s old"
    return f"[{of.mode} {of.state} as of {of.as_of}, {age}{', STALE' if of.stale else ''}]"
