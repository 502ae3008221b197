"""A tool of ours: lean schemas, compact text beside typed results, and errors that speak instead of exceptions.

The SDK's own tool sends its models' schemas as they come, renders results as indented JSON, and puts its own words
before every error. All of this is read by a model and paid for by the token.
"""

import json
import logging
from collections.abc import Callable, Coroutine
from types import CodeType
from typing import Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel, ValidationError

from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.interfaces.mcp.asking import no_answer
from ocw_mcp.interfaces.mcp.callers import TRADES, caller

READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)

_Answering = Callable[..., Coroutine[Any, Any, CallToolResult]]

log = logging.getLogger(__name__)

_MADE: dict[CodeType, "OcwTool"] = {}
"""The tools of the first server, by the code of their functions: making a schema takes long."""


class OcwTool(Tool):
    """A tool whose every failure is a result: `CODE: what happened. limit=… actual=… next: …`."""

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.annotations is not None and self.annotations.read_only_hint is True

    def _may_be_null(self, name: str) -> bool:
        """Whether a null stands for an argument that is left out.

        Some clients write a number that is not finite as null: it does so for a number only where its type says so.
        """
        number = self.parameters["properties"][name].get("type") in ("integer", "number")
        return not number and name not in self.parameters.get("required", ())

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:
        """Call it. An unexpected exception goes to the log, and its text to nobody."""
        known = self.parameters["properties"]
        unknown = sorted(set(arguments) - set(known))
        if unknown and not self.reads:
            error = RequestError(
                RequestCode.BAD_ARGUMENTS,
                limit=",".join(self.parameters["properties"]) or "no argument",
                actual=repr(unknown[0][:40]),
                next_=f"call {self.name} with these arguments only",
            )
            return failed(str(error))
        if not self.reads and TRADES not in (who := caller(context)).scopes:
            error = RequestError(
                RequestCode.FORBIDDEN,
                limit=f"scope {TRADES}",
                actual=",".join(who.scopes) or "none",
                next_="call tools that read",
            )
            return failed(str(error))
        try:
            # Every answer is made from its typed result (`told`), so the SDK need not hold it against the type again.
            given = {
                name: value
                for name, value in arguments.items()
                if name in known and not (value is None and self._may_be_null(name))
            }
            result = await super().run(given, context, convert_result=False)
            return _ignoring(unknown, result) if unknown else result
        except ToolError as raised:
            cause = raised.__cause__
            if isinstance(cause, RequestError):
                return failed(str(cause))
            if isinstance(cause, ToolError):
                return failed(str(no_answer()))
            if isinstance(cause, ValidationError) and not isinstance(raised, UnexpectedToolError):
                return failed(str(_bad_arguments(cause, self.name)))
            log.error("tool %s failed", self.name, exc_info=cause)
            return failed(f"INTERNAL: {self.name} failed; the engine keeps running. next: ask the operator for the log")


def make(answer: _Answering, annotations: ToolAnnotations = READS, *, shows_meta: bool = False) -> OcwTool:
    """A tool from a function: its name, and its docstring as the description that a model reads.

    `meta` is the same in every result; the schema of one tool shows what is in it, for all. Clients hold each result
    against its schema, field by field, so this saves their time, too.
    """
    known = _MADE.get(answer.__code__)
    if known is not None:
        return known.model_copy(update={"fn": answer})
    description = " ".join((answer.__doc__ or "").split())
    tool = OcwTool.from_function(answer, description=description, annotations=annotations)
    tool.parameters = lean(tool.parameters)
    metadata = tool.fn_metadata
    assert metadata.output_schema is not None, f"{tool.name} has no typed result"
    metadata.output_schema = _lean_output(metadata.output_schema, shows_meta=shows_meta)
    assert isinstance(tool, OcwTool)
    if not tool.resolved_params:
        # Who resolves a parameter belongs to one server; all else follows from the text of the function.
        _MADE[answer.__code__] = tool
    return tool


def told(result: BaseModel, text: str, *, is_error: bool = False) -> CallToolResult:
    """A typed result, with the text that a model reads."""
    block = TextContent(type="text", text=text)
    return CallToolResult(content=[block], structured_content=result.model_dump(mode="json"), is_error=is_error)


def failed(text: str) -> CallToolResult:
    """An error, as a result."""
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)


def lean(schema: dict[str, Any], *, nulls: bool = False) -> dict[str, Any]:
    """A JSON schema that says the same in fewer words: no titles, no references.

    It has no `null` and no list of types: several clients take neither, and an argument that is not required may be
    null at run time, which is as good as left out, but for a number with a default.
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
            if key not in ("title", "$defs") and not (key == "default" and value is None)
            # Google's SDK reads this as a schema; an unknown field is refused by its name at run time.
            if not (key == "additionalProperties" and value is False)
        }
        return _joined(kept, nulls=nulls)

    result = plain(schema)
    assert isinstance(result, dict)
    return result


def _lean_output(schema: dict[str, Any], *, shows_meta: bool) -> dict[str, Any]:
    """A result's schema without what its tool's description says, and without telling that every field is there.

    A field that may be null says so: clients hold results against their schema.
    """

    def bare(part: Any) -> Any:
        if isinstance(part, list):
            return [bare(each) for each in part]
        if not isinstance(part, dict):
            return part
        return {
            key: {name: bare(field) for name, field in value.items()} if key == "properties" else bare(value)
            for key, value in part.items()
            if key not in ("description", "required")
        }

    result = bare(lean(schema, nulls=True))
    assert isinstance(result, dict)
    if not shows_meta:
        result["properties"]["meta"] = {"type": "object"}
    return result | {"required": ["meta"]}


def _joined(part: dict[str, Any], *, nulls: bool) -> dict[str, Any]:
    """Return `anyOf` of something and null as that something, where no null has to fit."""
    choices = part.get("anyOf", ())
    if nulls or len(choices) != 2 or choices[1] != {"type": "null"}:
        return part
    one: dict[str, Any] = choices[0]
    return one | {key: value for key, value in part.items() if key != "anyOf"}


def _ignoring(unknown: list[str], result: Any) -> Any:
    """Return an answer that names the arguments that were ignored: some clients add arguments of their own."""
    if not isinstance(result, CallToolResult) or result.is_error:
        return result
    names = [name[:40] for name in unknown[:8]]
    content = [*result.content, TextContent(type="text", text=f"ignored arguments: {json.dumps(names)}")]
    structured = result.structured_content
    if structured is not None and isinstance(structured.get("meta"), dict):
        structured = structured | {"meta": structured["meta"] | {"ignored": names}}
    return result.model_copy(update={"content": content, "structured_content": structured})


def _bad_arguments(error: ValidationError, tool: str) -> RequestError:
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "arguments"
    given = first.get("input")
    shown = "nothing" if first["type"] == "missing" else repr(given)[:40]
    return RequestError(
        RequestCode.BAD_ARGUMENTS,
        limit=f"{where}: {first['msg'][:120]}",
        actual=shown,
        next_=f"see the input schema of {tool}",
    )
