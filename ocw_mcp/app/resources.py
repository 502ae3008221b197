"""What OCW brings along: policies, prompts and the example of an `.env`, in a wheel or in a checkout."""

import os
import tempfile
from pathlib import Path

from ocw_mcp.adapters.files import make_directory, require_own_directory
from ocw_mcp.domain.errors import SettingsError

ENV_EXAMPLE = ".env.example"

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped(name: str, package: Path = _PACKAGE) -> Path:
    """Where a shipped folder or file is: inside the package in a wheel, beside it in a checkout.

    Raises SettingsError when the installation lacks it.
    """
    in_wheel = package / "shipped" / name
    if in_wheel.exists():
        return in_wheel
    # Beside an installed package lie other people's packages: only a project file makes it our checkout.
    in_checkout = package.parent / name
    if (package.parent / "pyproject.toml").is_file() and in_checkout.exists():
        return in_checkout
    raise SettingsError(f"this installation of ocw-mcp lacks {name}, which ships with it; install ocw-mcp again")


def shipper() -> tuple[int, ...]:
    """The user who installed OCW: the files that come with it are theirs, and so is the code that reads them."""
    return (_PACKAGE.stat().st_uid,)


def write_env_example(state_dir: Path) -> Path:
    """Put the example into a state directory as `.env`, readable by its owner only, and return its path.

    Raises SettingsError when there is an `.env` already, which is left as it is, or when it cannot be written, and
    BookError for a directory of another user, or one that others can write.
    """
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
        # A link appears whole or not at all and, unlike a rename, never takes the place of a file that is there.
        os.link(draft, target)
    except FileExistsError as error:
        raise SettingsError(
            f"{target} exists already and may hold keys; expected no such file; edit it, or move it away first"
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
