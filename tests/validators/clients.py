"""Converts the published tools as other clients do, and prints what each of them makes of them.

It runs under `.clients`, which has those clients and not this project: `make validators` installs it. The argument is
a file with the tools as `tools/list` gives them.
"""

import importlib.metadata
import json
import sys
import warnings
from pathlib import Path
from typing import Any

NAMES = ("google-genai", "langchain-google-genai", "openai-agents")


def main() -> None:
    """Convert; any complaint is an error."""
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    tools: list[dict[str, Any]] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    made = {"google-genai": google(tools), "langchain-google-genai": langchain(tools), "openai-agents": agents(tools)}
    versions = {name: importlib.metadata.version(name) for name in NAMES}
    print(json.dumps({"versions": versions, "made": made}))


def google(tools: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the arguments of each tool as Google's SDK has them, from MCP and from plain JSON schemas."""
    from google.genai import types
    from google.genai._mcp_utils import mcp_to_gemini_tool
    from mcp.types import Tool

    found = {}
    for tool in tools:
        whole = mcp_to_gemini_tool(Tool.model_validate(tool))
        schema = types.Schema.from_json_schema(json_schema=types.JSONSchema.model_validate(tool["inputSchema"]))
        assert whole.function_declarations[0].name == tool["name"]
        found[tool["name"]] = sorted(schema.properties or {})
    return found


def langchain(tools: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the same as LangChain hands it to Google."""
    from langchain_google_genai._function_utils import convert_to_genai_function_declarations

    found = {}
    for tool in tools:
        given = {"name": tool["name"], "description": tool["description"], "parameters": tool["inputSchema"]}
        (made,) = convert_to_genai_function_declarations([given])
        (declared,) = made.function_declarations
        found[tool["name"]] = sorted((declared.parameters.properties if declared.parameters else None) or {})
    return found


def agents(tools: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the same in OpenAI's strict form, in which every argument is required."""
    from agents.strict_schema import ensure_strict_json_schema

    found = {}
    for tool in tools:
        strict = ensure_strict_json_schema(json.loads(json.dumps(tool["inputSchema"])))
        assert strict["required"] == list(strict["properties"])
        found[tool["name"]] = sorted(strict["properties"])
    return found


if __name__ == "__main__":
    main()
