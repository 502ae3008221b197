"""The live market of Binance: its feed, and the hosts and transport that it uses."""

from ocw_mcp.adapters.binance.hosts import Hosts, hosts_of
from ocw_mcp.adapters.feeds.binance.feed import BinanceFeed

__all__ = ["BinanceFeed", "Hosts", "hosts_of"]
