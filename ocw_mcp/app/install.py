"""Registers OCW with Claude, without a key: an entry for Claude Desktop, or a command for Claude Code."""

import json
import os
import shlex
import shutil
import sys
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

from ocw_mcp.adapters.files import read_file
from ocw_mcp.domain.errors import SettingsError

NAME: Final = "ocw"
CONFIG: Final = "claude_desktop_config.json"
LARGEST_CONFIG: Final = 1 << 24
"""The most bytes of a configuration file."""


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


def command(state: Path, *, read_only: bool) -> list[str]:
    """Return the command that a client starts, with the full path of this installation: clients have another PATH."""
    beside = Path(sys.executable).with_name("ocw")
    found = str(beside) if beside.exists() else shutil.which("ocw")
    start = [found] if found else [sys.executable, "-m", "ocw_mcp"]
    return [*start, "mcp", "--state", str(state.absolute()), *(["--read-only"] if read_only else [])]


def for_claude_code(state: Path, *, read_only: bool) -> str:
    """Return the command that registers OCW with Claude Code."""
    return shlex.join(["claude", "mcp", "add", NAME, "--", *command(state, read_only=read_only)])


def desktop_config(platform: str = sys.platform, home: Path | None = None) -> Path:
    """Return the path of Claude Desktop's configuration."""
    base = home or Path.home()
    if platform == "darwin":
        return base / "Library" / "Application Support" / "Claude" / CONFIG
    return Path(os.environ.get("XDG_CONFIG_HOME") or base / ".config") / "Claude" / CONFIG


def for_claude_desktop(path: Path, state: Path, *, read_only: bool, dry_run: bool) -> Installed:
    """Add an entry to Claude Desktop's configuration, and keep a copy of the old file. Raises SettingsError."""
    start = command(state, read_only=read_only)
    try:
        before: str | None = read_file(path, LARGEST_CONFIG, link=True).decode()
    except FileNotFoundError:
        before = None
    except (OSError, ValueError) as error:
        raise _foreign(path, str(error)) from None
    config = _config(path, before)
    servers = config.setdefault("mcpServers", {})
    if not isinstance(servers, dict):
        raise _foreign(path, "its mcpServers is not an object")
    servers[NAME] = {"command": start[0], "args": start[1:]}
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


def _config(path: Path, text: str | None) -> dict[str, Any]:
    try:
        config = json.loads(text) if text is not None and text.strip() else {}
    except ValueError as error:
        raise _foreign(path, f"it is not JSON: {error}") from None
    if not isinstance(config, dict):
        raise _foreign(path, "it is not a JSON object")
    return config


def _foreign(path: Path, why: str) -> SettingsError:
    return SettingsError(
        f"{path} is not a valid configuration of Claude Desktop ({why}); nothing was changed; correct it, or copy the "
        "output of --dry-run with another --config into it"
    )
