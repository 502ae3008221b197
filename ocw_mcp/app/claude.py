"""Claude as the agent of a run: the model, key and prompts, and the in-process MCP client for its tool calls."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import structlog
from mcp import Client

from ocw_mcp import __version__
from ocw_mcp.agent.client import ModelFacts, SdkMessages, credentials, scrub
from ocw_mcp.agent.decider import ClaudeDecider, EngineAccess, conversation_timeout_s
from ocw_mcp.agent.fewer_calls import Breaker
from ocw_mcp.agent.keep_warm import CacheKeeper
from ocw_mcp.agent.memory.memory import Memory
from ocw_mcp.agent.memory.writer import Writer, WriterTerms
from ocw_mcp.agent.messages import Messages, ReportWait, SlowAnswerNotice, Trouble
from ocw_mcp.agent.pricing import priced
from ocw_mcp.agent.prompts import Prompts
from ocw_mcp.agent.recording import NO_OWNER, CallRecorder, Recording, RecordingOwner
from ocw_mcp.agent.spending import SpendingLog
from ocw_mcp.app.policy_loader import LoadedPolicies, LoadedPrompts
from ocw_mcp.app.settings import Settings
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.protocols import Clock, Decider
from ocw_mcp.interfaces.mcp.server import build
from ocw_mcp.runtime.facade import Facade

log = structlog.get_logger()

REMEMBERED_THOUGHTS = 256
"""The number of past events on Claude's decisions that a resumed run reads."""
MODEL = "claude-sonnet-5-5"
"""The model if CLAUDE_MODEL is not set."""
MODEL_CHECK_S = 5.0
"""Wall time (s) that a start waits for the API to describe the model; the SDK would wait ten minutes."""


@asynccontextmanager
async def ungrouped() -> AsyncIterator[None]:
    """Raise an error of the block without the exception groups in which the SDK's client wraps it."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            (error,) = error.exceptions
        raise error from None


class ClaudeSetup:
    """The source of Claude's answers: the API, with a recorder if requested, or a recording in place of the API."""

    def __init__(
        self,
        settings: Settings,
        record: Path | None = None,
        decisions: Path | None = None,
        *,
        remembers: bool = True,
        report_wait: ReportWait | None = None,
    ) -> None:
        """With `remembers` Claude reads its diary of earlier trades and days. Raises SettingsError."""
        if record is not None and decisions is not None:
            raise SettingsError("--record and --decisions exclude each other: --decisions reads a recording; omit one")
        self.model = settings.claude_model or MODEL
        self._remembers = remembers
        self._report_wait = report_wait
        self._writer: Writer | None = None
        self._recorder: CallRecorder | None = None
        self._record = record
        self._credentials = credentials(
            settings.anthropic_api_key, settings.anthropic_auth_token, settings.anthropic_base_url
        )
        self.recording = None if decisions is None else Recording.read(decisions, self._redact)
        self._api: SdkMessages | Trouble | None = None

    def make_decider(
        self,
        policies: LoadedPolicies,
        prompts: LoadedPrompts,
        kept: ExitStack,
        clock: Clock,
        owner: RecordingOwner = NO_OWNER,
    ) -> ClaudeDecider:
        """Return the decider; `kept` closes its recorder; `owner` is the recorded book. Raises SettingsError."""
        texts = Prompts(prompts.texts, policies.policies)
        messages: Messages | Trouble
        if self.recording is not None:
            messages = self.recording
        else:
            found = self._credentials
            messages = self._api = found if isinstance(found, Trouble) else SdkMessages(found)
            if self._record is not None and not isinstance(messages, Trouble):
                recorder = CallRecorder(self._record, messages, clock, self._redact, owner)
                messages = self._recorder = kept.enter_context(recorder)
        if not isinstance(messages, Trouble):
            terms = WriterTerms(model=self.model)
            if self._report_wait is not None:
                messages = SlowAnswerNotice(
                    messages, clock, conversation_timeout_s(policies.policies), terms.timeout_s, self._report_wait
                )
            self._writer = Writer(messages, texts, prompts.hash, terms)
        # A replay spends nothing, and a recording has only answers to decisions and diary entries.
        keeper = CacheKeeper(self._api, clock, self.model) if isinstance(self._api, SdkMessages) else None
        return ClaudeDecider(messages, texts, policies.policies, clock, self.model, keeper)

    def _redact(self, text: str) -> str:
        """Return a text without the API key, so that it can be recorded."""
        found = self._credentials
        return scrub(text) if isinstance(found, Trouble) else found.scrub(text)

    @asynccontextmanager
    async def connected(self, decider: Decider, facade: Facade, directory: Path) -> AsyncIterator[None]:
        """Connect the decider to the engine's tools while the block runs."""
        assert isinstance(decider, ClaudeDecider)
        server = build(lambda: facade, __version__)
        server.name_in_process = decider.name
        thoughts = await facade.history.thoughts(REMEMBERED_THOUGHTS)
        spending = SpendingLog(directory, facade.book, thoughts, recorder=self._recorder, replayed=self.recording)
        memory = Memory(
            directory,
            facade.book,
            facade.history,
            facade.policies.rules,
            self._writer,
            enabled=self._remembers,
            spending=spending,
            warn=log.warning,
        )
        try:
            async with ungrouped(), Client(server) as client:
                breaker = Breaker.from_journal(thoughts)
                decider.attach(EngineAccess(client, facade.thinking_spent_usd, memory, spending, breaker))
                yield
        finally:
            await decider.close()
            await memory.close()
            if isinstance(self._api, SdkMessages):
                await self._api.close()

    async def check_model(self) -> None:
        """Warn at the start if the model has no known price or the API refuses it: the rules then decide each wake."""
        # Only the existence of a price matters, so day 0 serves. A thread imports the price table, which is slow.
        if not isinstance(self._api, Trouble) and not await asyncio.to_thread(priced, self.model, 0):
            log.warning(
                f"the price of {self.model} is not known, so no budget can be kept, and the rules decide every wake "
                f"(NO_PRICE); set CLAUDE_MODEL to a model that genai-prices has, such as {MODEL}"
            )
            return
        if self._api is None:
            return
        facts: ModelFacts | Trouble
        try:
            async with asyncio.timeout(MODEL_CHECK_S):
                facts = self._api if isinstance(self._api, Trouble) else await self._api.retrieve_model(self.model)
        except TimeoutError:
            log.warning(
                f"the API did not confirm within {MODEL_CHECK_S:g} s that it has {self.model}; the run continues, and "
                "the rules decide each wake without an answer"
            )
            return
        if isinstance(facts, Trouble):
            log.warning(f"Claude cannot be asked, so the rules decide: {facts}", model=self.model)
        elif facts.lifecycle == "deprecated":
            log.warning(f"{self.model} is retired {facts.retires_at or 'soon'}; set CLAUDE_MODEL to another")
