"""docs/sandbox.md: its tables of the fault script have what the code has."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from ocw_mcp.sandbox.binance.fault_kinds import ANSWERS, FORMS, KEYS, KINDS
from ocw_mcp.sandbox.binance.faults import RANDOM, load_script

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


TABLES = {
    "kinds": [
        row("kind", "what happens", "needs", "may have"),
        "|---|---|---|---|",
        *(row(f"`{name}`", kind.meaning, code(kind.required), code(kind.optional)) for name, kind in KINDS.items()),
    ],
    "keys": [
        row("key", "value", "example", "meaning"),
        "|---|---|---|---|",
        *(row(f"`{name}`", key.expected, f"`{key.example}`", key.meaning) for name, key in KEYS.items()),
    ],
    "forms": [
        row("form of garbage", "what is sent"),
        "|---|---|",
        *(row(f"`{name}`", meaning) for name, meaning in FORMS.items()),
    ],
    "answers": [
        row("answer", "status", "code", "text", "meaning"),
        "|---|---|---|---|---|",
        *(row(f"`{name}`", str(each.status), str(each.code), each.msg, each.meaning) for name, each in ANSWERS.items()),
    ],
    "rates": [
        row("rate", "kind"),
        "|---|---|",
        *(row(f"`{kind}s_per_hour`", f"`{kind}`") for kind in RANDOM),
    ],
}
"""The lines of each table as the code has it."""


@pytest.mark.parametrize("name", TABLES)
def test_table_of_the_page_is_that_of_the_code(name: str) -> None:
    shown = PAGE.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0]
    assert shown.strip().splitlines() == TABLES[name]


def test_script_of_the_page_is_valid() -> None:
    (script,) = re.findall(r"^```toml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    kinds = {fault.kind for fault in load_script(script, "docs/sandbox.md")}
    assert kinds == {"mute", "ban", "drop", "garbage"}
