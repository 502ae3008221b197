"""One file of the archive: downloaded beside its name, checked, and only then given it."""

import hashlib
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import NoReturn, TypeVar

import httpx2

from ocw_mcp.adapters.feeds.archive.plan import Cap, cap_of
from ocw_mcp.domain.errors import FetchError
from ocw_mcp.domain.text import printable

ATTEMPTS = 5
"""Tries for one file before it is given up; each goes on where the one before broke off."""
PAUSE_S = 0.5
"""Before the second try; doubled before each further one."""
REDIRECTS = 5
"""Addresses that are asked for one file, the first included."""
LONGEST_PAUSE_S = 60.0
"""However long the server asks us to wait."""

T = TypeVar("T")

_CHUNK = 1 << 18
_BUSY = {408, 425, 429}
_CHECKSUM = ".CHECKSUM"
_PART = ".part"


class UnsoundFileError(FetchError):
    """One file that cannot be kept, whatever is tried; the others can be had."""


class Got(StrEnum):
    """What became of a file."""

    NEW = "downloaded"
    KEPT = "already there"
    ABSENT = "not published"


class Downloader:
    """Brings files of the archive to the same places under a directory."""

    def __init__(
        self,
        base: str,
        directory: Path,
        wait: Callable[[float], None],
        on_bytes: Callable[[int, int | None], None],
        cap_of: Callable[[str], Cap] = cap_of,
    ) -> None:
        """`wait` lets so many seconds pass. `on_bytes` hears how much of a file is here, and of how much if known."""
        self._cap_of = cap_of
        self._base = base.rstrip("/")
        self._directory = directory
        self._wait = wait
        self._on_bytes = on_bytes
        self.fetched_bytes = 0
        try:
            # What is unpacked on the way has another length than was promised, so that nothing could be resumed.
            self._client = httpx2.Client(
                timeout=30.0, follow_redirects=False, headers={"Accept-Encoding": "identity", "User-Agent": "ocw"}
            )
            address = httpx2.URL(self._base)
            if address.scheme not in ("http", "https") or not re.fullmatch(r"[\w.:-]+", address.host):
                raise ValueError
        except (httpx2.InvalidURL, ValueError):
            raise FetchError(f"--url is {base!r}; expected an address such as https://host; correct it") from None

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def is_here(self, path: str) -> bool:
        """Whether a file is here whole, by the checksum that was stored beside it; nothing is asked."""
        target = self._directory / path
        with _disk(target):
            stored = _beside(target, _CHECKSUM)
            return target.is_file() and stored.is_file() and _digest(target) == _parse(stored.read_bytes())

    def get(self, path: str) -> Got:
        """See to it that a file is here, whole.

        Raises UnsoundFileError for a file that cannot be kept, FetchError where no other could be had either.
        """
        if self.is_here(path):
            return Got.KEPT
        target = self._directory / path
        sum_text = self._retrying(path + _CHECKSUM, self._text)
        if sum_text is None:
            if self._retrying(path, self._exists):
                raise UnsoundFileError(
                    f"{target.name} is published without its CHECKSUM; expected one beside it; it was not kept, "
                    "try again later"
                )
            return Got.ABSENT
        expected = _parse(sum_text)
        if expected is None:
            raise UnsoundFileError(
                f"the checksum of {target.name} is no SHA-256; expected 64 hex digits; try again later or another --url"
            )
        with _disk(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            here = target.is_file() and _digest(target) == expected
        if not here and not self._download(path, target, expected):
            return Got.ABSENT
        with _disk(target):
            beside = _beside(target, _CHECKSUM)
            part = _beside(beside, _PART)
            part.write_bytes(sum_text)
            part.replace(beside)
        return Got.KEPT if here else Got.NEW

    def _download(self, path: str, target: Path, expected: str) -> bool:
        """Fetch until the checksum fits; False where there is no such file."""
        part = _beside(target, _PART)
        for fresh in (False, True):
            if fresh:
                with _disk(part):
                    part.unlink(missing_ok=True)  # it began as another version, or was damaged on the way
            if self._retrying(path, lambda url: self._append(url, part)) is None:
                return False
            with _disk(target):
                if _digest(part) == expected:
                    self._measure(path, part)
                    part.replace(target)
                    return True
        with _disk(part):
            part.unlink(missing_ok=True)
        raise UnsoundFileError(
            f"{target.name} does not have its checksum, twice; expected {expected[:12]}…; nothing was kept of it; "
            "try again later"
        )

    def _measure(self, path: str, part: Path) -> None:
        """Remove a zip file that would unpack to more than its cap. Raises UnsoundFileError."""
        if not path.endswith(".zip"):
            return
        try:
            with zipfile.ZipFile(part) as archive:
                unpacked = sum(member.file_size for member in archive.infolist())
        except zipfile.BadZipFile:
            return  # it has its checksum, so that is what was published; whoever reads it tells what it is
        most = self._cap_of(path).unpacked
        if unpacked > most:
            part.unlink()
            raise UnsoundFileError(
                f"{path.rpartition('/')[2]} would unpack to {unpacked:,} bytes; expected at most {most:,}; "
                "it was not kept"
            )

    def _retrying(self, path: str, ask: Callable[[str], T | None]) -> T | None:
        """Ask until there is an answer; None is 404. Raises FetchError when the server or the network does not mend."""
        why, name = "", path.rpartition("/")[2]
        for attempt in range(ATTEMPTS):
            asked_for = 0.0
            try:
                return ask(f"{self._base}/data/{path}")
            except httpx2.HTTPStatusError as error:
                status = error.response.status_code
                why = f"the server answered {status}"
                if status < 500 and status not in _BUSY:
                    break
                asked_for = _seconds(error.response.headers.get("Retry-After", ""))
            except (httpx2.TransportError, httpx2.DecodingError, httpx2.TooManyRedirects) as error:
                why = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            if attempt + 1 < ATTEMPTS:
                self._wait(min(LONGEST_PAUSE_S, max(asked_for, PAUSE_S * 2**attempt)))
        raise FetchError(
            f"{name} could not be fetched: {why}; expected the archive at {self._base}; what arrived is kept, "
            "so the same command goes on from there"
        )

    @contextmanager
    def _open(self, url: str, headers: dict[str, str] | None = None) -> Iterator[httpx2.Response]:
        """Ask for an address, and go where the same host sends us. Raises FetchError for any other host."""
        address, name = httpx2.URL(url), printable(url.rpartition("/")[2])
        for _ in range(REDIRECTS):
            with self._client.stream("GET", address, headers=headers) as response:
                if not response.has_redirect_location:
                    yield response
                    return
                location = response.headers["Location"]
            try:
                there = address.join(location)
            except httpx2.InvalidURL:
                there = httpx2.URL()
            if not _same_host(address, there):
                raise FetchError(
                    f"{name} is redirected to another host, {printable(_origin(there))!r}; expected {_origin(address)} "
                    "alone; nothing was asked for there; give that address with --url if you trust it"
                )
            address = there
        raise FetchError(f"{name} is redirected without end; expected a file; try again later or another --url")

    def _exists(self, url: str) -> bool | None:
        """Whether there is such a file; None where there is none."""
        with self._open(url) as response:
            if response.status_code == httpx2.codes.NOT_FOUND:
                return None
            response.raise_for_status()
            return True

    def _text(self, url: str) -> bytes | None:
        with self._open(url) as response:
            if response.status_code == httpx2.codes.NOT_FOUND:
                return None
            response.raise_for_status()
            text = b""
            # As it comes: a few bytes that unpack to many are no checksum.
            for chunk in response.iter_raw():
                text += chunk
                if len(text) > _CHUNK:
                    break
            return text

    def _append(self, url: str, part: Path) -> bool | None:
        """Add to a part what is missing; True when the server says that this was all."""
        with _disk(part):
            have = part.stat().st_size if part.exists() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        with self._open(url, headers) as response:
            if response.status_code == httpx2.codes.NOT_FOUND:
                return None
            if response.status_code == httpx2.codes.RANGE_NOT_SATISFIABLE and have:
                return True  # nothing is missing; the checksum tells whether what is here is it
            response.raise_for_status()
            going_on = response.status_code == httpx2.codes.PARTIAL_CONTENT and _starts(response) == have
            if response.status_code == httpx2.codes.PARTIAL_CONTENT and not going_on:
                with _disk(part):
                    part.unlink(missing_ok=True)
                raise httpx2.RemoteProtocolError("the server sent another part than was asked for")
            done = have if going_on else 0  # a server that knows no ranges sends all of it
            length = _whole(response)
            total = None if length is None else done + length
            most = self._cap_of(url).packed
            if total is not None and total > most:
                self._too_large(part, total, most)
            with _disk(part), part.open("ab" if going_on else "wb") as stream:
                # Chunks as they come: collecting larger ones would lose what arrived before the connection broke.
                for chunk in response.iter_raw():
                    stream.write(chunk)
                    done += len(chunk)
                    self.fetched_bytes += len(chunk)
                    self._on_bytes(done, total)
                    if done > most:
                        self._too_large(part, done, most)
            return True

    def _too_large(self, part: Path, size: int, most: int) -> NoReturn:
        with _disk(part):
            part.unlink(missing_ok=True)
        name = part.name.removesuffix(_PART)
        raise UnsoundFileError(f"{name} has {size:,} bytes or more; expected at most {most:,}; nothing was kept of it")


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _parse(text: bytes) -> str | None:
    """The digest in a checksum file: `<64 hex digits>  NAME.zip`."""
    match = re.match(rb"\s*([0-9a-fA-F]{64})(?:\s|$)", text)
    return match[1].decode().lower() if match else None


def _starts(response: httpx2.Response) -> int | None:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _whole(response: httpx2.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() else 0.0


def _origin(url: httpx2.URL) -> str:
    """Return what of an address says where it is: the host, and its scheme and port."""
    return f"{url.scheme}://{url.netloc.decode('ascii', 'replace').rpartition('@')[2]}"


def _same_host(one: httpx2.URL, other: httpx2.URL) -> bool:
    """Whether a redirect stays with the host and port, or only goes from http to https there."""
    if one.host != other.host:
        return False
    if (one.scheme, one.port) == (other.scheme, other.port):
        return True
    return (one.scheme, other.scheme) == ("http", "https") and one.port is None and other.port is None


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Say in one sentence what the disk did not let us do."""
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno).lower() if error.errno else str(error)
        raise FetchError(
            f"{printable(path.name)} cannot be kept: {why}; expected a directory that can be written to; "
            "choose another with --to"
        ) from None
