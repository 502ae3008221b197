"""The default state directory, and the files shipped with OCW: policies, prompts and an example of an `.env`.

Shipped files are read from the installed wheel or from a checkout.
"""

import os
from pathlib import Path
from typing import Final

from ocw_mcp.domain.errors import BookError, SettingsError

STATE: Final = "OCW_STATE"
"""The environment variable that names a state directory in place of `--state`."""
ENV_EXAMPLE = ".env.example"

_PACKAGE = Path(__file__).resolve().parents[1]


def home() -> Path:
    """Return the default state directory, a folder in the user data directory."""
    from platformdirs import user_data_path

    return user_data_path("ocw", appauthor=False) / "desk"


def shipped(name: str, package: Path = _PACKAGE) -> Path:
    """Return the path of a shipped file or folder, in a wheel or checkout. Raises SettingsError if it is missing."""
    in_wheel = package / "shipped" / name
    if in_wheel.exists():
        return in_wheel
    # The folder of an installed package has other packages, too: only a project file shows that it is a checkout.
    in_checkout = package.parent / name
    if (package.parent / "pyproject.toml").is_file() and in_checkout.exists():
        return in_checkout
    raise SettingsError(f"this installation of ocw-mcp lacks {name}, which ships with it; install ocw-mcp again")


def shipper() -> tuple[int, ...]:
    """Return the id of the user who installed OCW, and who therefore owns the shipped files and the code."""
    return (_PACKAGE.stat().st_uid,)


def write_env_example(state_dir: Path) -> Path:
    """Copy the example to a new `.env` that only its owner can read. Raises SettingsError and BookError."""
    # Imported here, since every command imports this file.
    from ocw_mcp.adapters.files import make_directory, require_own_directory, write_private

    target = state_dir / ".env"
    text = shipped(ENV_EXAMPLE).read_bytes()
    try:
        make_directory(state_dir)
        require_own_directory(state_dir)
        # The empty file reserves the name, so that an existing file is never replaced.
        target.touch(0o600, exist_ok=False)
    except OSError as error:
        if os.path.lexists(target):
            raise SettingsError(
                f"{target} exists already and may contain keys; expected no file there; edit it, or move it first"
            ) from error
        raise SettingsError(
            f"no .env can be written into {state_dir} ({error.strerror}); "
            "expected a directory that you may write to; choose another with --state"
        ) from error
    try:
        write_private(target, text)
    except BookError:
        target.unlink(missing_ok=True)
        raise
    return target
