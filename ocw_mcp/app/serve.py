"""Lets others look at a running book: facade, MCP server, application and socket, put together."""

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
from ocw_mcp.app.listen import ListenAddress
from ocw_mcp.app.policy_loader import load_prompts
from ocw_mcp.app.resources import shipped
from ocw_mcp.domain.orders import ATTACHED
from ocw_mcp.interfaces.mcp.server import build
from ocw_mcp.interfaces.rest.app import application
from ocw_mcp.interfaces.serving import listen, serving
from ocw_mcp.runtime.facade import Facade
from ocw_mcp.runtime.history import History
from ocw_mcp.runtime.trading import Trading

OWNERS = Principal(ATTACHED, SCOPES["trade"])
"""Whoever can read the owner's files: Claude Desktop, Claude Code. Never `operate`."""

WARM_UP_S: Final = 30.0
"""Wall time that a call waits for an engine that takes in history or catches up; clients give up after a minute."""


def facade_of(book: WiredRun, directory: Path) -> Facade:
    """What everybody looks at, and acts through."""
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
    )


@asynccontextmanager
async def serve_engine(door: ListenAddress, facade: Facade, directory: Path) -> AsyncIterator[None]:
    """Serve a book while the block runs, and tell its state directory where. Raises SettingsError and BookError."""
    token = new_token()
    keyring = Keyring(directory, [(token, OWNERS)])
    texts = load_prompts(shipped("prompts") / "desktop").texts
    server = build(lambda: facade, __version__, prompts=texts, warm_up_s=WARM_UP_S)
    app = application(lambda: facade, server, keyring, door.hosts, schema=not door.hosts)
    bound = listen(door.host, door.port)
    url = f"http://{door.shown}:{bound.getsockname()[1]}"
    async with serving(app, bound):
        address = Address(url, token, os.getpid())
        write_address(directory, address)
        who = ", ".join(door.hosts) or "this machine alone"
        command = f"ocw token new --state {shlex.quote(str(directory))}"
        line = f"ocw: serving {url} (MCP at {url}/mcp) to {who}; a token for it: {command}"
        print(line, file=sys.stderr)  # noqa: T201 - to the person there
        try:
            yield
        finally:
            forget_address(directory, address)
