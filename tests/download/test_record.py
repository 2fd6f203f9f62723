"""What is remembered of files that nobody gave hashes of."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import pytest

from netcompile.diagnostics.diagnostic import NetError
from netcompile.download import record as module
from netcompile.download.record import NAME, Fetched, record, recorded
from netcompile.files.locks import try_lock

ROW = Fetched("net", "http://127.0.0.1/w", 5, "1" * 40, "2" * 64)


def test_a_file_is_remembered_for_its_net(tmp_path: Path) -> None:
    record(str(tmp_path), "w", ROW)
    assert recorded(str(tmp_path), "w", "net") == ROW
    assert recorded(str(tmp_path), "w", "other") is None
    assert recorded(str(tmp_path), "v", "net") is None


@pytest.mark.parametrize("name", ["é", "a b", 'a"b', "\\", "\udcff", "\u202e"])
def test_names_of_any_kind(tmp_path: Path, name: str) -> None:
    record(str(tmp_path), name, ROW)
    assert recorded(str(tmp_path), name, "net") == ROW


def test_runs_at_once_lose_nothing(tmp_path: Path) -> None:
    threads = [Thread(target=record, args=(str(tmp_path), str(index), ROW)) for index in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(recorded(str(tmp_path), str(index), "net") == ROW for index in range(20))
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_another_run_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        if not try_lock(descriptor):
            pytest.skip("no locks here")
        with pytest.raises(NetError, match="another run is writing to"):
            record(str(tmp_path), "w", ROW)
    finally:
        os.close(descriptor)
    record(str(tmp_path), "w", ROW)
