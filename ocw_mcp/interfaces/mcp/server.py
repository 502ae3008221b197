"""Builds the MCP server from its toolsets, resources and prompts, with the instructions for clients."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mcp.server.caching import CacheHint

from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.interfaces.mcp.access import GetFacade, after_warm_up, wait_for_warm_up
from ocw_mcp.interfaces.mcp.account_tools import account_tools
from ocw_mcp.interfaces.mcp.callers import OcwServer, list_permitted_tools
from ocw_mcp.interfaces.mcp.history_tools import history_tools
from ocw_mcp.interfaces.mcp.market_tools import market_tools
from ocw_mcp.interfaces.mcp.prompts import add_prompts, require_texts
from ocw_mcp.interfaces.mcp.resources import add_resources
from ocw_mcp.interfaces.mcp.tool import OcwTool
from ocw_mcp.interfaces.mcp.trade_tools import trade_tools

NAME = "ocw"
TOOLS_FRESH_MS = 3_600_000
"""How long clients may cache the list of tools, which does not change while an engine runs."""

INSTRUCTIONS = """\
OCW trades one account inside risk limits that are written in code. `meta` in every result gives the mode (paper:
simulated fills), the trading state, and whether prices are stale: read it first. Times are UTC, money is text in quote
currency, shares are fractions. An unknown value is null or `?`, with a reason: treat it as unfavourable. Start with
ocw_get_status. Errors read `CODE: what happened. limit=... actual=... next: ...`. No tool changes a limit, the mode or
a credential, or raises the trading state."""

TOOLSETS: Final[dict[str, Callable[[GetFacade], list[OcwTool]]]] = {
    "market": lambda get_facade: market_tools(after_warm_up(get_facade)),
    "account": account_tools,
    "history": history_tools,
    "trade": trade_tools,
}
"""Toolsets by name. Tools of an excluded toolset are not registered."""


def chosen(toolsets: Sequence[str] | None) -> tuple[str, ...]:
    """Return the named toolsets, or all without names. Raises SettingsError for an unknown name."""
    if not toolsets:
        return tuple(TOOLSETS)
    unknown = sorted(set(toolsets) - set(TOOLSETS))
    if unknown:
        raise SettingsError(f"there is no toolset {unknown[0]!r}; expected some of {', '.join(TOOLSETS)}")
    return tuple(name for name in TOOLSETS if name in toolsets)


def tools(get_facade: GetFacade, toolsets: Sequence[str] | None = None, *, read_only: bool = False) -> list[OcwTool]:
    """Return the tools of the named toolsets, or of all; each call reads the engine of `get_facade`."""
    chosen_tools = [tool for name in chosen(toolsets) for tool in TOOLSETS[name](get_facade)]
    return [tool for tool in chosen_tools if tool.reads or not read_only]


def build(
    get_facade: GetFacade,
    version: str,
    toolsets: Sequence[str] | None = None,
    *,
    read_only: bool = False,
    prompts: Mapping[str, str] | None = None,
    warm_up_s: float = 0.0,
) -> OcwServer:
    """Return the server. `prompts` are texts by name; calls wait up to `warm_up_s` for an engine that just started."""
    offered = tools(get_facade, toolsets, read_only=read_only)
    warm_up = [wait_for_warm_up(get_facade, warm_up_s)] if warm_up_s else []
    server = OcwServer(
        NAME,
        title="OCW trading",
        version=version,
        instructions=INSTRUCTIONS,
        tools=list(offered),
        cache_hints={"tools/list": CacheHint(TOOLS_FRESH_MS)},
        subscriptions=False,
        middleware=[list_permitted_tools, require_texts, *warm_up],
        log_level="WARNING",
    )
    server.offered = tuple(tool.name for tool in offered)
    add_resources(server, get_facade, offered)
    add_prompts(server, prompts or {})
    return server
