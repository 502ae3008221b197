"""A recording keeps every input of a live book across crashes, and its replay reaches the same fingerprint."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast, get_args

import msgspec
import pytest

from ocw_mcp.adapters.store.inputs import decode_input, encode_input
from ocw_mcp.adapters.store.recording_files import (
    RecordingIdentity,
    RecordingWriter,
)
from ocw_mcp.domain.errors import BookError
from ocw_mcp.domain.events import OrderRejected
from ocw_mcp.domain.market import Frame
from ocw_mcp.domain.orders import NOT_JOURNALED
from ocw_mcp.domain.recordings import Recorded, RecordedStart, RecordedState
from ocw_mcp.domain.steps import StepEvent
from ocw_mcp.runtime import run as runtime_run
from ocw_mcp.runtime.recorded_book import BookReplay
from tests.adapters.store.test_live_inputs import WAKES, killed, live_run, opened
from tests.adapters.store.test_recording_files import killed_and_copied, whole_recording
from tests.support.deciders import Scripted
from tests.support.legs import buy
from tests.support.live import Held, ListedLive, kill_after, live_frames
from tests.support.markets import START
from tests.support.recordings import entries, record, replay, start_of, venue_of
from tests.support.runs import Run, policies
from tests.support.samples import sample
from tests.support.stores import Crash, MemoryStore


@pytest.mark.parametrize("every", [10, pytest.param(1_000, marks=pytest.mark.slow)])
async def test_recording_of_a_killed_book_replays_whole(
    every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", every)
    book, recording = tmp_path / "book", tmp_path / "recording"
    for die_at in (5, 9, 9, 20, 21, 33, 47, 60):
        with closing(opened(book)) as store:
            run = live_run(store)
            record(store, run.config, recording)
            store.die_at = die_at
            with pytest.raises(Crash):
                await run.go()
    with closing(opened(book)) as store:
        run = live_run(store)
        record(store, run.config, recording)
        await run.go()
        assert store.verify().ok
        fingerprint = store.fingerprint
    found = await replay(recording)
    assert (found.same, found.fingerprint, found.gaps) == (True, fingerprint, [])
    assert len(found.starts) > 5
    assert found.events["order.filled"] > 3


async def recorded(book: Path, recording: Path, frames: Sequence[Frame], **more: Any) -> str:
    """Record a book on some frames until it is killed; return its fingerprint."""
    with closing(opened(book)) as store:
        feed = Held(frames)
        feed.clock.at = frames[0].at
        script = more.pop("script", {1: buy("97")})
        run = Run(feed, Scripted(script), store=cast(MemoryStore, store), clock=feed.clock, live=True, **more)
        record(store, run.config, recording)
        await kill_after(run, feed)
        return store.fingerprint


def parts_of(*until_ms: int) -> list[list[Frame]]:
    """Return the frames of a short market, in parts that end at times (ms) after its start."""
    frames = [each for each in live_frames([100.0, 100.0, 99.0], every_s=5) if not each.history]
    spans = zip((0, *until_ms), until_ms, strict=False)
    return [[each for each in frames if since <= each.at - START < until] for since, until in spans]


async def test_recording_takes_a_state_when_a_new_policy_leaves_inputs_out(tmp_path: Path) -> None:
    book, recording = tmp_path / "book", tmp_path / "recording"
    first, second, third = parts_of(150_000, 170_000, 200_000)
    await recorded(book, recording, first, policy=WAKES)
    await recorded(book, recording, second, policy=WAKES)
    tight = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, exits={"max_loss": "0.001"})
    fingerprint = await recorded(book, recording, third, policy=tight, policy_hash="tight", script={})
    found = await replay(recording)
    assert (found.same, found.fingerprint) == (True, fingerprint)
    assert [each.policy_hash for each in found.starts] == ["policy", "policy", "tight"]
    assert len(found.gaps) == 1
    assert found.events["position.closed"] == 1


async def test_recording_goes_on_with_other_policies_after_a_clean_stop(tmp_path: Path) -> None:
    book, recording, fingerprints = tmp_path / "book", tmp_path / "recording", list[str]()
    tight = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, exits={"max_loss": "0.001"})
    for frames, policy, name in zip(parts_of(150_000, 200_000), (WAKES, tight), ("wide", "tight"), strict=True):
        with closing(opened(book)) as store:
            feed = ListedLive(frames)
            feed.clock.at = frames[0].at
            run = Run(
                feed,
                Scripted({1: buy("97")}),
                store=cast(MemoryStore, store),
                clock=feed.clock,
                live=True,
                policy=policy,
                policy_hash=name,
            )
            record(store, run.config, recording)
            await run.go()
            fingerprints.append(store.fingerprint)
    found = await replay(recording)
    assert (found.same, found.fingerprint, found.gaps) == (True, fingerprints[1], [])
    assert found.events["position.closed"] == 1


async def test_recording_says_that_the_book_ran_without_it(tmp_path: Path) -> None:
    book, recording = tmp_path / "book", tmp_path / "recording"
    first, second, third = parts_of(70_000, 170_000, 200_000)
    await recorded(book, recording, first, policy=WAKES)
    with closing(opened(book)) as store:
        await killed(store, second, {1: buy("97")}, policy=WAKES)
        unrecorded = store.last_seq
    fingerprint = await recorded(book, recording, third, policy=WAKES, script={})
    found = await replay(recording)
    assert (found.same, found.fingerprint) == (True, fingerprint)
    assert len(found.gaps) == 1
    assert found.gaps[0].seq_before < unrecorded


async def test_existing_book_is_recorded_from_its_state_on(tmp_path: Path) -> None:
    book, recording = tmp_path / "book", tmp_path / "recording"
    first, second = parts_of(150_000, 200_000)
    with closing(opened(book)) as store:
        await killed(store, first, {1: buy("97")}, policy=WAKES)
    fingerprint = await recorded(book, recording, second, policy=WAKES)
    found = await replay(recording)
    assert (found.same, found.fingerprint, found.gaps) == (True, fingerprint, [])


@pytest.mark.requirement("E06")
async def test_orders_that_a_full_disk_kept_back_are_not_filled_in_the_replay(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "book")) as store:
        run = live_run(store)
        record(store, run.config, tmp_path / "recording")
        store.full_from, store.full_to = 9, 30
        await run.go()
        fingerprint = store.fingerprint
        unsent = [each for _, each in store.all_events() if isinstance(each, OrderRejected)]
    assert any(each.reason is NOT_JOURNALED for each in unsent)
    found = await replay(tmp_path / "recording")
    assert (found.same, found.fingerprint) == (True, fingerprint)


async def test_entries_of_a_dead_process_are_found_in_its_journal(tmp_path: Path) -> None:
    book, recording = tmp_path / "book", tmp_path / "recording"
    copied = tmp_path / "copied"
    await killed_and_copied(book, recording, copied)
    in_files, whole = len(entries(tmp_path / "recording")), entries(recording, copied)
    assert [each.number for each in whole] == list(range(1, len(whole) + 1))
    found = await replay(recording, copied)
    with closing(opened(copied)) as durable:
        # The last input may have more effects than the dead process had journaled.
        assert (found.recorded_seq, found.recorded_fingerprint) == (durable.last_seq, durable.fingerprint)
    assert found.same
    assert in_files == len(whole), "closing the store moved the rest"


async def test_recording_of_a_book_that_never_began_is_taken_by_the_next(tmp_path: Path) -> None:
    recording = tmp_path / "recording"
    RecordingWriter(recording, RecordingIdentity(1, "0ther0", 0, 0)).close()
    fingerprint = await recorded(tmp_path / "book", recording, parts_of(70_000)[0], policy=WAKES)
    assert (await replay(recording)).fingerprint == fingerprint


async def test_older_copy_of_a_book_is_not_recorded_on(tmp_path: Path) -> None:
    book, recording = tmp_path / "book", tmp_path / "recording"
    first, second = parts_of(70_000, 200_000)
    await recorded(book, recording, first, policy=WAKES)
    shutil.copytree(book, tmp_path / "older")
    await recorded(book, recording, second, policy=WAKES)
    with pytest.raises(BookError, match="may be an older copy"):
        await recorded(tmp_path / "older", recording, second, policy=WAKES)


async def test_changed_input_is_found_as_the_first_difference(tmp_path: Path) -> None:
    recording = await whole_recording(tmp_path)
    whole = entries(recording)

    def changed() -> Iterator[Recorded]:
        fault = 0
        for number, at, entry in whole:
            if isinstance(entry, Frame) and entry.closed and number > 30 and not fault:
                fault = number
                candles = [msgspec.structs.replace(each, close=each.close * 1.05) for each in entry.closed]
                entry = msgspec.structs.replace(entry, closed=tuple(candles))
            yield Recorded(number, at, entry)

    found = await BookReplay(venue_of, "test").run(changed)
    assert not found.same
    assert found.difference is not None
    assert found.difference.number > 30
    assert found.difference.after_seq < found.difference.recorded_seq


@pytest.mark.parametrize(
    "fault",
    [
        {"policies": '{"name": "other", "no_such_key": 1}'},
        {"policies": "{"},
        {"engine": b"\xc1"},
        {"engine": b"\x80"},
        {"venue": b"\x93\x01"},
    ],
)
async def test_start_of_another_version_is_refused_with_both_versions(tmp_path: Path, fault: dict[str, Any]) -> None:
    whole = entries(await whole_recording(tmp_path))

    def changed() -> Iterator[Recorded]:
        for number, at, entry in whole:
            fields = set(fault) & set(getattr(entry, "__struct_fields__", ()))
            keep = not fields or not isinstance(entry, RecordedStart | RecordedState)
            yield Recorded(number, at, entry if keep else msgspec.structs.replace(entry, **fault))

    with pytest.raises(BookError, match=r"made by ocw test, and ocw 9\.9 cannot read it"):
        await BookReplay(venue_of, "9.9").run(changed)


def test_every_kind_of_input_has_a_stored_form() -> None:
    kinds = get_args(StepEvent)
    assert len(kinds) > 15
    for kind in kinds:
        for full in (False, True):
            event = sample(kind, full=full)
            name, payload = encode_input(event)
            assert decode_input(name, payload) == event, name


async def test_second_recording_of_a_book_says_what_the_first_one_lacks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    book, first, second = tmp_path / "book", tmp_path / "first", tmp_path / "second"
    copied = tmp_path / "copied"
    await killed_and_copied(book, first, copied)
    with closing(opened(copied)) as store:
        run = live_run(store)
        identity = RecordingIdentity(1, store.book, store.created_at, 7)
        store.record(RecordingWriter(second, identity), start_of(store, run.config))
        await run.go()
        fingerprint = store.fingerprint
    assert "entries of the recording b00k07-0-0 are not in its files, and are dropped now" in caplog.text
    found = await replay(second)
    assert (found.same, found.fingerprint) == (True, fingerprint)
