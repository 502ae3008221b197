"""Settings from the environment, `--env` and `.env` of the state directory; no error or repr shows a secret."""

import io
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

from dotenv.parser import parse_stream
from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, ValidationError

from ocw_mcp.adapters.files import FileRefused, read_file, require_own_directory
from ocw_mcp.domain.addresses import is_loopback_http, may_receive_secrets
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.state import Mode

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
_LONGEST_SHOWN = 16
"""The most characters of a value that an error shows. API keys are longer, so a key on the wrong line is not shown."""
LARGEST_TEXT = 1 << 20
"""The most bytes of a file of settings, policies or prompts."""


class LogLevel(StrEnum):
    """The least severe level of the log lines that are written."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


def _word(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise ValueError(f"is {_shown(value)}; expected true or false; write one of them, or remove the line")


def _mode(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value.lower() not in tuple(Mode):
        raise ValueError(f"is {_shown(value)}; expected one of {', '.join(Mode)}; write one of them")
    return value.lower()


def _level(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value.upper() not in tuple(LogLevel):
        raise ValueError(f"is {_shown(value)}; expected one of {', '.join(LogLevel)}; write one of them")
    return value.upper()


def _secret(value: Any) -> Any:
    if isinstance(value, str) and re.search(r"[^!-~]", value):
        raise ValueError(
            "has a blank or a character that no key has (its value is not shown); "
            "expected only the key; copy it again, without quotes or comments"
        )
    return value


def _url(value: Any) -> Any:
    # The value is not shown: a URL may have a password in it, and a key may be on the wrong line.
    if isinstance(value, str) and not may_receive_secrets(value):
        raise ValueError(
            "is not an address to which a key may be sent; expected https and a host, or http to this machine "
            "(localhost, 127.0.0.1, [::1]), without user, query or fragment; correct it, or remove the line"
        )
    return value


def _loopback(value: Any) -> Any:
    if isinstance(value, str) and not is_loopback_http(value):
        raise ValueError(
            "is not an address of this machine; the market of the exchange has its own host, and only the sandbox "
            "exchange may take its place; expected http, an address of this machine and a port, such as "
            "http://127.0.0.1:9443; correct it, or remove the line"
        )
    return value


def _hosts(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    names = tuple(name.strip().lower() for name in value.split(","))
    wrong = [name for name in names if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|[0-9a-f:]{2,39}", name)]
    if wrong:
        raise ValueError(
            f"has {_shown(wrong[0])}, which is not a host name; expected names or addresses without port, "
            "separated by commas, such as ocw.example.org; correct it, or remove the line"
        )
    return names


OUTSIDE: Final = ("macro", "fear_greed", "stablecoins", "btc_dominance", "etf_flow", "headlines")
"""The sources outside of the exchange."""
MOST_FEEDS: Final = 8


def _outside(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    names = tuple(dict.fromkeys(name.strip().lower() for name in value.split(",")))
    if wrong := next((name for name in names if name not in OUTSIDE), None):
        raise ValueError(
            f"has {_shown(wrong)}, which is no source; expected some of {', '.join(OUTSIDE)}, separated by commas; "
            "correct it, or remove the line"
        )
    return names


def _feeds(value: Any) -> Any:
    # The addresses are not shown: one may have a key.
    if not isinstance(value, str):
        return value
    feeds = tuple(each.strip() for each in value.split(","))
    if len(feeds) > MOST_FEEDS or not all(may_receive_secrets(each.partition("?")[0]) for each in feeds):
        raise ValueError(
            f"has an address that is no feed, or more than {MOST_FEEDS}; expected https addresses, separated by "
            "commas; correct it, or remove the line"
        )
    return feeds


def _directory(value: Any) -> Any:
    # The value is not shown: a key may be on the wrong line.
    if isinstance(value, str) and not value.startswith(("/", "~/")):
        raise ValueError("is not an absolute path; expected one, such as /data/fred; correct it, or remove the line")
    return Path(value).expanduser() if isinstance(value, str) else value


_Word = Annotated[bool, BeforeValidator(_word)]
_Secret = Annotated[SecretStr | None, BeforeValidator(_secret)]


class Settings(BaseModel):
    """The user's settings, validated. `load_settings` makes them; the model itself reads no file or environment."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    binance_api_key: _Secret = None
    binance_secret_key: _Secret = None
    binance_paper: _Word = False
    """True refuses demo and live. Earlier versions wrote it into `.env`; without it the mode is still paper."""
    binance_loopback: Annotated[str | None, BeforeValidator(_loopback)] = None
    """The address of a sandbox exchange on this machine, in place of Binance; for `--market binance`."""
    ocw_mode: Annotated[Mode, BeforeValidator(_mode)] = Mode.PAPER
    """The mode of runs without `--mode`."""
    live_trading: _Word = False
    """The second of the two settings that live needs."""
    anthropic_api_key: _Secret = None
    anthropic_auth_token: _Secret = None
    anthropic_base_url: Annotated[str | None, BeforeValidator(_url)] = None
    claude_model: str | None = None
    fred_api_key: _Secret = None
    outside: Annotated[tuple[str, ...], BeforeValidator(_outside)] = ()
    """The sources outside of the exchange that a live market reads, of `OUTSIDE`; by default none."""
    headline_feeds: Annotated[tuple[str, ...], BeforeValidator(_feeds)] = ()
    """The addresses of feeds of headlines."""
    macro_dir: Annotated[Path | None, BeforeValidator(_directory)] = None
    """The directory of the files of FRED from which the macro regime of any market is read, as known at its time."""
    serve_hosts: Annotated[tuple[str, ...], BeforeValidator(_hosts)] = ()
    """Host names under which `--serve` answers other machines; without any it answers only this machine."""
    log_level: Annotated[LogLevel, BeforeValidator(_level)] = LogLevel.INFO
    warnings: tuple[str, ...] = ()
    """Sentences for the user on faults that do not prevent a start."""


