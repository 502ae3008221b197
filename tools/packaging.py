"""Files for the installation of OCW: the manifest of a Claude Desktop bundle, and an entry of the MCP registry.

`python -m tools.packaging` writes both files into `packaging/`; `make docs` runs this command, and a test
compares the files with the code. With a directory as argument the command writes the contents of a bundle there.
Neither file contains or requires a key.
"""

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

from ocw_mcp import __version__
from ocw_mcp.domain.errors import InvariantError
from ocw_mcp.interfaces.mcp.server import tools
from tools.reference import no_engine

TITLE: Final = "OCW trading engine"
SUMMARY: Final = "Lets Claude trade crypto behind hard risk limits that no prompt can change."
PACKAGE: Final = "ocw-mcp"
REGISTERED: Final = "io.github.ocw-mcp/ocw-mcp"
"""The name in the registry. The publisher must own the part before the slash, and README.md must contain the name."""
SCHEMA: Final = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
ENTRY: Final = "desktop.py"
STARTING: Final = ("run", "--no-project", "--directory", "${__dirname}")
MARKET: Final = ("--market", "${user_config.market}")
"""The option of `ocw mcp` that has the value of the user's setting."""
LOCK: Final = "requirements.lock"
BUNDLED: Final = (
    *("ocw_mcp", "policies", "prompts", "situations"),
    *("pyproject.toml", "README.md", "LICENSE", ".env.example"),
)


def manifest() -> dict[str, Any]:
    """Return the manifest of a bundle (MCPB 0.4): uv installs Python, and `ENTRY` installs the pinned dependencies."""
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
            "mcp_config": {"command": "uv", "args": [*STARTING, ENTRY, *MARKET]},
        },
        "user_config": {
            "market": {
                "type": "string",
                "title": "Market of a new book",
                "description": "binance: live prices, fills on paper. sim: the simulated market, without a network. "
                "auto: binance if it can be reached. A book that exists keeps its market.",
                "default": "auto",
            }
        },
        "tools": [{"name": tool.name, "description": tool.description} for tool in tools(no_engine)],
        "prompts_generated": True,
        "compatibility": {"platforms": ["darwin", "linux"], "runtimes": {"python": ">=3.11"}},
    }


def registry_entry() -> dict[str, Any]:
    """Return the registry's `server.json`: `uvx ocw-mcp mcp`, over standard input and output."""
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
    """Return the text of a file of `PAGES`."""
    return json.dumps(PAGES[page](), indent=2, ensure_ascii=False) + "\n"


def pinned(checkout: Path) -> str:
    """Return the part of the lock file that a bundle needs. Raises InvariantError if it lacks a dependency."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {_name(each) for each in project["dependencies"]}
    lock = (checkout / LOCK).read_text(encoding="utf-8")
    # A package may have different versions for older and newer Pythons, and so several blocks.
    blocks = [(_name(block), block) for block in re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE) if block]
    if missing := sorted(needed - {name for name, _ in blocks}):
        raise InvariantError(f"{LOCK} lacks {missing[0]}; update it with: make lock")
    before = 0
    while len(needed) > before:
        before = len(needed)
        needed |= {name for name, block in blocks if needed & _required_by(block)}
    return "".join(block for name, block in blocks if name in needed)


def _name(requirement: str) -> str:
    """Return the name at the start of a requirement, normalised as package indexes do."""
    found = re.match(r"[A-Za-z0-9._-]*[A-Za-z0-9]", requirement)
    assert found is not None, "a requirement begins with a name"
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def _required_by(block: str) -> set[str]:
    """Return the packages that require the package of one block of the lock file."""
    _, _, remark = block.partition("# via")
    lines = (line.strip(" #") for line in remark.splitlines())
    return {_name(line) for line in lines if line and not line.startswith(PACKAGE)}


def bundle(checkout: Path, into: Path) -> None:
    """Write the contents of a bundle into a new directory."""
    into.mkdir(parents=True)
    for name in BUNDLED:
        source = checkout / name
        if source.is_dir():
            shutil.copytree(source, into / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, into)
    shutil.copy(checkout / "packaging" / ENTRY, into)
    (into / LOCK).write_text(pinned(checkout), encoding="utf-8")
    # The packing tool excludes files named .env*, but the project does not build without .env.example.
    (into / ".mcpbignore").write_text("!.env.example\n", encoding="utf-8")
    (into / "manifest.json").write_text(written("manifest.json"), encoding="utf-8")


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    if sys.argv[1:]:
        bundle(root, Path(sys.argv[1]))
    else:
        for page in PAGES:
            (root / "packaging" / page).write_text(written(page), encoding="utf-8")
