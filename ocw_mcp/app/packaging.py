"""What others read to install OCW: the manifest of a bundle for Claude Desktop, and an entry for the MCP registry.

`python -m ocw_mcp.app.packaging` writes both into `packaging/`; `make docs` does that, and a test holds them against
the code. With a directory it puts together there what goes into a bundle. Neither holds a key, and none is asked for.
"""

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any, Final, NoReturn

from ocw_mcp import __version__
from ocw_mcp.domain.errors import InvariantError
from ocw_mcp.interfaces.mcp.server import tools

TITLE: Final = "OCW trading desk"
SUMMARY: Final = "A trading desk for Claude, with a risk officer that cannot be talked out of anything."
PACKAGE: Final = "ocw-mcp"
REGISTERED: Final = "io.github.ocw-mcp/ocw-mcp"
"""The name in the registry. Whoever publishes has to own what stands before the slash, and to say it in README.md."""
SCHEMA: Final = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
ENTRY: Final = "desktop.py"
LOCK: Final = "requirements.lock"
BUNDLED: Final = ("ocw_mcp", "policies", "prompts", "pyproject.toml", "README.md", "LICENSE", ".env.example")


def manifest() -> dict[str, Any]:
    """The manifest of a bundle (MCPB 0.4): uv brings Python, and `ENTRY` the pinned dependencies by it."""
    return {
        "manifest_version": "0.4",
        "name": PACKAGE,
        "display_name": TITLE,
        "version": __version__,
        "description": SUMMARY,
        "author": {"name": "The OCW contributors"},
        "license": "MIT",
        "keywords": ["trading", "crypto", "risk", "paper trading"],
        "server": {
            "type": "uv",
            "entry_point": ENTRY,
            "mcp_config": {"command": "uv", "args": ["run", "--no-project", "--directory", "${__dirname}", ENTRY]},
        },
        "tools": [{"name": tool.name, "description": tool.description} for tool in tools(_no_engine)],
        "prompts_generated": True,
        "compatibility": {"platforms": ["darwin", "linux"], "runtimes": {"python": ">=3.11"}},
    }


def registry_entry() -> dict[str, Any]:
    """The registry's `server.json`: `uvx ocw-mcp mcp`, over standard input and output."""
    package = {
        "registryType": "pypi",
        "identifier": PACKAGE,
        "version": __version__,
        "runtimeHint": "uvx",
        "packageArguments": [{"type": "positional", "value": "mcp"}],
        "transport": {"type": "stdio"},
    }
    return {
        "$schema": SCHEMA,
        "name": REGISTERED,
        "title": TITLE,
        "description": SUMMARY,
        "version": __version__,
        "packages": [package],
    }


PAGES: Final = {"manifest.json": manifest, "server.json": registry_entry}


def written(page: str) -> str:
    """A page as it stands in its file."""
    return json.dumps(PAGES[page](), indent=2, ensure_ascii=False) + "\n"


def pinned(checkout: Path) -> str:
    """Return what of the lock a bundle needs: each dependency pinned, with the hashes of its files.

    Raises HouseRuleError for a dependency that the lock does not have.
    """
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {_name(each) for each in project["dependencies"]}
    lock = (checkout / LOCK).read_text(encoding="utf-8")
    # A package may have one version for older Pythons and another for newer ones: a name may have several blocks.
    blocks = [(_name(block), block) for block in re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE) if block]
    if missing := sorted(needed - {name for name, _ in blocks}):
        raise InvariantError(f"{LOCK} lacks {missing[0]}; make it anew with: make lock")
    before = 0
    while len(needed) > before:
        before = len(needed)
        needed |= {name for name, block in blocks if needed & _asked_by(block)}
    return "".join(block for name, block in blocks if name in needed)


def _name(requirement: str) -> str:
    """The name that a requirement begins with, as indexes have it."""
    found = re.match(r"[A-Za-z0-9._-]*[A-Za-z0-9]", requirement)
    assert found is not None, "a requirement begins with a name"
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def _asked_by(block: str) -> set[str]:
    """The packages for whose sake the lock has one."""
    _, _, remark = block.partition("# via")
    lines = (line.strip(" #") for line in remark.splitlines())
    return {_name(line) for line in lines if line and not line.startswith(PACKAGE)}


def bundle(checkout: Path, into: Path) -> None:
    """Put together what goes into a bundle, in an empty directory."""
    into.mkdir(parents=True)
    for name in BUNDLED:
        source = checkout / name
        if source.is_dir():
            shutil.copytree(source, into / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, into)
    shutil.copy(checkout / "packaging" / ENTRY, into)
    (into / LOCK).write_text(pinned(checkout), encoding="utf-8")
    # The tool leaves out whatever is called .env, but the project does not build without its example.
    (into / ".mcpbignore").write_text("!.env.example\n", encoding="utf-8")
    (into / "manifest.json").write_text(written("manifest.json"), encoding="utf-8")


def _no_engine() -> NoReturn:
    raise InvariantError("a list of tools asks no engine")


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    if sys.argv[1:]:
        bundle(root, Path(sys.argv[1]))
    else:
        for page in PAGES:
            (root / "packaging" / page).write_text(written(page), encoding="utf-8")
