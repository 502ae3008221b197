"""What Claude Desktop starts of the bundle: `ocw mcp`, on the book that is kept with your user data.

Under `uv run` it first installs the versions of requirements.lock beside itself, each file checked against its hash.
Started in another way, it uses the packages of its interpreter.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCK = HERE / "requirements.lock"
INSTALL = (
    "pip",
    "install",
    "--quiet",
    "--no-config",
    "--require-hashes",
    "--no-deps",
    "--no-build",
    "--no-python-downloads",
)


def installed(uv: str) -> Path:
    """Return the directory of the pinned packages, made where it is missing: wholly, or not at all."""
    known = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:16]
    place = HERE / f".packages-{known}"
    if place.is_dir():
        return place
    draft = Path(tempfile.mkdtemp(prefix=".packages-", dir=HERE))
    try:
        # Standard output is the client's: what uv says goes to the log.
        asked = [uv, *INSTALL, "--target", str(draft), "--python", sys.executable, "-r", str(LOCK)]
        if subprocess.run(asked, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False).returncode:
            sys.exit("ocw: the pinned packages were not installed, so nothing was started; uv says above what is wrong")
        try:
            draft.rename(place)
        except OSError:
            # Another client made it meanwhile.
            if not place.is_dir():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return place


def start() -> None:
    """Run the command line, with the pinned packages before any others, for the engine that it starts, too."""
    if uv := os.environ.get("UV"):
        paths = [str(HERE), str(installed(uv))]
        sys.path[:0] = paths
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    from ocw_mcp.app.cli import main

    sys.argv[1:1] = ["mcp"]
    main()


if __name__ == "__main__":
    start()
