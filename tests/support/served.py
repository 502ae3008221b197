"""The HTTP application served on a loopback port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx2

from ocw_mcp.adapters.control.tokens import Keyring, add_token
from ocw_mcp.app.policy_loader import load_prompts
from ocw_mcp.app.resources import shipped
from ocw_mcp.interfaces.mcp.server import build
from ocw_mcp.interfaces.rest import application
from ocw_mcp.interfaces.serving import listen, serving
from ocw_mcp.runtime.facade import Facade

PROMPTS = load_prompts(shipped("prompts") / "desktop").texts


class Served(NamedTuple):
    """The address, a token of scope read with its client, and a token of scope trade."""

    url: str
    port: int
    token: str
    client: httpx2.AsyncClient
    trader: str


@asynccontextmanager
async def served(
    facade: Facade, directory: Path, *, schema: bool = True, hosts: tuple[str, ...] = ()
) -> AsyncIterator[Served]:
    """Serve a facade, with the tokens in `directory`."""
    token, _ = add_token(directory, "read", None, 0)
    trader, _ = add_token(directory, "trade", None, 0)
    app = application(
        lambda: facade, build(lambda: facade, "1.2.3", prompts=PROMPTS), Keyring(directory), hosts, schema=schema
    )
    bound = listen("127.0.0.1", 0)
    port = bound.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    async with serving(app, bound), httpx2.AsyncClient(base_url=url, headers=bearer(token)) as client:
        yield Served(url, port, token, client, trader)


def bearer(token: str) -> dict[str, str]:
    """Return the header with a token."""
    return {"authorization": f"Bearer {token}"}
