"""Signed requests over the network: aiohttp, which ccxt brings along, puts an order on the wire sooner than httpx2."""

from collections.abc import Mapping
from typing import Final

import aiohttp
from yarl import URL

from ocw_mcp.adapters.binance.hosts import Hosts
from ocw_mcp.adapters.binance.transport import NotSent, RestResponse
from ocw_mcp.domain.errors import MarketUnreachable

_HEADERS: Final = {"User-Agent": "ocw", "Accept-Encoding": "identity"}
_CONNECTIONS: Final = 20
_IDLE_S: Final = 25.0
"""How long an idle connection is kept: a new one costs an order two more round trips."""
_NAMES_S: Final = 300
"""How long the address of a host is kept."""


class DirectHttp:
    """The connections of signed requests to one host."""

    def __init__(self, hosts: Hosts, timeout_s: float) -> None:
        """`timeout_s` is on the time of the running event loop."""
        # Proxies of the environment are for the exchange; an address of this machine is used directly.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_IDLE_S, ttl_dns_cache=_NAMES_S),
            timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=timeout_s / 2),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=hosts.host_class == "exchange",
            headers=_HEADERS,
        )
        self._rest = hosts.rest

    async def request(self, method: str, path: str, query: str, form: str, headers: Mapping[str, str]) -> RestResponse:
        """Send a request with a query and a form as they are, and return its answer, also if it is a redirection.

        Raises NotSent if no connection was made, and MarketUnreachable without an answer.
        """
        address = URL(f"{self._rest}{path}?{query}" if query else self._rest + path, encoded=True)
        body = form.encode() if form else None
        try:
            async with self._session.request(
                method, address, data=body, headers=headers, allow_redirects=False
            ) as answer:
                content = await answer.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(f"{path} was not sent: {type(error).__name__} {error}"[:200].strip()) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise MarketUnreachable(f"{path} has no answer: {type(error).__name__} {error}"[:200].strip()) from None
        return RestResponse(answer.status, content, {name.lower(): value for name, value in answer.headers.items()})

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()
