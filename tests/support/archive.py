"""A stand-in for the public archive on the loopback interface."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


class Archive:
    """Files by their path below `data/`, the requests received, and the failures to simulate."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        """Each request's path below `data/`, and its Range."""
        self.ranges = True
        self.cuts: list[int] = []
        """The next file bodies end after so many bytes."""
        self.failures: list[int] = []
        """The next requests are answered with these statuses."""
        self.lengths = True
        """Whether responses have a Content-Length."""
        self.moved: dict[str, str] = {}
        """Redirects: path to location."""
        self.url = ""

    def publish(self, path: str, content: bytes, checksum: str | None = None) -> None:
        digest = hashlib.sha256(content).hexdigest() if checksum is None else checksum
        self.files[path] = content
        self.files[path + ".CHECKSUM"] = f"{digest}  {path.rpartition('/')[2]}\n".encode()

    @property
    def downloads(self) -> list[tuple[str, str | None]]:
        """Requests for files themselves, not for their checksums."""
        return [each for each in self.asked if not each[0].endswith(".CHECKSUM")]


@contextmanager
def serving(archive: Archive) -> Iterator[Archive]:
    """Serve an archive as long as the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        """Headers and body leave in one packet; the client would wait 40 ms for a second one."""

        def do_GET(self) -> None:
            path = unquote(self.path.removeprefix("/data/"))
            wanted = self.headers.get("Range")
            archive.asked.append((path, wanted))
            body, status, headers = archive.files.get(path), 200, {}
            if archive.failures:
                body, status = b"", archive.failures.pop(0)
            elif path in archive.moved:
                body, status, headers = b"", 302, {"Location": archive.moved[path]}
            elif body is None:
                body, status = b"no such key", 404
            elif wanted and archive.ranges:
                begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
                status = 206 if begin < len(body) else 416
                headers["Content-Range"] = f"bytes {begin}-{len(body) - 1}/{len(body)}"
                body = body[begin:] if status == 206 else b""
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if archive.lengths or status != 200 or path.endswith(".CHECKSUM"):
                self.send_header("Content-Length", str(len(body)))
            else:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            if status in (200, 206) and archive.cuts and not path.endswith(".CHECKSUM"):
                body = body[: archive.cuts.pop(0)]
                self.close_connection = True
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    archive.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield archive
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