KEYS = tuple(name.upper() for name in Settings.model_fields if name != "warnings")
SECRET_KEYS = frozenset(key for key in KEYS if key.endswith(("_KEY", "_TOKEN")))


def load_settings(env_file: Path | None, state_dir: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read settings from `environ`, then `env_file`, then `.env` in `state_dir`. Raises SettingsError and BookError."""
    problems: list[str] = []
    warnings: list[str] = []
    given: dict[str, str] = {}
    sources: dict[str, str] = {}

    def take(values: dict[str, str], source: object) -> None:
        given.update(values)
        sources.update(dict.fromkeys(values, str(source)))

    if state_dir is not None:
        require_own_directory(state_dir)
        path = state_dir / ".env"
        take(_read_env_file(path, problems, warnings, may_be_absent=True), path)
    if env_file is not None:
        take(_read_env_file(env_file, problems, warnings), env_file)
    take({key: environ[key].strip() for key in KEYS if environ.get(key, "").strip()}, "the environment")

    settings = None
    try:
        settings = Settings.model_validate(
            {key.lower(): value for key, value in given.items()} | {"warnings": warnings}
        )
    except ValidationError as error:
        for found in error.errors(include_url=False, include_input=False):
            key = str(found["loc"][0]).upper()
            problems.append(f"{key} (from {sources[key]}) {found.get('ctx', {}).get('error', found['msg'])}")
    if settings is None or problems:
        raise refusal("the settings", problems)
    return settings


def mode_of(settings: Settings, asked: str | None) -> Mode:
    """Return the mode of a run: that of `--mode` (`asked`), else of OCW_MODE, else paper.

    Raises SettingsError for an unknown mode, for live without LIVE_TRADING=true, and for BINANCE_PAPER=true in
    another mode than paper.
    """
    if asked is not None and asked.lower() not in tuple(Mode):
        raise SettingsError(f"--mode is {_shown(asked)}; expected one of {', '.join(Mode)}; write one of them")
    mode = settings.ocw_mode if asked is None else Mode(asked.lower())
    where = "OCW_MODE" if asked is None else "--mode"
    if mode is not Mode.PAPER and settings.binance_paper:
        raise SettingsError(
            f"{where} is {mode} while BINANCE_PAPER is true, and the two contradict each other; expected at most one "
            "of them; remove the line BINANCE_PAPER=true, or use --mode paper"
        )
    if mode is Mode.LIVE and not settings.live_trading:
        raise SettingsError(
            f"{where} is live, and LIVE_TRADING is not true; expected both, since live mode trades your money; set "
            "LIVE_TRADING=true, or use --mode demo"
        )
    return mode


def refusal(subject: str, problems: Iterable[str]) -> SettingsError:
    """Return the error that lists all problems: one sentence for one problem, a list for several."""
    listed = list(problems)
    if len(listed) == 1:
        return SettingsError(f"{subject}: {listed[0]}")
    return SettingsError("\n  - ".join([f"{subject}: {len(listed)} problems", *listed]))


def read_text(path: Path, owners: tuple[int, ...] = ()) -> str:
    """Return the text of a UTF-8 file, with line feeds; users in `owners` may also own it. Raises SettingsError."""
    try:
        text = read_file(path, LARGEST_TEXT, link=True, owners=owners).decode("utf-8-sig")
        return text.replace("\r\n", "\n").replace("\r", "\n")
    except FileRefused as error:
        raise SettingsError(str(error)) from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not text in UTF-8; expected UTF-8; save it with that encoding") from error
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read ({error.strerror}); expected a readable file; check the path and its permissions"
        ) from error


def _read_env_file(
    path: Path, problems: list[str], warnings: list[str], *, may_be_absent: bool = False
) -> dict[str, str]:
    """Return the settings of OCW in an env file; problems and warnings of the file are added to the lists."""
    try:
        text = read_text(path)
        permissions = path.stat().st_mode & 0o777
    except SettingsError as error:
        if not (may_be_absent and isinstance(error.__cause__, FileNotFoundError | NotADirectoryError)):
            problems.append(str(error))
        return {}
    given: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text)):
        if binding.key is None and not binding.error:
            continue  # a comment or a blank line
        where = f"line {binding.original.line} of {path}"
        if binding.error or binding.key is None or binding.value is None:
            # The line is not shown: it may be a key that was pasted without a name.
            problems.append(f"{where} is not a setting; expected NAME=value; correct the line, or put # before it")
        elif binding.key not in KEYS:
            if meant := get_close_matches(binding.key.upper(), KEYS, n=1, cutoff=0.8):
                problems.append(f"{where} sets {binding.key}, which is unknown; did you mean {meant[0]}?")
        elif binding.key in given:
            problems.append(
                f"{where} sets {binding.key} a second time; expected each setting once; remove one of the two"
            )
        elif value := binding.value.strip():
            given[binding.key] = value
    if permissions & 0o077 and not SECRET_KEYS.isdisjoint(given):
        warnings.append(
            f"{path} has a key and is open to other users of this machine (mode {permissions:04o}); "
            f"expected mode 0600; restrict it: chmod 600 {path}"
        )
    return given


def _shown(value: str) -> str:
    return repr(value) if len(value) <= _LONGEST_SHOWN else f"a text of {len(value)} characters"
