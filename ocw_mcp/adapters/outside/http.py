"""Requests to sources outside of the exchange: few, small, and never with a key in an error."""

import asyncio
from collections.abc import Mapping
from importlib import import_module
from typing import Final, TypeVar

import httpx2
import msgspec

from ocw_mcp.domain.addresses import is_loopback, is_private, may_receive_secrets
from ocw_mcp.domain.errors import SourceUnavailable

SILENCE_S: Final = 10.0
"""The longest time without a byte. `CachedSource` limits the whole read."""
REDIRECTS: Final = 3
SMALL: Final = 1 << 18
"""The largest answer (bytes), unless a source allows more."""
_HEADERS: Final = {"User-Agent": "ocw", "Accept-Encoding": "identity"}

T = TypeVar("T")


class OutsideHttp:
    """A client for all sources. It is made before the event loop needs it, because loading certificates takes time."""

    def __init__(self) -> None:
        # The first request would import these, and stop the event loop for 20 ms.
        for name in ("anyio.streams.tls", "anyio._backends._asyncio", "httpcore2"):
            import_module(name)
        self._client = httpx2.AsyncClient(timeout=SILENCE_S, follow_redirects=False, headers=_HEADERS)
        # An address of this machine is used directly, whatever proxies the environment names.
        self._direct = httpx2.AsyncClient(timeout=SILENCE_S, follow_redirects=False, headers=_HEADERS, trust_env=False)

    async def get(
        self,
        url: str,
        query: Mapping[str, str] | None = None,
        *,
        most: int = SMALL,
        body: object = None,
        redirects: int = 0,
    ) -> bytes:
        """Return the answer to a GET, or to a POST of `body` as JSON. Raises SourceUnavailable.

        An answer above `most` bytes is refused while it arrives, and so is a compressed one, which could unpack to any
        size. A redirection is followed only to https without a user, and never from a request with a body. A public
        source may not redirect to this machine or to a private network, whose services trust their neighbours.
        """
        address = httpx2.URL(url, params=dict(query)) if query else httpx2.URL(url)
        for _ in range(1 + redirects):
            client = self._direct if is_loopback(str(address)) else self._client
            method = "GET" if body is None else "POST"
            try:
                async with client.stream(method, address, json=body) as answer:
                    if not answer.has_redirect_location:
                        return await _content(answer, most)
                    there = address.join(answer.headers["Location"])
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
                raise SourceUnavailable(f"{_host(address)} does not answer ({type(error).__name__})") from None
            if not may_receive_secrets(str(there.copy_with(query=None, fragment=None))):
                raise SourceUnavailable(f"{_host(address)} redirects to an address that is not https")
            if is_private(str(there)) and not is_private(str(address)):
                raise SourceUnavailable(f"{_host(address)} redirects to a private address")
            address = there
        raise SourceUnavailable(f"{_host(address)} redirects to another address; expected an answer")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        await self._direct.aclose()


async def _content(answer: httpx2.Response, most: int) -> bytes:
    host = _host(answer.request.url)
    if not answer.is_success:
        raise SourceUnavailable(f"{host} answers with status {answer.status_code}")
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise SourceUnavailable(f"{host} compresses its answer; expected plain bytes")
    found = bytearray()
    async for chunk in answer.aiter_raw():
        found += chunk
        if len(found) > most:
            raise SourceUnavailable(f"{host} answers with more than {most:,} bytes")
        await asyncio.sleep(0)  # noqa: TID251 - a source that floods never waits, and other tasks have to
    return bytes(found)


def _host(address: httpx2.URL) -> str:
    """Return the host alone: a path or a query may have a key."""
    return address.host or "the source"


def decode(content: bytes, kind: type[T], source: str) -> T:
    """Return an answer in JSON as a value of `kind`. Raises SourceUnavailable if it is none."""
    try:
        return msgspec.json.decode(content, type=kind, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SourceUnavailable(f"{source} has another format than expected ({str(error)[:120]})") from None
