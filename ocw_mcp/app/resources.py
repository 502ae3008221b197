"""The default state directory, and the files shipped with OCW: policies, prompts and an example of an `.env`.

The shipped files are in a wheel or in a checkout.
"""

import os
from pathlib import Path
from typing import Final

from ocw_mcp.domain.errors import SettingsError

STATE: Final = "OCW_STATE"
"""The environment variable that names a state directory in place of `--state`."""
ENV_EXAMPLE = ".env.example"

_PACKAGE = Path(__file__).resolve().parents[1]


def home() -> Path:
    """Return the default state directory, in the user's data, for a command or client that names none."""
    from platformdirs import user_data_path

    return user_data_path("ocw", appauthor=False) / "desk"


def shipped(name: str, package: Path = _PACKAGE) -> Path:
    """Return the path of a shipped folder or file: inside the package in a wheel, beside it in a checkout.

    Raises SettingsError when the installation lacks it.
    """
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
    """Copy the example to `.env` in a state directory, readable only by its owner, and return its path.

    Raises SettingsError when an `.env` exists already, which is not changed, or when it cannot be written, and
    BookError for a directory that another user owns or that other users can write.
    """
    import tempfile  # imported here, since every command imports this file

    from ocw_mcp.adapters.files import make_directory, require_own_directory

    target = state_dir / ".env"
    text = shipped(ENV_EXAMPLE).read_bytes()
    try:
        make_directory(state_dir)
        require_own_directory(state_dir)
        handle, draft_name = tempfile.mkstemp(dir=state_dir, prefix=".env.")
    except OSError as error:
        raise _cannot_write(state_dir, error) from error
    draft = Path(draft_name)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, 0o600)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # A link is atomic and, unlike a rename, never replaces an existing file.
        os.link(draft, target)
    except FileExistsError as error:
        raise SettingsError(
            f"{target} exists already and may have keys; expected no such file; edit it, or move it first"
        ) from error
    except OSError as error:
        raise _cannot_write(state_dir, error) from error
    finally:
        draft.unlink(missing_ok=True)
    return target


def _cannot_write(state_dir: Path, error: OSError) -> SettingsError:
    return SettingsError(
        f"no .env can be written into {state_dir} ({error.strerror}); "
        "expected a directory that you may write to; choose another with --state"
    )
