"""Checks of the addresses to which a secret may be sent."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit


def may_receive_secrets(text: str) -> bool:
    """Return whether an address is https, or http to this machine, without user, query or fragment."""
    if re.search(r"[^!-~]|\\", text):
        return False
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if "@" in parts.netloc or parts.query or parts.fragment or port == 0:
        return False
    if not re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:.]+", host):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(host))


def is_loopback(text: str) -> bool:
    """Return whether an address is one of this machine."""
    return _is_this_machine(urlsplit(text).hostname or "")


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
