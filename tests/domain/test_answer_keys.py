"""The keys of answers: typed in the engine, and one text each in the journal."""

import msgspec
import pytest

from ocw_mcp.domain.asks import AnswerKey, DecisionKey, LegKey, NoteRequest, RequestKey, request_key, token_of

KEYS: list[tuple[AnswerKey, str]] = [
    (RequestKey("mcp:anna", "k1"), "asked by 'mcp:anna': k1"),
    (RequestKey("it's", "k1"), 'asked by "it\'s": k1'),
    (DecisionKey(12).leg(0), "wake:12:0"),
    (DecisionKey(12, "again").leg(3), "wake:12:again:3"),
    (DecisionKey(12, "rules").leg(0), "wake:12:rules:0"),
]


@pytest.mark.parametrize(("key", "text"), KEYS)
def test_each_answer_key_has_its_documented_text(key: AnswerKey, text: str) -> None:
    assert str(key) == text


@pytest.mark.parametrize("key", [key for key, _ in KEYS])
def test_a_saved_key_is_restored_with_its_type(key: AnswerKey) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(key), type=RequestKey | LegKey) == key


def test_key_of_a_caller_never_equals_that_of_a_leg_or_other_caller() -> None:
    posing = request_key(NoteRequest("wake:12:0", "anna", "x")), request_key(NoteRequest("k", "ben': k1", "x"))
    assert len({*posing, DecisionKey(12).leg(0), RequestKey("ben", "k1")}) == 4


@pytest.mark.parametrize(
    ("caller", "token"),
    [("mcp:attached/claude-desktop", "mcp:attached"), ("mcp:trade-1", "mcp:trade-1"), ("anna", "anna")],
)
def test_all_clients_of_one_token_are_one_caller(caller: str, token: str) -> None:
    assert token_of(caller) == RequestKey(caller, "k").token == token
    assert DecisionKey(1).leg(0).token == ""
