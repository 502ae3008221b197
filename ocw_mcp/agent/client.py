"""The client of the Messages API: its credentials, and calls through the SDK.

An API key goes to the API or to a configured gateway; an auth token goes to a gateway only. The logins of Claude's
command line and of claude.ai are not used: they are not meant for programs. Credentials are never shown, logged or
recorded.
"""

import asyncio
import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from pydantic import SecretStr

from ocw_mcp.agent.messages import Reply, Request, Trouble
from ocw_mcp.agent.response import cause_of_words, parse_reply
from ocw_mcp.domain.addresses import is_loopback, may_receive_secrets
from ocw_mcp.domain.causes import CauseKind
from ocw_mcp.domain.text import printable

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

API: Final = "https://api.anthropic.com"
REDACTED: Final = "[redacted]"
LONGEST_DETAIL: Final = 300
"""Largest number of characters that are kept of an error message."""

_SECRET = re.compile(r"sk-ant-[\w-]{6,}|\bocw_[\w-]{20,}|(?i:\bbearer\s+)[\w.~+/=-]{8,}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """An API key or an auth token, and the address that it is sent to."""

    base_url: str
    api_key: SecretStr | None = field(default=None, repr=False)
    auth_token: SecretStr | None = field(default=None, repr=False)

    def scrub(self, text: str) -> str:
        """Return a text without the API key, the auth token and anything that looks like one."""
        for secret in (self.api_key, self.auth_token):
            if secret is not None:
                plain = secret.get_secret_value()
                # In JSON the quotes and backslashes of a secret are escaped.
                for written in (plain, json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1]):
                    text = text.replace(written, REDACTED)
        return scrub(text)


def scrub(text: str) -> str:
    """Return a text without anything that looks like an API key or an auth token."""
    return _SECRET.sub(REDACTED, text)


def credentials(
    api_key: SecretStr | None = None, auth_token: SecretStr | None = None, base_url: str | None = None
) -> Credentials | Trouble:
    """Return the configured API key, or else the auth token; if neither is usable, a `Trouble` with the reason."""
    if base_url is not None and not may_receive_secrets(base_url):
        missing = "ANTHROPIC_BASE_URL must not be sent a key; expected https, or an address on this machine"
    elif api_key is not None:
        return Credentials(base_url or API, api_key)
    elif auth_token is None:
        missing = "set ANTHROPIC_API_KEY, or ANTHROPIC_AUTH_TOKEN with ANTHROPIC_BASE_URL for a gateway"
    elif base_url is None:
        missing = "ANTHROPIC_AUTH_TOKEN is for a gateway; set ANTHROPIC_BASE_URL, too"
    else:
        return Credentials(base_url, auth_token=auth_token)
    return Trouble(CauseKind.NO_KEY, missing)


class ModelFacts(msgspec.Struct, frozen=True):
    """A model as the API describes it."""

    lifecycle: Literal["active", "deprecated", "retired"] = "active"
    retires_at: str | None = None
    sandbox: bool = False
    """Whether scripted answers of OCW's sandbox take the place of the model."""


class SdkMessages:
    """The API, or a gateway that speaks its protocol, called through the SDK without retries."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._client: AsyncAnthropic | None = None
        self._making = asyncio.Lock()

    async def create(self, request: Request) -> Reply | Trouble:
        """Return the reply to a request, or its `Trouble` without secrets."""
        client = await self._ready()
        from anthropic import AnthropicError

        try:
            raw = await client.messages.with_raw_response.create(**request.body)
            reply = parse_reply(await raw.read(), request.body)
        except AnthropicError as error:
            reply = classify_error(error)
        return self._scrubbed(reply) if isinstance(reply, Trouble) else reply

    async def retrieve_model(self, name: str) -> ModelFacts | Trouble:
        """Return the API's description of a model, or a `Trouble` if the model is retired or the call fails."""
        client = await self._ready()
        from anthropic import AnthropicError

        try:
            raw = await client.models.with_raw_response.retrieve(name)
            facts = msgspec.json.decode(await raw.read(), type=ModelFacts)
        except AnthropicError as error:
            return self._scrubbed(classify_error(error))
        except (msgspec.MsgspecError, UnicodeError) as error:
            return Trouble(CauseKind.MALFORMED, f"the API's description of {name} cannot be read: {error}")
        if facts.lifecycle == "retired":
            return Trouble(CauseKind.NO_MODEL, f"{name} is retired; set CLAUDE_MODEL to a model that is not")
        return facts

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.close()

    async def _ready(self) -> "AsyncAnthropic":
        # A decision and a diary entry may ask at the same time; both use the client of the first.
        async with self._making:
            if self._client is None:
                # The first import reads hundreds of files; a thread keeps the engine's event loop free.
                self._client = await asyncio.to_thread(_client, self._credentials)
            return self._client

    def _scrubbed(self, trouble: Trouble) -> Trouble:
        # The detail is cut last: a secret that was cut first could not be found.
        detail = self._credentials.scrub(printable(trouble.detail))[:LONGEST_DETAIL]
        return msgspec.structs.replace(trouble, detail=detail)


def _client(credentials: Credentials) -> "AsyncAnthropic":
    from anthropic import AsyncAnthropic, DefaultAsyncHttpxClient

    key, token = credentials.api_key, credentials.auth_token
    # Both are given explicitly, so the SDK takes neither from the environment or a profile. No key follows a redirect,
    # and no proxy is used for an address on this machine.
    client = AsyncAnthropic(
        api_key=None if key is None else key.get_secret_value(),
        auth_token=None if token is None else token.get_secret_value(),
        base_url=credentials.base_url,
        max_retries=0,
        open_telemetry=False,
        http_client=DefaultAsyncHttpxClient(follow_redirects=False, trust_env=not is_loopback(credentials.base_url)),
    )
    # The SDK adds ANTHROPIC_CUSTOM_HEADERS to all requests, and has no option against it.
    client._custom_headers = {}
    return client


def classify_error(error: Exception) -> Trouble:
    """Return an SDK error as a `Trouble`: its cause, its whole message, and the wait (s) that the API requests."""
    import anthropic
    import httpx2

    causes: dict[type[Exception], CauseKind] = {
        anthropic.AuthenticationError: CauseKind.BAD_KEY,
        anthropic.PermissionDeniedError: CauseKind.BAD_KEY,
        anthropic.PaymentRequiredError: CauseKind.NO_CREDIT,
        anthropic.NotFoundError: CauseKind.NO_MODEL,
        anthropic.RateLimitError: CauseKind.RATE_LIMITED,
        anthropic.OverloadedError: CauseKind.OVERLOADED,
        anthropic.RequestTimeoutError: CauseKind.TIMEOUT,
        anthropic.GatewayTimeoutError: CauseKind.TIMEOUT,
        anthropic.InternalServerError: CauseKind.SERVER,
        anthropic.APIStatusError: CauseKind.BAD_REQUEST,
        anthropic.APITimeoutError: CauseKind.TIMEOUT,
        anthropic.APIConnectionError: CauseKind.CONNECTION,
    }
    cause = next((cause for kind, cause in causes.items() if isinstance(error, kind)), CauseKind.MALFORMED)
    if isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout):
        # Nothing was sent, so nothing is billed.
        cause = CauseKind.UNREACHABLE
    if not isinstance(error, anthropic.APIStatusError):
        return Trouble(cause, type(error).__name__)
    # The API reports a missing balance with status 400; gateways use 403 and 429, too.
    if cause_of_words(f"{error.body} {error.api_message}") is CauseKind.NO_CREDIT:
        cause = CauseKind.NO_CREDIT
    retry_after_s = None
    with suppress(ValueError):
        # A date instead of seconds counts as none.
        retry_after_s = max(0.0, float(error.response.headers.get("retry-after", "none")))
    detail = f"{error.status_code} {error.api_message or ''}"
    return Trouble(cause, " ".join(detail.split()), retry_after_s)
