"""The status API without a socket, and the requests of its documented examples.

`python -m tests.support.http_api` writes the examples of the OpenAPI document and the table in `docs/http.md` again.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2

from ocw_mcp.adapters.control.tokens import Keyring, add_token
from ocw_mcp.interfaces.http import openapi
from ocw_mcp.interfaces.mcp.server import build
from ocw_mcp.interfaces.mcp.tool import GetFacade
from ocw_mcp.interfaces.rest import application
from tests.support.facades import FacadeRun
from tests.support.served import bearer

HOURS = 30
"""The length of the run behind the examples."""
EXAMPLES = Path(openapi.__file__).parent / "examples.json"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "http.md"
BEGIN, END = "<!-- routes: begin -->", "<!-- routes: end -->"
"""The lines around the table of routes."""
REQUESTS = {
    "/health": "/health",
    "/status": "/status",
    "/portfolio": "/portfolio",
    "/positions": "/positions?symbol=BTCUSDT",
    "/policies": "/policies",
    "/snapshot": "/snapshot?symbol=ETHUSDT",
    "/derivatives": "/derivatives?symbol=ETHUSDT",
    "/regime": "/regime",
    "/context": "/context",
    "/weights": "/weights",
    "/prices/{symbol}": "/prices/ETHUSDT?timeframe=4h&limit=2",
    "/feed": "/feed",
    "/decisions": "/decisions?acted=true&limit=1",
    "/trades": "/trades?outcome=won&limit=1",
    "/orders": "/orders?status=live&limit=1",
    "/refusals": "/refusals?limit=1",
    "/equity": "/equity?timeframe=4h&limit=3",
    "/wakes/{wake}": "/wakes/3",
}
"""By route, the request of the example."""
REFUSED = {
    "/positions": ("/positions?symbol=DOGEUSDT", "/positions?coin=BTC"),
    "/snapshot": ("/snapshot?symbol=DOGEUSDT", "/snapshot?detail=concise"),
    "/derivatives": ("/derivatives?symbol=DOGEUSDT", "/derivatives?coin=BTC"),
    "/prices/{symbol}": ("/prices/DOGEUSDT", "/prices/ETHUSDT?timeframe=7m"),
    "/decisions": ("/decisions?cursor=newest",),
    "/trades": ("/trades?symbol=DOGEUSDT", "/trades?since=yesterday"),
    "/orders": ("/orders?symbol=DOGEUSDT", "/orders?limit=1000"),
    "/refusals": ("/refusals?symbol=DOGEUSDT", "/refusals?limit=1&limit=2"),
    "/equity": ("/equity?timeframe=2m",),
    "/wakes/{wake}": ("/wakes/1000000", "/wakes/newest"),
}
"""By route, the requests of the examples of errors."""


@asynccontextmanager
async def api(get_facade: GetFacade, directory: Path, **options: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """Return a client with a token of scope read for the application over the facade, without MCP sessions."""
    token, _ = add_token(directory, "read", None, 0)
    app = application(get_facade, build(get_facade, "1.2.3"), Keyring(directory), (), schema=True)
    transport = httpx2.ASGITransport(app=app, **options)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=bearer(token)) as client:
        yield client


async def answered(client: httpx2.AsyncClient) -> dict[str, dict[str, Any]]:
    """Return the example of each route by status, as the server answers it now."""
    found: dict[str, dict[str, Any]] = {}
    for route, request in REQUESTS.items():
        examples = found[route] = {}
        for each in (request, *REFUSED.get(route, ())):
            answer = await client.get(each)
            assert str(answer.status_code) not in examples, f"{each} is a second example of {answer.status_code}"
            examples[str(answer.status_code)] = {"request": each, "answer": _stable(answer.json())}
        if route != "/health":
            anonymous = client.build_request("GET", request)
            del anonymous.headers["authorization"]
            answer = await client.send(anonymous)
            examples["401"] = {"request": f"{request} without a token", "answer": answer.json()}
    return found


def _stable(answer: Any) -> Any:
    """Return an answer with an example of a digest in place of the journal's, which depends on the saved state."""
    return {**answer, "chain_head": "5a" * 32} if isinstance(answer, dict) and "chain_head" in answer else answer


def table(document: dict[str, Any]) -> str:
    """Return the routes of the OpenAPI document with their parameters as a table of `docs/http.md`."""
    rows = ["| route | parameters | answer |", "|---|---|---|"]
    for route, methods in document["paths"].items():
        operation = methods["get"]
        names = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
        about = " ".join(operation["description"].split())
        rows.append(f"| `{route}` | {', '.join(f'`{name}`' for name in names) or 'none'} | {about} |")
    return "\n".join(rows)


async def _write() -> None:
    with TemporaryDirectory() as directory:
        run = await FacadeRun(Path(directory) / "book").go(HOURS)
        async with api(lambda: run.facade, Path(directory)) as client:
            document = (await client.get("/openapi.json")).json()
            EXAMPLES.write_text(json.dumps(await answered(client), indent=1, ensure_ascii=False) + "\n", "utf-8")
        run.store.close()
    before, begin, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    PAGE.write_text(f"{before}{begin}\n{table(document)}\n{end}{after}", "utf-8")


if __name__ == "__main__":
    asyncio.run(_write())
