"""Serves a running book to clients: facade, MCP server, HTTP application and socket."""

import os
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from ocw_mcp import __version__
from ocw_mcp.adapters.control.address import Address, forget_address, write_address
from ocw_mcp.adapters.control.tokens import SCOPES, Keyring, Principal, new_token
from ocw_mcp.app.compose import WiredRun
from ocw_mcp.app.parsing import ListenAddress
from ocw_mcp.app.policy_loader import load_prompts
from ocw_mcp.app.resources import shipped
from ocw_mcp.domain.health import HealthReporter
from ocw_mcp.domain.orders import ATTACHED
from ocw_mcp.interfaces.mcp.server import build
from ocw_mcp.interfaces.rest import application
from ocw_mcp.interfaces.serving import listen, serving
from ocw_mcp.runtime.facade import Facade
from ocw_mcp.runtime.history import History
from ocw_mcp.runtime.trading import Trading

OWNERS = Principal(ATTACHED, SCOPES["trade"])
"""The principal of local clients that can read the owner's files, such as Claude Desktop; it lacks scope `operate`."""
WARM_UP_S: Final = 30.0
"""Wall time (s) that a call waits while the engine reads history or catches up; clients time out after a minute."""


def facade_of(book: WiredRun, directory: Path) -> Facade:
    """Return the facade through which all clients read the book and act on it."""
    feed = book.feed
    trading = Trading(book.engine, book.run.shell.ask, book.clock)
    return Facade(
        book.engine,
        book.clock,
        book.store,
        book.stamp,
        History(directory),
        __version__,
        trading,
        catching_up=lambda: book.run.catching_up,
        health=feed.health if isinstance(feed, HealthReporter) else lambda: None,
        heartbeat_at=lambda: book.heartbeat_at,
        outbox=lambda: book.run.outbox,
    )


@asynccontextmanager
async def serve_engine(listen_at: ListenAddress, facade: Facade, directory: Path) -> AsyncIterator[None]:
    """Serve a book while the block runs, and write its address to its directory. Raises SettingsError and BookError."""
    token = new_token()
    keyring = Keyring(directory, [(token, OWNERS)])
    texts = load_prompts(shipped("prompts") / "desktop").texts
    server = build(lambda: facade, __version__, prompts=texts, warm_up_s=WARM_UP_S)
    app = application(lambda: facade, server, keyring, listen_at.hosts, schema=not listen_at.hosts)
    bound = listen(listen_at.host, listen_at.port)
    url = f"http://{listen_at.shown}:{bound.getsockname()[1]}"
    async with serving(app, bound):
        address = Address(url, token, os.getpid())
        write_address(directory, address)
        clients = ", ".join(listen_at.hosts) or "this machine only"
        command = f"ocw token new --state {shlex.quote(str(directory))}"
        line = f"ocw: serving {url} (MCP at {url}/mcp) to {clients}; to make a token: {command}"
        print(line, file=sys.stderr)  # noqa: T201 - to the operator
        try:
            yield
        finally:
            forget_address(directory, address)
