"""OCW's tool class: short schemas, answers as short texts, and errors as results; its access to the engine.

The SDK's tool class sends schemas in full, renders results as indented JSON, and prefixes every error. The model
pays for every character of these texts.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Sequence
from types import CodeType
from typing import TYPE_CHECKING, Any, Final

from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import Field, ValidationError

from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.interfaces.mcp.callers import TRADES, caller, unusable_answer
from ocw_mcp.interfaces.mcp.results import Answer, Meta, Result, from_attributes

if TYPE_CHECKING:
    from ocw_mcp.runtime.facade import Facade

POLL_S: Final = 0.02
RETRY_S: Final = 5
READS: Final = ToolAnnotations(read_only_hint=True, open_world_hint=False)
"""Changes nothing."""
CHECKS: Final = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
)
"""Keeps what it checked, and changes nothing else."""
ACTS: Final = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=True)
"""Changes orders, positions or the trading state, once for each key."""
WRITES: Final = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
"""Writes into the journal, once for each key."""

GetFacade = Callable[[], "Facade"]
"""Returns the engine's facade; a function, since tools are listed before an engine exists."""
_Answering = Callable[..., Coroutine[Any, Any, CallToolResult]]

log = logging.getLogger(__name__)

_MADE: dict[CodeType, "OcwTool"] = {}
"""Tools already made, by the code of their functions: making a schema is slow."""


class OcwTool(Tool):
    """A tool that returns every failure as a result: `CODE: what happened. limit=… actual=… next: …`."""

    @property
    def reads(self) -> bool:
        """Whether the tool only reads."""
        return self.annotations is not None and self.annotations.read_only_hint is True

    def _may_be_null(self, name: str) -> bool:
        """Return whether a null counts as absent: for a number never, since some clients write NaN as null."""
        number = self.parameters["properties"][name].get("type") in ("integer", "number")
        return not number and name not in self.parameters.get("required", ())

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:
        """Run a call. An unexpected exception is logged, and its text is not shown to the client."""
        known = self.parameters["properties"]
        unknown = sorted(set(arguments) - set(known))
        given = {
            name: value
            for name, value in arguments.items()
            if name in known and not (value is None and self._may_be_null(name))
        }
        try:
            if not self.reads:
                self._check_acting(unknown, caller(context.request_context.request).scopes)
            result = await super().run(given, context)
            return _ignoring(unknown, result) if unknown else result
        except RequestError as error:
            return failed(error)
        except ToolError as raised:
            cause = raised.__cause__
            if isinstance(cause, RequestError):
                return failed(cause)
            if isinstance(cause, ToolError):
                return failed(unusable_answer())
            if isinstance(cause, ValidationError) and not isinstance(raised, UnexpectedToolError):
                return failed(_bad_arguments(cause, self.name))
            log.error("tool %s failed", self.name, exc_info=cause)
            return failed(f"INTERNAL: {self.name} failed; the engine keeps running. next: ask the operator for the log")

    def _check_acting(self, unknown: list[str], scopes: Sequence[str]) -> None:
        """Check a call of a tool that acts. Raises RequestError for unknown arguments or without scope `trade`."""
        if unknown:
            raise RequestError(
                RequestCode.BAD_ARGUMENTS,
                limit=",".join(self.parameters["properties"]) or "no argument",
                actual=repr(unknown[0][:40]),
                next_=f"call {self.name} with these arguments only",
            )
        if TRADES not in scopes:
            raise RequestError(
                RequestCode.FORBIDDEN,
                limit=f"scope {TRADES}",
                actual=",".join(scopes) or "none",
                next_="call tools that read",
            )


class FailedResult(CallToolResult):
    """An error as a result."""

    code: RequestCode | None = Field(default=None, exclude=True)
    """The code of the request error with which the text begins; it is not in the result's JSON."""


def make(answer: _Answering, annotations: ToolAnnotations = READS) -> OcwTool:
    """Return a tool made from a function; the function's docstring is the description that a model reads.

    The tool has no output schema, since its answer is a text (`Answer`). The annotation of the function's return names
    the typed result that programs get.
    """
    if (known := _MADE.get(answer.__code__)) is not None:
        return known.model_copy(update={"fn": answer})
    about = " ".join((answer.__doc__ or "").split())
    tool = OcwTool.from_function(answer, description=about, annotations=annotations, structured_output=False)
    tool.parameters = lean(tool.parameters)
    assert isinstance(tool, OcwTool)
    if not tool.resolved_params:
        # A resolver of a parameter belongs to one server; everything else depends on the function only.
        _MADE[answer.__code__] = tool
    return tool


