"""The address at which an engine is served: for this machine only, or for other machines under given host names."""

import re
from ipaddress import ip_address
from typing import NamedTuple

from ocw_mcp.domain.errors import SettingsError

DEFAULT = "127.0.0.1:8080"


class ListenAddress(NamedTuple):
    """An address to serve at; `hosts` are accepted host names beside those of loopback. Port 0 is any free port."""

    host: str
    port: int
    hosts: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The host as written in a URL."""
        return f"[{self.host}]" if ":" in self.host else self.host


def parse_listen_address(text: str, hosts: tuple[str, ...]) -> ListenAddress:
    """Return the address of `--serve`. An address beyond loopback needs `hosts` (SERVE_HOSTS). Raises SettingsError."""
    found = re.fullmatch(r"(?:(\[[0-9a-fA-F:]+\]|[0-9.]+|localhost):)?([0-9]{1,5})", text.strip())
    host = (found[1] or "127.0.0.1").strip("[]") if found else ""
    host = "127.0.0.1" if host == "localhost" else host
    try:
        address = ip_address(host)
    except ValueError:
        address = None
    if found is None or address is None or int(found[2]) > 65_535:
        raise SettingsError(f"--serve is {text[:40]!r}; expected an address and a port such as {DEFAULT}, or a port")
    if not address.is_loopback and not hosts:
        raise SettingsError(
            f"--serve {text} would answer other machines over plain HTTP; if that is intended, set SERVE_HOSTS to the "
            f"host names that they use for this machine, and add a TLS proxy; otherwise serve at {DEFAULT}"
        )
    return ListenAddress(host, int(found[2]), hosts)
