"""Store and truth: a turn is there as a whole or not at all, whenever the process dies."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from meter_sim.store import FleetStore
from meter_sim.truth import TruthFile
from ohmesh.model.errors import ConfigError, StoreError
from ohmesh.model.obis import Obis
from ohmesh.model.reading import Reading, Register
from ohmesh.model.unit import Unit

IMPORT = Register("el.energy.import", Obis.parse("1.8.0"), Unit.WH, 0)


def reading(value):
    return Reading(IMPORT, value, datetime(2026, 1, 1, 0, 15, tzinfo=UTC))


def test_a_new_node_has_nothing():
    with FleetStore(None) as store:
        found = store.recall(100)
        assert (found.state, found.mesh, found.messages, found.kept) == (None, None, [], [])
        assert store.fact("truth") == 0


def test_what_was_committed_is_there_after_the_end_and_nothing_else(tmp_path):
    store = FleetStore(tmp_path)
    store.put_state(100, b"state")
    store.put_mesh(100, b"mesh")
    first = store.add_message(100, 0, b"one")
    store.add_message(100, 3, b"two")
    store.keep_payload(100, 7, 0, b"seven")
    store.keep_payload(100, 8, 0, b"eight")
    store.forget_payload(100, 7)
    store.remove_message(first)
    store.put_fact("length", 12)
    store.commit()
    store.put_state(100, b"newer")
    store.add_message(100, 0, b"three")
    store.close()  # as the end of a process: no commit
    with FleetStore(tmp_path) as store:
        found = store.recall(100)
        assert (found.state, found.mesh) == (b"state", b"mesh")
        assert [message[1:] for message in found.messages] == [(3, b"two")]
        assert found.kept == [(8, 0, b"eight")]
        assert store.fact("length") == 12


def test_state_and_mesh_of_a_node_are_kept_apart(tmp_path):
    with FleetStore(tmp_path) as store:
        store.put_mesh(1, b"mesh")
        store.put_state(1, b"state")
        store.put_mesh(1, b"mesh 2")
        store.commit()
        assert (store.recall(1).state, store.recall(1).mesh) == (b"state", b"mesh 2")


def test_ids_of_messages_never_come_again(tmp_path):
    with FleetStore(tmp_path) as store:
        first = store.add_message(1, 0, b"a")
        store.remove_message(first)
        assert store.add_message(1, 0, b"b") > first


def test_one_process_at_a_time_may_run_a_part(tmp_path):
    with FleetStore(tmp_path, "half"):
        with pytest.raises(ConfigError, match="another fleet"):
            FleetStore(tmp_path, "half")
        FleetStore(tmp_path, "other half").close()
    FleetStore(tmp_path, "half").close()


def test_a_file_that_is_none_of_ours_is_refused(tmp_path):
    (tmp_path / "fleet.sqlite").write_bytes(b"a letter to the editor " * 100)
    with pytest.raises(ConfigError, match="not a database"):
        FleetStore(tmp_path)


def test_a_full_disk_is_a_store_error(tmp_path):
    with FleetStore(tmp_path) as store:
        store._sql.execute("pragma max_page_count = 12")
        with pytest.raises(StoreError, match="full"):
            store.add_message(1, 0, bytes(400_000))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_says_meter_channel_end_value_unit_and_scaler(tmp_path):
    with FleetStore(None) as store:
        truth = TruthFile(tmp_path / "truth.jsonl", store)
        truth.write("M0001", [reading(42)])
        truth.flush()
        assert lines(tmp_path / "truth.jsonl") == [
            {
                "meter": "M0001",
                "channel": "el.energy.import",
                "interval_end": "2026-01-01T00:15:00Z",
                "value": 42,
                "unit": "Wh",
                "scaler": 0,
            }
        ]
        truth.close()


def test_after_a_restart_lines_of_a_turn_that_never_was_are_gone(tmp_path):
    path = tmp_path / "truth.jsonl"
    store = FleetStore(tmp_path)
    truth = TruthFile(path, store)
    truth.write("M0001", [reading(1)])
    truth.flush()
    store.commit()
    truth.write("M0001", [reading(2)])
    truth.flush()
    truth.close()
    store.close()  # died between the line and the commit
    assert [line["value"] for line in lines(path)] == [1, 2]
    with FleetStore(tmp_path) as store:
        truth = TruthFile(path, store)
        truth.write("M0001", [reading(3)])
        truth.flush()
        truth.close()
    assert [line["value"] for line in lines(path)] == [1, 3]


def test_a_run_without_memory_begins_its_truth_anew(tmp_path):
    path = tmp_path / "truth.jsonl"
    path.write_text("old\n")
    with FleetStore(None) as store:
        TruthFile(path, store).close()
    assert path.read_text() == ""


def test_a_truth_file_that_cannot_be_written_is_refused(tmp_path):
    with FleetStore(None) as store, pytest.raises(ConfigError, match="truth"):
        TruthFile(tmp_path / "no" / "folder.jsonl", store)


def test_without_a_path_nothing_is_written():
    with FleetStore(None) as store:
        truth = TruthFile(None, store)
        truth.write("M0001", [reading(1)])
        truth.flush()
        truth.close()