def text_of(result: Result, *lines: str) -> str:
    """Return the text of an answer: a line with the engine and the time of the answer, then `lines`."""
    of = result.meta
    if of.catching_up:
        # An engine that replays after a crash may not know an open position yet: its answers must not look current.
        past = f"this shows the past as of {of.as_of}" if of.as_of else "nothing is replayed yet"
        when = f", STALE: catching up after a restart, {past}; call again"
    elif of.as_of is None:
        when = ", STALE: the market has not begun; history may still be loading"
    else:
        age = "a price missing" if of.age_ms is None else f"prices {of.age_ms / 1000:g}s old"
        when = f" {of.as_of}, {age}{', STALE' if of.stale else ''}"
    return "\n".join([f"[{of.mode} {of.state}{when}]", *lines])


def respond(result: Result, *lines: str) -> Answer:
    """Return an answer: the text that a model reads, and the typed result of the same facts."""
    return Answer(content=[TextContent(type="text", text=text_of(result, *lines))], result=result)


def failed(error: RequestError | str) -> FailedResult:
    """Return an error as a result."""
    code = error.code if isinstance(error, RequestError) else None
    return FailedResult(content=[TextContent(type="text", text=str(error))], is_error=True, code=code)


def lean(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of arguments without titles and references.

    It has no `null` and no list of types, which several clients reject: an optional argument that is null counts as
    absent, except a number. It has no empty or false defaults and no smallest lengths or numbers, which would tell a
    model nothing.
    """
    definitions = schema.get("$defs", {})

    def plain(part: Any) -> Any:
        if isinstance(part, list):
            return [plain(each) for each in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return plain(definitions[part["$ref"].rpartition("/")[2]])
        kept = {
            key: {name: plain(field) for name, field in value.items()} if key == "properties" else plain(value)
            for key, value in part.items()
            if key not in ("title", "$defs", "minLength", "minimum")
            if not (key == "default" and value in (None, "", [], False))
            # Google's SDK reads this value as a schema; unknown fields are refused by name at run time.
            if not (key == "additionalProperties" and value is False)
        }
        choices = kept.get("anyOf", ())
        if len(choices) != 2 or choices[1] != {"type": "null"}:
            return kept
        del kept["anyOf"]
        return choices[0] | kept

    result: dict[str, Any] = plain(schema)
    return result


def _ignoring(unknown: list[str], result: Any) -> Any:
    """Return an answer that also names the ignored arguments: some clients add arguments of their own."""
    if not isinstance(result, CallToolResult) or result.is_error:
        return result
    names = [name[:40] for name in unknown[:8]]
    content = [*result.content, TextContent(type="text", text=f"ignored arguments: {json.dumps(names)}")]
    return result.model_copy(update={"content": content})


def _bad_arguments(error: ValidationError, tool: str) -> RequestError:
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "arguments"
    return RequestError(
        RequestCode.BAD_ARGUMENTS,
        limit=f"{where}: {first['msg'][:120]}",
        actual="nothing" if first["type"] == "missing" else repr(first.get("input"))[:40],
        next_=f"see the input schema of {tool}",
    )


def after_warm_up(get_facade: GetFacade) -> GetFacade:
    """Return a getter of the facade that raises RequestError during warm-up, while all prices are historical."""

    def checked() -> "Facade":
        facade = get_facade()
        if facade.on_history:
            raise RequestError(
                RequestCode.WARMING_UP,
                limit="a market that has begun",
                actual="history only",
                next_=f"call again in {RETRY_S} s; loading history takes some seconds",
            )
        return facade

    return checked


def wait_for_warm_up(get_facade: GetFacade, patience_s: float) -> ServerMiddleware[Any]:
    """Return middleware that delays calls, except a halt, until warm-up and catch-up end, `patience_s` at most."""

    async def waits(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        if ctx.method in ("tools/call", "resources/read") and (ctx.params or {}).get("name") != "risk_halt":
            now = asyncio.get_running_loop().time
            began = reported = now()
            while not get_facade().settled and now() - began < patience_s:
                await asyncio.sleep(POLL_S)  # noqa: TID251 - waits in real time for the engine on this event loop
                if now() - reported >= 1:
                    reported = now()
                    await ctx.session.report_progress(round(reported - began), patience_s, "the engine loads history")
        return await call_next(ctx)

    return waits


def meta(facade: "Facade") -> Meta:
    """Return the engine and the time of an answer, read between the same two engine steps as the answer."""
    return from_attributes(Meta, facade.moment())
