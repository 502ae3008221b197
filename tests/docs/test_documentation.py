"""README, CONTRIBUTING and the pages of docs/: links lead somewhere, and commands, classes and files exist."""

import ast
import re
import shlex
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest
import typer

from ocw_mcp.app.cli.commands import app

ROOT = Path(__file__).resolve().parents[2]
TOP = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
PAGES = [ROOT / name for name in TOP] + sorted((ROOT / "docs").glob("*.md"))
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
CHECKED = [name for name in NAMES if name not in ("CHANGELOG.md", "ARCHITECTURE.md", "docs/reference.md")]
"""Pages that name only what exists today."""
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
PLACES = ("ocw_mcp/", "tests/", "docs/", "policies/", "prompts/", "packaging/", ".ci/")
OCW = typer.main.get_command(app)
MOST_README_LINES = 150
MOST_PICTURE_BYTES = 150_000


@cache
def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def prose(name: str) -> str:
    """Return a page without its code blocks."""
    return FENCE.sub("", text(name))


def anchors(name: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#{1,6} +(.+)$", prose(name), flags=re.MULTILINE)
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", each.lower()).strip()) for each in headings}


def inline_code(name: str) -> list[str]:
    return [" ".join(each.split()) for each in re.findall(r"`([^`]+)`", prose(name))]


def command_lines(name: str) -> Iterator[str]:
    """Yield the commands of a page, without remarks: lines of code blocks, and code within sentences."""
    for block in FENCE.findall(text(name)):
        for line in block.splitlines()[1:-1]:
            yield re.sub(r"\s+# .*$", "", line).strip()
    yield from inline_code(name)


def ocw_calls(name: str) -> Iterator[list[str]]:
    """Yield the arguments of each call of `ocw` on a page, also of one within a call of another program."""
    for line in command_lines(name):
        found = re.match(r"(?:\w+=\S+ )*(?:fly ssh .*-C \")?(?:\.venv/bin/)?ocw (.*?)\"?$", line)
        if found:
            yield shlex.split(found[1])


def unknown_part(arguments: list[str]) -> str | None:
    """Return the first command or option that `ocw` does not have."""
    command, path = OCW, "ocw"
    for argument in arguments:
        commands = getattr(command, "commands", None)
        if argument.startswith("--"):
            known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
            if argument.partition("=")[0] not in known | {"--help"}:
                return f"{path} {argument}"
        elif commands is not None:
            if argument not in commands:
                return f"{path} {argument}"
            command, path = commands[argument], f"{path} {argument}"
    return None


def classes(named: Iterable[str]) -> frozenset[str]:
    """Return the name of each class of the modules of the package whose text defines one of these names."""
    defined = re.compile(rf"\bclass ({'|'.join(map(re.escape, named))})\b")
    texts = (path.read_text(encoding="utf-8") for path in (ROOT / "ocw_mcp").rglob("*.py"))
    trees = [ast.parse(text) for text in texts if defined.search(text)]
    return frozenset(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


@pytest.mark.parametrize("name", NAMES)
def test_each_relative_link_has_an_existing_target(name: str) -> None:
    broken = []
    for target in LINK.findall(prose(name)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        page = (ROOT / name).parent / path if path else ROOT / name
        if not page.exists() or (anchor and anchor not in anchors(page.resolve().relative_to(ROOT).as_posix())):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("name", CHECKED)
def test_each_command_and_option_of_a_page_exists(name: str) -> None:
    assert [unknown for call in ocw_calls(name) if (unknown := unknown_part(call))] == []


@pytest.mark.parametrize("call", ["fly", "run --markets sim", "token give", "agent takeover --scope read"])
def test_check_of_pages_detects_an_unknown_command_or_option(call: str) -> None:
    assert unknown_part(shlex.split(call)) is not None


@pytest.mark.parametrize("name", CHECKED)
def test_each_make_target_of_a_page_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), flags=re.MULTILINE))
    asked = {line.split()[1] for line in command_lines(name) if re.match(r"make [a-z]", line)}
    assert asked <= targets


@pytest.mark.parametrize("name", CHECKED)
def test_each_repository_path_of_a_page_exists(name: str) -> None:
    paths = [code.partition("::")[0] for code in inline_code(name) if code.startswith(PLACES) and " " not in code]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_each_metric_on_the_http_documentation_page_is_served() -> None:
    served = text("ocw_mcp/interfaces/rest.py") + text("ocw_mcp/interfaces/http/metrics.py")
    named = {code.removesuffix("_total") for code in inline_code("docs/http.md") if re.fullmatch(r"ocw_\w+", code)}
    assert len(named) > 5
    assert [name for name in sorted(named) if f'"{name}"' not in served] == []


def test_readme_is_short_and_begins_with_two_commands() -> None:
    assert len(text("README.md").splitlines()) <= MOST_README_LINES
    assert FENCE.findall(text("README.md"))[0] == "```\nmake run\nmake test\n```"


def test_readme_shows_a_small_picture_of_a_run() -> None:
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text("README.md"))
    data = (ROOT / picture).read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) <= MOST_PICTURE_BYTES


def test_each_page_is_in_the_navigation_of_the_site() -> None:
    listed = re.findall(r"- (?:.+: )?(\S+\.md)$", text("mkdocs.yml"), flags=re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def glossary() -> list[list[str]]:
    """Return the rows of the glossary: term, meaning, classes."""
    rows = [line for line in text("docs/glossary.md").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return [row for row in cells if row[0] != "term"]


def test_each_class_of_the_glossary_exists() -> None:
    named = {name for row in glossary() for name in re.findall(r"`(\w+)`", row[2])}
    assert len(named) > 30
    assert sorted(named - classes(named)) == []


def test_glossary_explains_each_term_once() -> None:
    terms = [row[0] for row in glossary()]
    assert len(terms) >= 40
    assert len(set(terms)) == len(terms)
    assert all(len(row) == 3 and row[1].endswith(".") for row in glossary())
