"""Puts the MCP server together: which tools there are, and what a client is told first."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mcp.server.caching import CacheHint

from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.interfaces.mcp.access import Looks, of_now, once_warm
from ocw_mcp.interfaces.mcp.account_tools import account_tools
from ocw_mcp.interfaces.mcp.callers import OcwServer, only_what_may
from ocw_mcp.interfaces.mcp.history_tools import history_tools
from ocw_mcp.interfaces.mcp.market_tools import market_tools
from ocw_mcp.interfaces.mcp.prompts import add_prompts, texts_only
from ocw_mcp.interfaces.mcp.resources import add_resources
from ocw_mcp.interfaces.mcp.tool import OcwTool
from ocw_mcp.interfaces.mcp.trade_tools import trade_tools

NAME = "ocw"
TOOLS_FRESH_MS = 3_600_000
"""Tools do not change while an engine runs."""

INSTRUCTIONS = """\
OCW trades one account inside risk limits that are written in code. `meta` in every result gives the mode (paper:
simulated fills), the trading state, and whether prices are stale: read it first. Times are UTC, money is text in quote
currency, shares are fractions. An unknown value is null or `?`, with a reason: treat it as unfavourable. Start with
ocw_get_status. Errors read `CODE: what happened. limit=... actual=... next: ...`. No tool changes a limit, the mode or
a credential, or raises the trading state."""

TOOLSETS: Final[dict[str, Callable[[Looks], list[OcwTool]]]] = {
    "market": lambda look: market_tools(of_now(look)),
    "account": account_tools,
    "history": history_tools,
    "trade": trade_tools,
}
"""Sets of tools by name: what is excluded is not registered at all."""


def chosen(toolsets: Sequence[str] | None) -> tuple[str, ...]:
    """The toolsets that somebody named, or all. Raises SettingsError for one that there is not."""
    if not toolsets:
        return tuple(TOOLSETS)
    unknown = sorted(set(toolsets) - set(TOOLSETS))
    if unknown:
        raise SettingsError(f"there is no toolset {unknown[0]!r}; expected some of {', '.join(TOOLSETS)}")
    return tuple(name for name in TOOLSETS if name in toolsets)


def tools(look: Looks, toolsets: Sequence[str] | None = None, *, read_only: bool = False) -> list[OcwTool]:
    """The tools of some toolsets, over whatever engine `look` finds when one of them is called."""
    made = [tool for name in chosen(toolsets) for tool in TOOLSETS[name](look)]
    return [tool for tool in made if tool.reads or not read_only]


def build(
    look: Looks,
    version: str,
    toolsets: Sequence[str] | None = None,
    *,
    read_only: bool = False,
    prompts: Mapping[str, str] | None = None,
    warm_up_s: float = 0.0,
) -> OcwServer:
    """The server; `prompts` are texts by name, and calls wait up to `warm_up_s` for an engine that just started."""
    offered = tools(look, toolsets, read_only=read_only)
    server = OcwServer(
        NAME,
        title="OCW trading",
        version=version,
        instructions=INSTRUCTIONS,
        tools=list(offered),
        cache_hints={"tools/list": CacheHint(TOOLS_FRESH_MS)},
        subscriptions=False,
        middleware=[only_what_may, texts_only, *([once_warm(look, warm_up_s)] if warm_up_s else [])],
        log_level="WARNING",
    )
    server.offered = tuple(tool.name for tool in offered)
    add_resources(server, look, offered)
    add_prompts(server, prompts or {})
    return server
