"""Checks of addresses: where a secret may be sent, and what is an address of this machine."""

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


def is_private(text: str) -> bool:
    """Return whether an address is one of this machine or of a private network, as its host is written.

    A name without a dot, and one that ends like a number (`127.1`), count as private. A public name that resolves to a
    private address is not recognised.
    """
    try:
        host = (urlsplit(text).hostname or "").rstrip(".")
    except ValueError:
        return True
    try:
        return not ip_address(host).is_global
    except ValueError:
        last = host.rpartition(".")[2]
        return (
            "." not in host or last[:1].isdigit() or last in ("localhost", "local", "internal", "lan", "home", "arpa")
        )


def is_loopback_http(text: str) -> bool:
    """Return whether a text is an http address of this machine with a port, without a path, user, query or fragment."""
    try:
        parts = urlsplit(text)
        plain = parts.scheme == "http" and parts.port is not None and parts.path in ("", "/")
    except ValueError:
        return False
    return plain and may_receive_secrets(text) and is_loopback(text)


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
