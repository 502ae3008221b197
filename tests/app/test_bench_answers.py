"""The characters of tools and answers stay within their bounds, as Claude Code and clients that read text show them."""

from functools import cache
from typing import Any

import pytest
from mcp.types import CallToolResult, TextContent

from ocw_mcp.app.bench import answers
from ocw_mcp.interfaces.mcp.server import tools

LONGEST = {"ocw_get_status": 350, "orders_preview": 500, "market_get_snapshot": 1_200}
"""Largest number of characters of an answer, where the number is fixed."""
LONGEST_ACTING = 250
LONGEST_TOOLS = {"decision_loop": 5_000, "all": 11_000}


@cache
def measured() -> dict[str, Any]:
    return answers.measure()


@pytest.mark.parametrize("tool", LONGEST)
def test_answer_stays_within_its_bound(tool: str) -> None:
    assert max(measured()["answers"][tool].values()) <= LONGEST[tool]


@pytest.mark.parametrize("which", LONGEST_TOOLS)
def test_tool_definitions_stay_within_their_bound(which: str) -> None:
    assert measured()["definitions"][which] <= LONGEST_TOOLS[which]


def test_every_tool_is_measured_and_acting_ones_answer_briefly() -> None:
    found = measured()
    offered = tools(lambda: None)  # type: ignore[arg-type,return-value]
    assert found["answers"].keys() == {tool.name for tool in offered}
    assert found["definitions"].keys() == {tool.name for tool in offered} | {"all", "decision_loop"}
    for tool in offered:
        if not tool.reads and tool.name != "orders_preview":
            assert found["answers"][tool.name]["claude_code"] <= LONGEST_ACTING, tool.name


def test_claude_code_and_other_clients_show_the_same_answer() -> None:
    assert all(sizes["claude_code"] == sizes["text"] for sizes in measured()["answers"].values())


def test_claude_code_shows_structured_content_instead_of_text() -> None:
    block = TextContent(type="text", text="the text")
    assert answers.shown_by_claude_code(CallToolResult(content=[block])) == "the text"
    both = CallToolResult(content=[block], structured_content={"a": [1]})
    assert answers.shown_by_claude_code(both) == '{"a":[1]}'
    assert answers.shown_by_claude_code(both.model_copy(update={"is_error": True})) == "the text"
