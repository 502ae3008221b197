"""Registers OCW with clients of MCP, without a key.

The configuration of Claude Desktop, Cursor and VS Code gets an entry. Claude Code, Codex and Gemini CLI have a command
that adds a server to their own configuration.
"""

import json
import os
import shlex
import shutil
import sys
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

from ocw_mcp.adapters.files import read_file
from ocw_mcp.app.attach import AUTO, MARKETS
from ocw_mcp.domain.errors import SettingsError

NAME: Final = "ocw"
CONFIG: Final = "claude_desktop_config.json"
ADDING: Final = {
    "claude-code": ("claude", "mcp", "add", NAME, "--", "{program}"),
    "codex": ("codex", "mcp", "add", NAME, "--", "{program}"),
    # Without --scope, Gemini CLI writes into the current directory.
    "gemini-cli": ("gemini", "mcp", "add", "--scope", "user", NAME, "{program}", "--"),
}
"""By client, the command that adds a server, without the arguments of the server's program."""
LARGEST_CONFIG: Final = 1 << 24
"""The most bytes of a configuration file."""


class Editor(NamedTuple):
    """A client whose configuration file, JSON, gets an entry."""

    title: str
    servers: str
    """The key of the object with the servers."""
    entry: dict[str, str]
    """Fields of an entry beside `command` and `args`."""
    next_: str
    """What makes the client read the file."""


EDITORS: Final = {
    "claude-desktop": Editor("Claude Desktop", "mcpServers", {}, "restart Claude Desktop"),
    "cursor": Editor("Cursor", "mcpServers", {}, "restart Cursor; its settings list ocw among the MCP servers"),
    "vscode": Editor("VS Code", "servers", {"type": "stdio"}, "run MCP: List Servers in VS Code, and start ocw"),
}


class Installed(NamedTuple):
    """A change of the configuration file that was made or is planned: the path, the old text, and the new text."""

    path: Path
    before: str | None
    after: str
    backup: Path | None

    @property
    def changed(self) -> bool:
        """Whether the new text differs from the old one."""
        return self.before != self.after


def command(state: Path, *, read_only: bool, market: str = AUTO) -> list[str]:
    """Return the command that a client starts, with the full path of this installation: clients have another PATH.

    Raises SettingsError for an unknown market.
    """
    if market not in MARKETS:
        raise SettingsError(f"--market is {market[:40]!r}; expected one of {', '.join(MARKETS)}")
    beside = Path(sys.executable).with_name("ocw")
    found = str(beside) if beside.exists() else shutil.which("ocw")
    start = [found] if found else [sys.executable, "-m", "ocw_mcp"]
    chosen = ["--market", market] if market != AUTO else []
    return [*start, "mcp", "--state", str(state.absolute()), *chosen, *(["--read-only"] if read_only else [])]


def adding_command(client: str, state: Path, *, read_only: bool, market: str = AUTO) -> str:
    """Return the command that adds OCW to the configuration of Claude Code, Codex or Gemini CLI."""
    program, *arguments = command(state, read_only=read_only, market=market)
    return shlex.join([*(word.format(program=program) for word in ADDING[client]), *arguments])


def config_path(client: str, platform: str = sys.platform, home: Path | None = None) -> Path:
    """Return the path of an editor's configuration file for all projects of the user."""
    base = home or Path.home()
    if client == "cursor":
        return base / ".cursor" / "mcp.json"
    mac = base / "Library" / "Application Support"
    folder = mac if platform == "darwin" else Path(os.environ.get("XDG_CONFIG_HOME") or base / ".config")
    return folder / "Claude" / CONFIG if client == "claude-desktop" else folder / "Code" / "User" / "mcp.json"


def add_entry(client: str, path: Path, state: Path, *, read_only: bool, dry_run: bool, market: str = AUTO) -> Installed:
    """Add OCW to an editor's configuration, and keep other entries and a copy of the old file. Raises SettingsError."""
    editor, start = EDITORS[client], command(state, read_only=read_only, market=market)
    try:
        before: str | None = read_file(path, LARGEST_CONFIG, link=True).decode()
    except FileNotFoundError:
        before = None
    except (OSError, ValueError) as error:
        raise _foreign(editor, path, str(error)) from None
    config = _config(editor, path, before)
    servers = config.setdefault(editor.servers, {})
    if not isinstance(servers, dict):
        raise _foreign(editor, path, f"its {editor.servers} is not an object")
    servers[NAME] = {**editor.entry, "command": start[0], "args": start[1:]}
    after = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    done = Installed(path, before, after, None)
    if dry_run or not done.changed:
        return done
    # The first free name, so that an older backup is never overwritten.
    names = (path.with_name(f"{path.name}.before-ocw-{number}") for number in count(1))
    backup = next(name for name in names if not name.exists()) if before is not None else None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if backup is not None:
            shutil.copy2(path, backup)
        draft = path.with_name(f".{path.name}.ocw")
        draft.write_text(after, encoding="utf-8")
        if before is not None:
            shutil.copymode(path, draft)
        os.replace(draft, path)
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written: {error.strerror}; allow writing it, or copy the output of --dry-run into it"
        ) from None
    return done._replace(backup=backup)


def _config(editor: Editor, path: Path, text: str | None) -> dict[str, Any]:
    try:
        config = json.loads(text) if text is not None and text.strip() else {}
    except ValueError as error:
        raise _foreign(editor, path, f"it is not JSON: {error}") from None
    if not isinstance(config, dict):
        raise _foreign(editor, path, "it is not a JSON object")
    return config


def _foreign(editor: Editor, path: Path, why: str) -> SettingsError:
    return SettingsError(
        f"{path} cannot be read as a configuration of {editor.title} ({why}); nothing was changed; correct it, or copy "
        f"the entry into its {editor.servers} by hand: --dry-run with another --config prints it"
    )
