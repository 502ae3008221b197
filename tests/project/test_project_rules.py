"""Rules of the house that no linter knows, proved over the syntax tree and the text of the repository."""

import ast
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from io import StringIO
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "ocw_mcp"
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py"))
RISK = "ocw_mcp/core/risk/"
APPROVED = "ocw_mcp/domain/cleared.py"
LONGEST = 400
"""Lines."""


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(text_of(module))


@cache
def text_of(module: str) -> str:
    return (ROOT / module).read_text(encoding="utf-8")


def naming(*names: str) -> list[str]:
    """The modules whose text has one of these names; a name with other letters than ASCII may be written otherwise."""
    return [one for one in MODULES if not text_of(one).isascii() or any(name in text_of(one) for name in names)]


def last_name(node: ast.AST) -> str | None:
    """`c` of `a.b.c` and of `c`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def call_sites(name: str) -> list[str]:
    """The modules that call `name`, one entry a call."""
    return [
        module
        for module in naming(name)
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call) and last_name(node.func) == name
    ]


def uses_as_a_value(module: str, name: str) -> Iterator[str]:
    """Ways around a call: another name for it, a base class, an argument such as that of `object.__new__`."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.alias) and node.name == name and node.asname:
            yield f"{module}:{node.lineno} imports {name} under another name"
        elif isinstance(node, ast.Assign | ast.AnnAssign) and last_name(node.value or node) == name:
            yield f"{module}:{node.lineno} gives {name} another name"
        elif isinstance(node, ast.ClassDef) and name in map(last_name, node.bases):
            yield f"{module}:{node.lineno} derives from {name}"
        elif isinstance(node, ast.Call) and last_name(node.func) not in {"isinstance", "cast"}:
            if name in map(last_name, node.args):
                yield f"{module}:{node.lineno} hands {name} on"
        elif isinstance(node, ast.Attribute) and last_name(node.value) == name:
            yield f"{module}:{node.lineno} reaches into {name}"


def test_cleared_order_is_constructed_only_once_and_in_core_risk() -> None:
    sites = call_sites("ClearedOrder")
    assert {site for site in sites if not site.startswith(RISK)} == set()
    assert len(sites) == 1


def test_risk_seal_is_claimed_only_once_and_in_core_risk() -> None:
    sites = call_sites("claim_risk_seal")
    assert {site for site in sites if not site.startswith(RISK)} == set()
    assert len(sites) == 1


@pytest.mark.parametrize("name", ["ClearedOrder", "claim_risk_seal"])
def test_no_module_hides_the_construction_of_a_cleared_order(name: str) -> None:
    assert [found for module in naming(name) if module != APPROVED for found in uses_as_a_value(module, name)] == []


def test_no_module_accesses_the_private_risk_seal() -> None:
    inside = {"_SEAL", "_claimed"}
    takers = [
        f"{module}:{node.lineno}"
        for module in naming(*inside)
        for node in ast.walk(tree(module))
        if isinstance(node, ast.alias | ast.Attribute)
        and (node.name if isinstance(node, ast.alias) else node.attr) in inside
    ]
    assert takers == []


@pytest.mark.parametrize(
    "way",
    [
        "from ocw_mcp.domain.cleared import ClearedOrder as Passed",
        "Passed = ClearedOrder",
        "class Passed(ClearedOrder): ...",
        "object.__new__(ClearedOrder)",
        "cleared.ClearedOrder.__new__",
    ],
)
def test_each_hidden_construction_of_a_cleared_order_is_detected(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "tree", lambda module: ast.parse(way))
    assert len(list(uses_as_a_value("a.py", "ClearedOrder"))) == 1


def docstring_of(text: str) -> str | None:
    """The docstring of a module, whose code behind it is not parsed."""
    layout = {tokenize.COMMENT, tokenize.NL}
    first = next(each for each in tokenize.generate_tokens(StringIO(text).readline) if each.type not in layout)
    if first.type != tokenize.STRING:
        return None
    return ast.get_docstring(ast.parse("".join(text.splitlines(keepends=True)[: first.end[0]])))


@pytest.mark.parametrize(
    ("text", "docstring"),
    [
        ('# A comment.\n\n"""What it has.\n\nMore."""\n\nimport os\n', "What it has.\n\nMore."),
        ("'What it has.'", "What it has."),
        ("import os\n'What it has.'\n", None),
        ("f'What it has.'\n", None),
        ("b'What it has.'\n", None),
        ("'What it has.'.strip()\n", None),
        ("''\n", ""),
        ("", None),
    ],
)
def test_docstring_of_a_module_is_the_one_of_a_parser(text: str, docstring: str | None) -> None:
    assert docstring_of(text) == docstring == ast.get_docstring(ast.parse(text))


def test_each_module_is_short() -> None:
    lines = {module: len(text_of(module).splitlines()) for module in MODULES}
    too_long = {module: count for module, count in lines.items() if count > LONGEST}
    assert too_long == {}, f"these modules have more than {LONGEST} lines; split them"


def test_each_module_has_a_docstring() -> None:
    without = [module for module in MODULES if not docstring_of(text_of(module))]
    assert without == [], "these modules have no docstring; write one line on the contents of each"


def is_protocol(node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef) and "Protocol" in map(last_name, node.bases)


def is_stub(function: ast.AsyncFunctionDef) -> bool:
    """A body of nothing but a docstring and `...`."""
    return all(isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant) for one in function.body)


def waits(module: str) -> list[int]:
    """The lines of a module that wait, or could; a Protocol in `domain.protocols` only says that others do."""
    if not any(keyword in text_of(module) for keyword in ("async", "await")):
        return []
    stubs = {
        function
        for node in ast.walk(tree(module))
        if module == "ocw_mcp/domain/protocols.py" and is_protocol(node) and isinstance(node, ast.ClassDef)
        for function in node.body
        if isinstance(function, ast.AsyncFunctionDef) and is_stub(function)
    }
    kinds = ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith
    lines = [node.lineno for node in ast.walk(tree(module)) if isinstance(node, kinds) and node not in stubs]
    comprehensions = [node for node in ast.walk(tree(module)) if isinstance(node, ast.comprehension) and node.is_async]
    return lines + [node.target.lineno for node in comprehensions]


def test_domain_core_and_engine_have_no_async_code() -> None:
    pure = [one for one in MODULES if one.startswith(("ocw_mcp/domain/", "ocw_mcp/core/", "ocw_mcp/engine/"))]
    assert {module: lines for module in pure if (lines := waits(module))} == {}


def texts() -> Iterator[tuple[str, str]]:
    """Every text file that is, or is about to be, in the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in sorted(set(listed.split("\0")) - {""}):
        path = ROOT / name
        if path.is_file():
            data = path.read_bytes()
            if b"\0" not in data:
                yield name, data.decode()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout: nothing says which files belong to it")
def test_no_file_contains_an_absolute_path_of_one_machine() -> None:
    places = ["/" + "work/", "/" + "root/", "/" + "home/"]
    found = [f"{name} names {place}" for name, text in texts() for place in places if place in text]
    assert found == []


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout: nothing says which files belong to it")
def test_lock_files_contain_no_url() -> None:
    locks = {name: text for name, text in texts() if name.endswith(".lock") or Path(name).name.startswith("pylock")}
    assert locks
    assert [name for name, text in locks.items() if "://" in text] == []
