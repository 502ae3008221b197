"""Fetches files of the archive: each is downloaded to a `.part` file, checked, and only then renamed."""

import os
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import httpx2
import msgspec

from ocw_mcp.adapters.feeds.archive.plan import PlannedFile, SizeLimit, size_limit
from ocw_mcp.adapters.feeds.tape.finding import PART
from ocw_mcp.adapters.feeds.tape.reading import CHECKSUM, parse_digest, sha256
from ocw_mcp.domain.errors import FetchError
from ocw_mcp.domain.text import printable

ARCHIVE = "https://data.binance.vision"
ATTEMPTS = 5
"""The number of attempts per file; an attempt continues after the bytes of the previous one."""
PAUSE_S = 0.5
"""The pause before the second attempt; it doubles before each further attempt."""
REDIRECTS = 5
"""The largest number of requests for a file that is redirected, the first request included."""
LONGEST_PAUSE_S = 60.0
"""The longest pause, even if the server requests a longer one."""

T = TypeVar("T")

_CHUNK = 1 << 18
_BUSY = {408, 425, 429}


class UnsoundFileError(FetchError):
    """One file that cannot be kept even after retries; other files can still be fetched."""


class FetchProgress(Protocol):
    """Receives the progress of a fetch."""

    def file(self, path: str) -> None:
        """Report that work on a file begins."""

    def size(self, done: int, total: int | None) -> None:
        """Report that `done` bytes of the file are on disk, of `total` if that is known."""

    def finished(self, more: int) -> None:
        """Report that a planned file is done, or that `more` smaller files replace it in the plan."""


class Fetched(msgspec.Struct):
    """The outcomes of a fetch."""

    downloaded: int = 0
    kept: int = 0
    """Number of files that were complete before the fetch."""
    absent: list[str] = msgspec.field(default_factory=list)
    """Names of the files that the archive does not have, or not yet."""
    bytes: int = 0
    """Bytes downloaded, checksum files not included."""
    unsound: list[str] = msgspec.field(default_factory=list)
    """A message for each file that was not kept: its checksum is wrong or missing, or it is too large."""

    @property
    def fault(self) -> FetchError | None:
        """The fault of the first file that was not kept, with the number of other such files."""
        if not self.unsound:
            return None
        more = len(self.unsound) - 1
        return FetchError(self.unsound[0] + (f" (and {more} more file{'s' * (more > 1)} not kept)" if more else ""))


def fetch(
    plan: Sequence[PlannedFile],
    directory: Path,
    progress: FetchProgress,
    wait: Callable[[float], None],
    base: str = ARCHIVE,
    limit_of: Callable[[str], SizeLimit] = size_limit,
    done: Callable[[Fetched], None] | None = None,
) -> Fetched:
    """Fetch all files of a plan into a directory, laid out as in the archive.

    `wait` pauses for a number of seconds. Complete files are not changed, partial ones are completed. A file with a
    wrong checksum or size is not kept, and the others are still fetched. `done` receives the result, even if a file was
    not kept. Raises FetchError at the end if a file was not kept, or at the first file that cannot be fetched.
    """
    downloads = _Downloads(base, directory, progress, wait, limit_of)
    with downloads.client:
        for planned in plan:
            downloads.take(planned)
    fetched = downloads.fetched
    if done is not None:
        done(fetched)
    if fetched.fault is not None:
        raise fetched.fault
    return fetched


