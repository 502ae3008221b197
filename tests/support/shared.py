"""A pytest plugin: books and markets that tests share, and slow parts of libraries made faster."""

import asyncio
import copy
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import httpcore2
import pytest
import uvicorn.server
from fastapi._compat import v2 as fields
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from mcp.server.mcpserver.resources import templates
from mcp.server.mcpserver.tools import base

from ocw_mcp.adapters.feeds.simulated import feed
from ocw_mcp.adapters.venues.binance import signing
from tests.support.books import write_book
from tests.support.facades import FacadeRun

ROOT = Path(__file__).resolve().parents[2]


def cache_by_text(check: Callable[..., None]) -> Callable[..., None]:
    """Return a function that checks each JSON schema once; a wrong one fails at each call."""
    passed = set[str]()

    def check_once(schema: Any, **options: Any) -> None:
        text = json.dumps([schema, str(options)], sort_keys=True)
        if text not in passed:
            check(schema, **options)
            passed.add(text)

    return check_once


def describe_once(describe: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that describes the arguments of each function once: they do not depend on its closure."""
    described: dict[tuple[object, ...], Any] = {}

    def describe_new(function: Any, skip_names: Sequence[str] = (), structured_output: bool | None = None) -> Any:
        key = getattr(function, "__code__", function), tuple(skip_names), structured_output
        if key not in described:
            described[key] = describe(function, skip_names, structured_output)
        return described[key]

    return describe_new


def adapt_once(adapter: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that makes one adapter for each annotated type."""
    # The type is kept beside its adapter, so that the address of an object in a key is not used again.
    adapted: dict[tuple[object, str], tuple[Any, Any]] = {}

    def adapt_new(type_: Any, *, config: Any = None) -> Any:
        key = type_.__origin__, repr((type_.__metadata__, config))
        if key not in adapted:
            adapted[key] = type_, adapter(type_, config=config)
        return adapted[key][1]

    return adapt_new


def copies_of(make: Callable[..., Any]) -> Callable[..., Any]:
    """Return a maker of exchanges of ccxt that copies one: ccxt takes 7 ms for the names of the methods of each."""
    first: Any = make({"enableRateLimit": False})

    def copied(config: dict[str, Any]) -> Any:
        exchange = copy.copy(first)
        # A signer changes these in place.
        exchange.options, exchange.urls = dict(first.options), dict(first.urls)
        vars(exchange).update(config)
        return exchange

    return copied


@cache
def copy_exchanges() -> None:
    """Let each signer use a copy of an exchange. Only a test with a signer imports ccxt, which takes a second."""
    import ccxt.async_support as ccxt

    for name in ("binance", "binanceusdm"):
        vars(ccxt)[name] = copies_of(vars(ccxt)[name])


def after(prepare: Callable[[], None], call: Callable[..., None]) -> Callable[..., None]:
    """Return a function that calls `prepare` first."""

    def prepared(*arguments: Any) -> None:
        prepare()
        call(*arguments)

    return prepared


class ShortSleeps:
    """asyncio with short sleeps, for uvicorn: it checks every 0.1 s whether to stop, and tests stop many servers."""

    def __getattr__(self, name: str) -> object:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))  # noqa: TID251 - stands in for the sleeps of uvicorn


vars(uvicorn.server)["asyncio"] = ShortSleeps()
# Every MCP client of the tests checks the same schemas of results.
Draft202012Validator.check_schema = staticmethod(cache_by_text(Draft202012Validator.check_schema))
# Each MCP server of the tests has the same functions behind its tools and resources.
for module in (base, templates):
    vars(module)["func_metadata"] = describe_once(vars(module)["func_metadata"])
# Each application of the tests has the same routes.
vars(fields)["TypeAdapter"] = adapt_once(vars(fields)["TypeAdapter"])
# Every HTTP client of the tests trusts the same authorities, and reading their certificates is slow.
vars(httpcore2)["default_ssl_context"] = cache(httpcore2.default_ssl_context)
vars(signing)["Signer"].__init__ = after(copy_exchanges, signing.Signer.__init__)
# Most tests with a simulated market use the same days.
for name in ("simulate_day", "candles_of_day"):
    vars(feed)[name] = lru_cache(maxsize=32)(vars(feed)[name].__wrapped__)


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book with many fills and refusals, which tests only read."""
    directory = tmp_path_factory.mktemp("desk") / "book"
    asyncio.run(write_book(directory))
    return directory


@pytest.fixture(scope="session")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FacadeRun]:
    """A run that has traded for thirty hours, which tests only read."""
    found = FacadeRun(tmp_path_factory.mktemp("looked"))
    asyncio.run(found.go(30))
    yield found
    found.store.close()


@pytest.fixture(scope="session")
def tapes() -> Path:
    """The recorded market beside the checkout."""
    directory = ROOT.parent / "shared" / "tapes"
    if not directory.is_dir():
        pytest.skip("the recorded tapes are not beside this checkout (expected ../shared/tapes)")
    return directory
