"""Whose files are run, what is no file, what is left of killed processes, and how much there may be."""

from __future__ import annotations

import os
import warnings

import pytest

from scancc.backends import disk_cache
from scancc.errors import CacheWarning

PAYLOAD = b"code" * 256


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SCANCC_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setattr(disk_cache, "_warned", set())
    monkeypatch.setattr(disk_cache, "_bound", disk_cache._Bound())
    disk_cache.store("a", PAYLOAD)
    return tmp_path / "kernels"


def not_used(match):
    with pytest.warns(CacheWarning, match=match):
        assert disk_cache.load("a") is None
    with warnings.catch_warnings():  # said once
        warnings.simplefilter("error")
        assert disk_cache.load("a") is None


def test_own_files_are_used(folder):
    assert disk_cache.load("a") == PAYLOAD and disk_cache.load("b") is None


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
def test_a_file_that_others_may_write_to(folder, mode):
    (folder / "a.kernel").chmod(mode)
    not_used("others may write")


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777, 0o702])
def test_a_directory_that_others_may_write_to(folder, mode):
    folder.chmod(mode)
    not_used("others may write")
    before = sorted(folder.iterdir())
    disk_cache.store("b", PAYLOAD)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_belongs_to_another_user(folder, what, monkeypatch):
    if os.geteuid() == 0:
        os.chown(folder if what == "folder" else folder / "a.kernel", 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    not_used("another user")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "directory"])
def test_what_is_no_file(folder, make):
    (folder / "a.kernel").unlink()
    make(folder / "a.kernel")
    not_used("no file")
    disk_cache.clear()


def test_a_link_is_not_followed(folder):
    (folder / "a.kernel").rename(folder / "other")
    (folder / "a.kernel").symlink_to(folder / "other")
    assert disk_cache.load("a") is None


@pytest.mark.parametrize("length", [0, 5, disk_cache.DIGEST, disk_cache.DIGEST + 9])
def test_files_that_end_early(folder, length):
    (folder / "a.kernel").write_bytes((folder / "a.kernel").read_bytes()[:length])
    not_used("damaged")


def test_what_a_killed_process_left_is_cleared(folder):
    (folder / "tmp123.tmp").write_bytes(b"half")
    assert disk_cache.clear() == (2, disk_cache.DIGEST + len(PAYLOAD) + 4)
    assert not list(folder.iterdir())


def test_old_kernels_make_room_for_new_ones(folder, monkeypatch):
    each = disk_cache.DIGEST + len(PAYLOAD)
    monkeypatch.setenv("SCANCC_CACHE_SIZE", str(10 * each))
    for k in range(30):
        disk_cache.store(f"k{k:02}", PAYLOAD)
        os.utime(folder / f"k{k:02}.kernel", (1000 + k, 1000 + k))
        if k > 3:
            assert disk_cache.load("k03") == PAYLOAD  # what is used stays
        assert sum(p.stat().st_size for p in disk_cache.files()) <= 10 * each
    assert disk_cache.load("k29") == PAYLOAD and disk_cache.load("k10") is None


def test_what_nobody_finishes_goes_when_there_is_no_room(folder, monkeypatch):
    old, new = folder / "old.tmp", folder / "new.tmp"
    for path, age in ((old, 7200), (new, 0)):
        path.write_bytes(b"half")
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    monkeypatch.setattr(disk_cache, "_bound", disk_cache._Bound())
    disk_cache.store("b", PAYLOAD)
    assert new.exists() and not old.exists()
