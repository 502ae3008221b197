"""What others read to install OCW: the manifest of a bundle for Claude Desktop, and an entry for the MCP registry.

`python -m ocw_mcp.app.packaging` writes both into `packaging/`; `make docs` does that, and a test holds them against
the code. With a directory it puts together there what goes into a bundle. Neither holds a key, and none is asked for.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

from ocw_mcp import __version__
from ocw_mcp.domain.errors import HouseRuleError
from ocw_mcp.doors.mcp.server import tools

TITLE: Final = "OCW trading desk"
SUMMARY: Final = "A trading desk for Claude, with a risk officer that cannot be talked out of anything."
PACKAGE: Final = "ocw-mcp"
REGISTERED: Final = "io.github.ocw-mcp/ocw-mcp"
"""The name in the registry. Whoever publishes has to own what stands before the slash, and to say it in README.md."""
SCHEMA: Final = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
ENTRY: Final = "desktop.py"
BUNDLED: Final = ("ocw_mcp", "policies", "prompts", "pyproject.toml", "README.md", "LICENSE", ".env.example")


def manifest() -> dict[str, Any]:
    """The manifest of a bundle (MCPB 0.4), whose Python and dependencies the client brings by uv."""
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
            "mcp_config": {"command": "uv", "args": ["run", "--directory", "${__dirname}", ENTRY]},
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
    # The tool leaves out whatever is called .env, but the project does not build without its example.
    (into / ".mcpbignore").write_text("!.env.example\n", encoding="utf-8")
    (into / "manifest.json").write_text(written("manifest.json"), encoding="utf-8")


def _no_engine() -> NoReturn:
    raise HouseRuleError("a list of tools asks no engine")


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    if sys.argv[1:]:
        bundle(root, Path(sys.argv[1]))
    else:
        for page in PAGES:
            (root / "packaging" / page).write_text(written(page), encoding="utf-8")