class _Downloads:
    """Downloads files of the archive to the same paths under a directory, and counts the outcomes in `fetched`."""

    def __init__(
        self,
        base: str,
        directory: Path,
        progress: FetchProgress,
        wait: Callable[[float], None],
        limit_of: Callable[[str], SizeLimit],
    ) -> None:
        self._limit_of = limit_of
        self._base = base.rstrip("/")
        self._directory = directory
        self._progress = progress
        self._wait = wait
        self.fetched = Fetched()
        try:
            # A body that is compressed for transfer has another length than the file, so it could not be resumed.
            self.client = httpx2.Client(
                timeout=30.0, follow_redirects=False, headers={"Accept-Encoding": "identity", "User-Agent": "ocw"}
            )
            address = httpx2.URL(self._base)
            if address.scheme not in ("http", "https") or not re.fullmatch(r"[\w.:-]+", address.host):
                raise ValueError
        except (httpx2.InvalidURL, ValueError):
            raise FetchError(f"--url is {base!r}; expected an address such as https://host; correct it") from None

    def take(self, planned: PlannedFile) -> None:
        """Fetch a planned file, or the files that replace it. Raises FetchError for a fault that stops the fetch."""
        self._progress.file(planned.path)
        more = 0
        try:
            # A month that was fetched day by day is requested as a month again only if a day of it is missing.
            by_days = bool(planned.instead) and all(self._is_here(each.path) for each in planned.instead)
            if by_days or not self._complete(planned.path):
                more = len(planned.instead)
                if not more:
                    self.fetched.absent.append(planned.path.rpartition("/")[2])
        except UnsoundFileError as fault:
            self.fetched.unsound.append(str(fault))
        except OSError as error:
            why = os.strerror(error.errno).lower() if error.errno else str(error)
            raise FetchError(
                f"{printable(planned.path.rpartition('/')[2])} cannot be kept: {why}; expected a directory that can be "
                "written to; choose another with --to"
            ) from None
        self._progress.finished(more)
        for each in planned.instead[:more]:
            self.take(each)

    def _is_here(self, path: str) -> bool:
        """Return whether a file on disk matches the checksum stored with it; no request is made."""
        target = self._directory / path
        stored = _beside(target, CHECKSUM)
        return target.is_file() and stored.is_file() and sha256(target) == parse_digest(stored.read_bytes())

    def _complete(self, path: str) -> bool:
        """Fetch a file unless it is on disk; return False if unpublished. Raises UnsoundFileError, FetchError."""
        if self._is_here(path):
            self.fetched.kept += 1
            return True
        target = self._directory / path
        checksum = self._retrying(path + CHECKSUM, self._text)
        if checksum is None:
            if self._retrying(path, self._exists):
                raise UnsoundFileError(
                    f"{target.name} is published without a CHECKSUM file; expected one beside it; it was not kept; "
                    "try again later"
                )
            return False
        expected = parse_digest(checksum)
        if expected is None:
            raise UnsoundFileError(
                f"the checksum of {target.name} is not a SHA-256; expected 64 hex digits; try again later or another "
                "--url"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        here = target.is_file() and sha256(target) == expected
        if not here and not self._download(path, target, expected):
            return False
        beside = _beside(target, CHECKSUM)
        part = _beside(beside, PART)
        part.write_bytes(checksum)
        part.replace(beside)
        self.fetched.kept += here
        self.fetched.downloaded += not here
        return True

    def _download(self, path: str, target: Path, expected: str) -> bool:
        """Download a file, twice if its checksum is wrong; return False if the archive does not have it."""
        part = _beside(target, PART)
        for _ in range(2):
            if self._retrying(path, lambda url: self._append(url, part)) is None:
                return False
            if sha256(part) == expected:
                self._require_unpacked_size(path, part)
                part.replace(target)
                return True
            part.unlink()  # it began as another version, or was damaged
        raise UnsoundFileError(
            f"{target.name} does not match its CHECKSUM file, even after a second download; expected SHA-256 "
            f"{expected[:12]}…; it was not kept; try again later"
        )

    def _require_unpacked_size(self, path: str, part: Path) -> None:
        """Remove a zip file that would unpack to more than its limit. Raises UnsoundFileError."""
        if not path.endswith(".zip"):
            return
        try:
            with zipfile.ZipFile(part) as archive:
                unpacked = sum(member.file_size for member in archive.infolist())
        except zipfile.BadZipFile:
            return  # its checksum matches, so it was published like this; reading the tape reports the fault
        most = self._limit_of(path).unpacked
        if unpacked > most:
            part.unlink()
            raise UnsoundFileError(
                f"{path.rpartition('/')[2]} would unpack to {unpacked:,} bytes; expected at most {most:,}; "
                "it was not kept"
            )

    def _retrying(self, path: str, ask: Callable[[str], T]) -> T | None:
        """Repeat a request until the server answers; return None for 404. Raises FetchError after the last attempt."""
        why, name = "", path.rpartition("/")[2]
        for attempt in range(ATTEMPTS):
            requested_pause = 0.0
            try:
                return ask(f"{self._base}/data/{path}")
            except httpx2.HTTPStatusError as error:
                status = error.response.status_code
                if status == httpx2.codes.NOT_FOUND:
                    return None
                why = f"the server answered {status}"
                if status < 500 and status not in _BUSY:
                    break
                retry_after = error.response.headers.get("Retry-After", "")
                requested_pause = float(retry_after) if retry_after.isdecimal() else 0.0
            except (httpx2.TransportError, httpx2.DecodingError, httpx2.TooManyRedirects) as error:
                why = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            if attempt + 1 < ATTEMPTS:
                self._wait(min(LONGEST_PAUSE_S, max(requested_pause, PAUSE_S * 2**attempt)))
        raise FetchError(
            f"{name} could not be fetched: {why}; expected the archive at {self._base}; the part that arrived is "
            "kept, so the same command continues from there"
        )

    @contextmanager
    def _open(self, url: str, begin: int = 0) -> Iterator[httpx2.Response]:
        """Request a file from byte `begin` on. Raises HTTPStatusError, or FetchError for a redirect to another host."""
        address, name = httpx2.URL(url), printable(url.rpartition("/")[2])
        headers = {"Range": f"bytes={begin}-"} if begin else {}
        for _ in range(REDIRECTS):
            with self.client.stream("GET", address, headers=headers) as response:
                if not response.has_redirect_location:
                    if not (begin and response.status_code == httpx2.codes.RANGE_NOT_SATISFIABLE):
                        response.raise_for_status()
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
                    "alone; nothing was requested there; give that address with --url if you trust it"
                )
            address = there
        raise FetchError(f"{name} is redirected without end; expected a file; try again later or another --url")

    def _exists(self, url: str) -> bool:
        with self._open(url):
            return True

    def _text(self, url: str) -> bytes:
        with self._open(url) as response:
            text = b""
            # Raw chunks: a checksum is never compressed, and a few bytes could unpack to many.
            for chunk in response.iter_raw():
                text += chunk
                if len(text) > _CHUNK:
                    break
            return text

    def _append(self, url: str, part: Path) -> bool:
        """Download the missing bytes of the file `part`; return True once the server has sent all of them."""
        have = part.stat().st_size if part.exists() else 0
        with self._open(url, have) as response:
            if response.status_code == httpx2.codes.RANGE_NOT_SATISFIABLE:
                return True  # nothing is missing; the checksum shows whether the part is the file
            partial = response.status_code == httpx2.codes.PARTIAL_CONTENT
            range_start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            continues = partial and range_start is not None and int(range_start[1]) == have
            if partial and not continues:
                part.unlink(missing_ok=True)
                raise httpx2.RemoteProtocolError("the server sent another range than was requested")
            done = have if continues else 0  # a server without ranges sends the whole file
            length = response.headers.get("Content-Length", "")
            total = done + int(length) if length.isdecimal() else None
            most = self._limit_of(url).packed
            size = total or 0
            with part.open("ab" if continues else "wb") as stream:
                # Chunks as they come: collecting larger ones would lose bytes when the connection breaks.
                chunks = response.iter_raw()
                while size <= most and (chunk := next(chunks, None)) is not None:
                    stream.write(chunk)
                    done += len(chunk)
                    size = max(size, done)
                    self.fetched.bytes += len(chunk)
                    self._progress.size(done, total)
            if size > most:
                part.unlink()
                raise UnsoundFileError(
                    f"{part.name.removesuffix(PART)} has {size:,} bytes or more; expected at most {most:,}; nothing "
                    "was kept of it"
                )
            return True


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _origin(url: httpx2.URL) -> str:
    """Return the scheme, host and port of an address."""
    return f"{url.scheme}://{url.netloc.decode('ascii', 'replace').rpartition('@')[2]}"


def _same_host(one: httpx2.URL, other: httpx2.URL) -> bool:
    """Return whether a redirect keeps host and port, or only changes http to https at the default ports."""
    same = (one.scheme, one.port) == (other.scheme, other.port)
    secured = (one.scheme, one.port, other.scheme, other.port) == ("http", None, "https", None)
    return one.host == other.host and (same or secured)
