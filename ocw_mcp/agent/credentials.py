"""With what the model is asked, and where. Nothing here is shown, logged or recorded.

An API key goes to the API or to a gateway; an auth token only to a gateway that somebody named. The log-ins of the
command line and of claude.ai are not used: they belong to a person at a terminal, expire without one, and are not meant
for programs.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Final

from pydantic import SecretStr

from ocw_mcp.agent.causes import Trouble
from ocw_mcp.domain.addresses import is_loopback, may_receive_secrets
from ocw_mcp.domain.causes import CauseKind

API: Final = "https://api.anthropic.com"
REDACTED: Final = "[redacted]"

_LOOKS_LIKE_A_SECRET = re.compile(r"sk-ant-[\w-]{6,}|\bocw_[\w-]{20,}|(?i:\bbearer\s+)[\w.~+/=-]{8,}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key or a token, and the address that gets it."""

    base_url: str
    api_key: SecretStr | None = field(default=None, repr=False)
    auth_token: SecretStr | None = field(default=None, repr=False)

    @property
    def local(self) -> bool:
        """Whether the address is on this machine, where no proxy has any business."""
        return is_loopback(self.base_url)

    def scrub(self, text: str) -> str:
        """The text without the key or token, and without whatever else looks like one."""
        for secret in (self.api_key, self.auth_token):
            if secret is not None:
                plain = secret.get_secret_value()
                # In JSON a quote or a backslash of it is written in another way.
                for written in (plain, json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1]):
                    text = text.replace(written, REDACTED)
        return scrub(text)


def scrub(text: str) -> str:
    """A text without what looks like a key or a token."""
    return _LOOKS_LIKE_A_SECRET.sub(REDACTED, text)


def credentials(
    api_key: SecretStr | None = None, auth_token: SecretStr | None = None, base_url: str | None = None
) -> Credentials | Trouble:
    """What to ask with, or why nobody can be asked. The key comes first where both are there."""
    if base_url is not None and not may_receive_secrets(base_url):
        return Trouble(
            CauseKind.NO_KEY, "ANTHROPIC_BASE_URL is no address that a key may be sent to: https, or this machine"
        )
    if api_key is not None:
        return Credentials(base_url or API, api_key)
    if auth_token is None:
        return Trouble(
            CauseKind.NO_KEY, "set ANTHROPIC_API_KEY, or ANTHROPIC_AUTH_TOKEN with ANTHROPIC_BASE_URL for a gateway"
        )
    if base_url is None:
        return Trouble(CauseKind.NO_KEY, "ANTHROPIC_AUTH_TOKEN is for a gateway; set ANTHROPIC_BASE_URL, too")
    return Credentials(base_url, auth_token=auth_token)
