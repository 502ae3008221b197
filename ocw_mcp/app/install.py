"""Makes OCW known to Claude: an entry in Claude Desktop's configuration, or the command for Claude Code. No key."""

import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

from ocw_mcp.adapters.files import read_file
from ocw_mcp.domain.errors import SettingsError

NAME: Final = "ocw"
CONFIG: Final = "claude_desktop_config.json"
LARGEST_CONFIG: Final = 1 << 24
"""Bytes."""


class Installed(NamedTuple):
    """What was done, or would be: the configuration file, what it held before, and what it holds then."""

    path: Path
    before: str | None
    after: str
    backup: Path | None

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return self.before != self.after


def command(state: Path, *, read_only: bool) -> list[str]:
    """What a client starts: this very installation, by full paths, since clients have another PATH."""
    beside = Path(sys.executable).with_name("ocw")
    found = str(beside) if beside.exists() else shutil.which("ocw")
    start = [found] if found else [sys.executable, "-m", "ocw_mcp"]
    return [*start, "mcp", "--state", str(state.absolute()), *(["--read-only"] if read_only else [])]


def for_claude_code(state: Path, *, read_only: bool) -> str:
    """The command that makes OCW known to Claude Code."""
    return shlex.join(["claude", "mcp", "add", NAME, "--", *command(state, read_only=read_only)])


def desktop_config(platform: str = sys.platform, home: Path | None = None) -> Path:
    """Where Claude Desktop keeps its configuration."""
    base = home or Path.home()
    if platform == "darwin":
        return base / "Library" / "Application Support" / "Claude" / CONFIG
    return Path(os.environ.get("XDG_CONFIG_HOME") or base / ".config") / "Claude" / CONFIG


def for_claude_desktop(path: Path, state: Path, *, read_only: bool, dry_run: bool) -> Installed:
    """Put an entry into Claude Desktop's configuration, beside whatever stands there; the old file is kept.

    Raises SettingsError for a file that is no configuration, which is left as it is, and where nothing can be written.
    """
    start = command(state, read_only=read_only)
    before = _read(path)
    config = _parsed(path, before)
    servers = config.setdefault("mcpServers", {})
    if not isinstance(servers, dict):
        raise _foreign(path, "its mcpServers are no object")
    servers[NAME] = {"command": start[0], "args": start[1:]}
    after = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    done = Installed(path, before, after, None)
    if dry_run or not done.changed:
        return done
    backup = _free(path) if before is not None else None
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
            f"{path} cannot be written: {error.strerror}; allow writing it, or put in what --dry-run prints by hand"
        ) from None
    return done._replace(backup=backup)


def _read(path: Path) -> str | None:
    try:
        return read_file(path, LARGEST_CONFIG, link=True).decode()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _foreign(path, str(error)) from None


def _parsed(path: Path, text: str | None) -> dict[str, Any]:
    if text is None or not text.strip():
        return {}
    try:
        config = json.loads(text)
    except ValueError as error:
        raise _foreign(path, f"it is no JSON: {error}") from None
    if not isinstance(config, dict):
        raise _foreign(path, "it holds no object")
    return config


def _free(path: Path) -> Path:
    """The first name for a backup that nothing has: an older one is never lost."""
    number = 1
    while (backup := path.with_name(f"{path.name}.before-ocw-{number}")).exists():
        number += 1
    return backup


def _foreign(path: Path, why: str) -> SettingsError:
    return SettingsError(
        f"{path} is no configuration of Claude Desktop that can be added to ({why}); nothing was changed; correct it, "
        "or put in what --dry-run prints on another file by hand"
    )
