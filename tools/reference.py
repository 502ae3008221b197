"""Prints `docs/reference.md` from the declarations in the code. `make docs` writes the page, and a test compares it."""

from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from pydantic.fields import FieldInfo

from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.core.risk.limits import ALL_LIMITS
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.errors import InvariantError
from ocw_mcp.domain.explained import Explained
from ocw_mcp.domain.policies import Policies, table_of
from ocw_mcp.domain.policy_table import stricter_of
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.requests import RequestCode
from ocw_mcp.interfaces.mcp.server import TOOLSETS


def page() -> str:
    """Return the whole page as Markdown."""
    intro = ("# Reference", "", "`make docs` generates this page from the code.", "")
    requests = _meanings("Requests that cannot be answered", "code", RequestCode)
    rejections = _meanings("Rejections by a venue", "reason", RejectReason)
    causes = _meanings("Causes of a decision", "cause", CauseKind)
    return "\n".join([*intro, *_policies(), *_refusals(), *rejections, *requests, *causes, *_tools(), ""])


def _policies() -> Iterator[str]:
    shipped = load_policies(None).policies
    yield from (
        "## Policies",
        "",
        "The tables list every key of a policy file with its bounds, its value in `policies/default.toml`, and its "
        "strictest value, which is used if a file lacks the key. `stricter` says which values of a limit are stricter.",
        "",
        'A file may begin with `extends = "NAME"`, the name of a file in the same folder or of a shipped policy, and '
        "set only the keys that differ. At most three files may extend each other. The policy hash covers them all.",
    )
    for name, field in Policies.model_fields.items():
        kind = table_of(field)
        if kind is None:
            continue
        table = getattr(shipped, name)
        yield from ("", f"### `[{name}]`", "", " ".join((kind.__doc__ or "").split()), "")
        yield from ("| key | bounds | stricter | default | if missing | meaning |", "|---|---|---|---|---|---|")
        for key, info in kind.model_fields.items():
            direction = stricter_of(info)
            stricter = direction.value if direction is not None else ""
            meaning = " ".join((info.description or "").split())
            value = "not set" if table is None else f"`{_value(getattr(table, key))}`"
            missing = "required" if info.is_required() else f"`{_value(info.default)}`"
            yield f"| `{key}` | {_bounds(info)} | {stricter} | {value} | {missing} | {meaning} |"
    yield ""


def _refusals() -> Iterator[str]:
    keys = {limit.code: ", ".join(f"`{key}`" for key in limit.keys) for limit in ALL_LIMITS}
    yield from ("## Refusals", "", "| code | meaning | keys of its limit |", "|---|---|---|")
    for code in RefusalCode:
        yield f"| `{code}` | {code.meaning} | {keys.get(code) or 'none'} |"
    yield from ("", "## Limits that refuse no order", "", "| keys | meaning |", "|---|---|")
    for limit in ALL_LIMITS:
        if limit.code is None:
            yield f"| {', '.join(f'`{key}`' for key in limit.keys)} | {limit.meaning} |"


def _meanings(title: str, head: str, codes: Iterable[Explained]) -> Iterator[str]:
    yield from ("", f"## {title}", "", f"| {head} | meaning |", "|---|---|")
    yield from (f"| `{code}` | {code.meaning} |" for code in codes)


def _tools() -> Iterator[str]:
    yield from ("", "## Tools of the MCP server", "", "By toolset. `*` marks a required argument.")
    for name, make in TOOLSETS.items():
        yield from ("", f"### {name}", "", "| tool | arguments | description |", "|---|---|---|")
        for tool in make(no_engine):
            required = tool.parameters.get("required", ())
            arguments = ", ".join(f"`{each}`{'*' * (each in required)}" for each in tool.parameters["properties"])
            yield f"| `{tool.name}` | {arguments or 'none'} | {tool.description} |"


def no_engine() -> NoReturn:
    """Raise InvariantError: tools that are only listed need no engine."""
    raise InvariantError("tools that are only listed have no engine")


def _bounds(info: FieldInfo) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    named = ((rule, name) for rule in info.metadata for name in signs if hasattr(rule, name))
    return ", ".join(f"{signs[name]} {getattr(rule, name)}" for rule, name in named)


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{each}"' for each in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + " }"
    return f'"{value}"' if isinstance(value, str) else str(value)


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - the page is the output
