"""Settings: their sources and precedence; every problem is named, and no secret is shown."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ocw_mcp.app.settings import KEYS, SECRET_KEYS, LogLevel, load_settings, mode_of
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.state import Mode

CANARY = "sk-canary-7d0f1c35b2"


def env_file(directory: Path, text: str, name: str = "my.env") -> Path:
    path = directory / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def complaint(text: str, directory: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(env_file(directory, text), None, {})
    return str(caught.value)


def test_defaults_are_paper_mode_without_keys() -> None:
    settings = load_settings(None, None, {})
    assert mode_of(settings, None) is Mode.PAPER
    assert settings.log_level is LogLevel.INFO
    assert settings.warnings == ()
    assert [getattr(settings, key.lower()) for key in sorted(SECRET_KEYS)] == [None] * 5


def test_shipped_env_example_sets_the_defaults() -> None:
    example_file = Path(__file__).resolve().parents[2] / ".env.example"
    assert load_settings(example_file, None, {}) == load_settings(None, None, {})
    text = example_file.read_text()
    shown = [key for key in KEYS if key != "BINANCE_PAPER"]  # earlier versions wrote that one
    assert [line.split("=")[0] for line in text.splitlines() if line[:1].isupper()] == sorted(
        shown, key=lambda key: text.rindex(f"\n{key}=")
    )


def test_environment_overrides_the_env_file_and_state_directory(tmp_path: Path) -> None:
    env_file(tmp_path, "CLAUDE_MODEL=c\nLOG_LEVEL=ERROR\nOCW_MODE=demo\n", ".env")
    chosen = env_file(tmp_path, "CLAUDE_MODEL=b\nLOG_LEVEL=DEBUG\n")
    settings = load_settings(chosen, tmp_path, {"CLAUDE_MODEL": "a"})
    assert (settings.claude_model, settings.log_level, settings.ocw_mode) == ("a", LogLevel.DEBUG, Mode.DEMO)


def test_load_settings_reads_only_the_files_and_mapping_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file(tmp_path, "CLAUDE_MODEL=from-here\n", ".env")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    settings = load_settings(None, None, {})
    assert (settings.claude_model, settings.log_level) == (None, LogLevel.INFO)


@pytest.mark.parametrize("state", ["missing", "a-file"])
def test_a_state_directory_without_an_env_file_sets_nothing(tmp_path: Path, state: str) -> None:
    (tmp_path / "a-file").touch()
    assert load_settings(None, tmp_path / state, {}) == load_settings(None, None, {})


@pytest.mark.parametrize(
    ("setting", "live", "asked", "mode"),
    [
        ("", "", None, Mode.PAPER),
        ("", "true", None, Mode.PAPER),
        ("demo", "", None, Mode.DEMO),
        ("DEMO", "", "paper", Mode.PAPER),
        ("", "", "demo", Mode.DEMO),
        ("live", "true", None, Mode.LIVE),
        ("demo", "true", "live", Mode.LIVE),
        ("live", "false", "Paper", Mode.PAPER),
    ],
)
def test_mode_is_that_of_the_option_then_of_the_setting(setting: str, live: str, asked: str | None, mode: Mode) -> None:
    settings = load_settings(None, None, {"OCW_MODE": setting, "LIVE_TRADING": live})
    assert mode_of(settings, asked) is mode


def test_mode_is_paper_unless_two_settings_agree_on_live() -> None:
    for values in ({}, {"LIVE_TRADING": "true"}, {"OCW_MODE": "paper", "LIVE_TRADING": "true"}):
        assert mode_of(load_settings(None, None, values), None) is Mode.PAPER
    for values in ({"OCW_MODE": "live"}, {"OCW_MODE": "live", "LIVE_TRADING": "false"}):
        with pytest.raises(SettingsError, match="OCW_MODE is live, and LIVE_TRADING is not true") as caught:
            mode_of(load_settings(None, None, values), None)
        assert "\n" not in str(caught.value)
    with pytest.raises(SettingsError, match="--mode is live, and LIVE_TRADING is not true"):
        mode_of(load_settings(None, None, {}), "live")


@pytest.mark.parametrize("mode", ["demo", "live"])
def test_an_earlier_env_file_that_says_paper_refuses_other_modes(mode: str) -> None:
    settings = load_settings(None, None, {"BINANCE_PAPER": "true", "LIVE_TRADING": "true"})
    assert mode_of(settings, None) is Mode.PAPER
    with pytest.raises(SettingsError, match=f"--mode is {mode} while BINANCE_PAPER is true"):
        mode_of(settings, mode)


def test_unknown_mode_is_refused() -> None:
    with pytest.raises(SettingsError, match="--mode is 'real'; expected one of paper, demo, live"):
        mode_of(load_settings(None, None, {}), "real")


@pytest.mark.parametrize(
    ("word", "meaning"),
    [(word, True) for word in ("true", "1", "yes", "on", "TRUE", "Yes", " on ")]
    + [(word, False) for word in ("false", "0", "no", "off", "False", "OFF")],
)
def test_boolean_setting_accepts_true_and_false_words_in_any_case(word: str, meaning: bool) -> None:
    assert load_settings(None, None, {"BINANCE_PAPER": word}).binance_paper is meaning


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("BINANCE_PAPER=maybe", "BINANCE_PAPER (from {path}) is 'maybe'; expected true or false"),
        ("BINANCE_PAPER=2", "is '2'; expected true or false"),
        ("OCW_MODE=real", "OCW_MODE (from {path}) is 'real'; expected one of paper, demo, live"),
        ("LIVE_TRADING=t", "LIVE_TRADING (from {path}) is 't'"),
        ("LOG_LEVEL=loud", "is 'loud'; expected one of DEBUG, INFO, WARNING, ERROR"),
        ("LIVE_TRADNG=true", "line 1 of {path} sets LIVE_TRADNG, which is unknown; did you mean LIVE_TRADING?"),
        ("live_trading=true", "did you mean LIVE_TRADING?"),
        ("ANTHROPIC_APIKEY=x", "did you mean ANTHROPIC_API_KEY?"),
        ("BINANCE_PAPER", "line 1 of {path} is not a setting; expected NAME=value"),
        ("'half a quote", "line 1 of {path} is not a setting"),
        ("LOG_LEVEL=INFO\nLOG_LEVEL=INFO", "line 2 of {path} sets LOG_LEVEL a second time"),
        ('FRED_API_KEY="two words"', "FRED_API_KEY (from {path}) has a blank"),
    ],
)
def test_one_settings_problem_gives_one_sentence(tmp_path: Path, line: str, says: str) -> None:
    text = complaint(line, tmp_path)
    assert says.format(path=tmp_path / "my.env") in text
    assert "\n" not in text


def test_all_settings_problems_are_listed_together(tmp_path: Path) -> None:
    state_env = tmp_path / ".env"
    state_env.mkdir()
    with pytest.raises(SettingsError) as caught:
        load_settings(
            env_file(tmp_path, "BINANCE_PAPR=1\nLOG_LEVEL=loud\nANTHROPIC_BASE_URL=http://example.org\n"),
            tmp_path,
            {"LIVE_TRADING": "maybe", "FRED_API_KEY": "a b"},
        )
    text = str(caught.value)
    for named in (str(state_env), "BINANCE_PAPR", "LOG_LEVEL", "ANTHROPIC_BASE_URL", "LIVE_TRADING", "FRED_API_KEY"):
        assert named in text
    assert text.startswith("the settings: 6 problems\n")


def test_env_file_may_contain_settings_of_other_programs(tmp_path: Path) -> None:
    path = env_file(tmp_path, "# ours\nexport LOG_LEVEL=ERROR\n\nTELEGRAM_TOKEN=x\nPATH=/bin\n")
    assert load_settings(path, None, {"LIVE_TRADNG": "not in a file"}).log_level is LogLevel.ERROR


def test_setting_with_an_empty_value_counts_as_not_set(tmp_path: Path) -> None:
    path = env_file(tmp_path, "".join(f"{key}=\n" for key in KEYS) + "LOG_LEVEL=ERROR\n")
    assert load_settings(path, None, dict.fromkeys(KEYS, "  ")).log_level is LogLevel.ERROR


def test_variables_in_values_of_an_env_file_are_not_expanded(tmp_path: Path) -> None:
    path = env_file(tmp_path, "CLAUDE_MODEL=${HOME}\nFRED_API_KEY='a#b$c'\r\n")
    settings = load_settings(path, None, {})
    assert settings.claude_model == "${HOME}"
    assert settings.fred_api_key is not None
    assert settings.fred_api_key.get_secret_value() == "a#b$c"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read (No such file"),
        (b"LOG_LEVEL=\xff\xfe", "is not text in UTF-8"),
        ("dir", "Is a directory"),
    ],
)
def test_given_env_file_must_be_readable(tmp_path: Path, content: bytes | str | None, says: str) -> None:
    path = tmp_path / "my.env"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.mkdir()
    with pytest.raises(SettingsError) as caught:
        load_settings(path, None, {})
    assert str(path) in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://gateway.example.org",
        "https://gateway.example.org:8443/v1",
        "http://localhost:8080",
        "http://127.0.0.1",
        "http://127.8.8.8:1",
        "http://[::1]:9000/",
    ],
)
def test_api_base_url_may_use_https_or_a_loopback_address(url: str) -> None:
    assert load_settings(None, None, {"ANTHROPIC_BASE_URL": url}).anthropic_base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://gateway.example.org",
        "http://localhost.example.org",
        "http://localhost@example.org",
        "http://127.0.0.1\\@example.org",
        "http://0.0.0.0",
        "https://user:" + CANARY + "@example.org",
        "https://example.org?key=" + CANARY,
        "https://example.org#x",
        "https://",
        "https://example.org:99999",
        "https://exa mple.org",
        "https://[::1",
        "ftp://example.org",
        "//example.org",
        "localhost:8080",
        CANARY,
    ],
)
def test_unsafe_api_base_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(None, None, {"ANTHROPIC_BASE_URL": url})
    assert "is not an address to which a key may be sent" in str(caught.value)
    assert url not in str(caught.value)
    assert CANARY not in str(caught.value)


@given(st.text(max_size=60))
@example("https://\u212aelvin.example.org")
@example("http://LOCALHOST")
def test_no_text_crashes_the_check_of_an_api_base_url(url: str) -> None:
    try:
        kept = load_settings(None, None, {"ANTHROPIC_BASE_URL": url}).anthropic_base_url
    except SettingsError:
        return
    assert kept is None or kept.lower().startswith(("https://", "http://localhost", "http://127.", "http://[::1]"))


@pytest.mark.parametrize("key", sorted(SECRET_KEYS))
def test_secret_setting_is_loaded_and_never_shown(tmp_path: Path, key: str) -> None:
    path = env_file(tmp_path, f"{key}={CANARY}\n")
    path.chmod(0o644)
    settings = load_settings(path, None, {})
    assert getattr(settings, key.lower()).get_secret_value() == CANARY
    for shown in (repr(settings), str(settings), settings.model_dump_json(), " ".join(settings.warnings)):
        assert CANARY not in shown


@pytest.mark.parametrize(
    "text",
    [
        *(f"{key}={CANARY} pasted twice {CANARY}\n" for key in KEYS if key != "CLAUDE_MODEL"),
        f"BINANCE_API_KEY={CANARY}\nLOG_LEVEL=loud\n",
        f"{CANARY}\n",
        f"ANTHROPIC_API_KEY='{CANARY}\n",
        f"FRED_API_KY={CANARY}\n",
    ],
)
def test_an_error_shows_no_secret_wherever_it_was_pasted(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(env_file(tmp_path, text), None, {})
    assert CANARY not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("text", "mode", "warned"),
    [
        (f"FRED_API_KEY={CANARY}\n", 0o600, False),
        (f"FRED_API_KEY={CANARY}\n", 0o640, True),
        (f"FRED_API_KEY={CANARY}\n", 0o604, True),
        ("FRED_API_KEY=\nLOG_LEVEL=INFO\n", 0o644, False),
    ],
)
def test_env_file_with_a_key_that_others_can_read_gives_a_warning(
    tmp_path: Path, text: str, mode: int, warned: bool
) -> None:
    env_file(tmp_path, text, ".env").chmod(mode)
    warnings = load_settings(None, tmp_path, {}).warnings
    assert len(warnings) == warned
    assert all("chmod 600" in one and CANARY not in one for one in warnings)
