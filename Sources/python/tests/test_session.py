from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from voltlane import FileStore, InvalidKeyError, Session, SessionInUseError, SessionStoreError

SESSION = Session(0xFEEDFACECAFEBEEF, bytes(range(32)), b"\x02" + bytes(range(32)))


def test_a_session_survives_its_file(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "ada.session")
    assert store.load() is None
    store.save(SESSION)
    assert store.load() == SESSION
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["ada.session"]
    store.clear()
    assert store.load() is None
    store.clear()


def test_the_text_is_that_of_voltlane_connect() -> None:
    assert SESSION.to_text() == (
        "voltlane session 1\n"
        "client-id feedfacecafebeef\n"
        f"secret-key {bytes(range(32)).hex()}\n"
        f"relay-key 02{bytes(range(32)).hex()}\n"
    )
    assert Session.from_text(SESSION.to_text()) == SESSION


def test_the_secret_key_is_in_no_log() -> None:
    assert "secret" not in repr(SESSION)
    assert bytes(range(32)).hex() not in repr(SESSION)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("session 1", "session 2", "line 1: 'voltlane session 1' expected"),
        ("client-id feed", "client-id zeed", "line 2: client-id has not 16 hexadecimal digits"),
        ("client-id feed", "client-id fe", "line 2: client-id has not 16 hexadecimal digits"),
        ("secret-key", "secret", "line 3: 'secret-key' and 64 hexadecimal digits expected"),
        ("relay-key 02", "relay-key 02 ", "line 4: 'relay-key' and 66"),
        ("1e1f\nrelay", "1e1f\nmore\nrelay", "line 4"),
        ("\nrelay-key", " ", "line 3"),
    ],
)
def test_files_that_hold_no_session(tmp_path: Path, old: str, new: str, problem: str) -> None:
    store = FileStore(tmp_path / "session")
    store.save(SESSION)
    text = store.path.read_text()
    assert old in text
    store.path.write_text(text.replace(old, new))
    with pytest.raises(SessionStoreError, match=problem) as caught:
        store.load()
    assert str(store.path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"voltlane session 1\n", bytes(100_000)])
def test_other_files_are_no_sessions(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "session").write_bytes(content)
    with pytest.raises(SessionStoreError, match="holds no session"):
        FileStore(tmp_path / "session").load()


def test_a_session_that_others_can_read_is_refused(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "session")
    store.save(SESSION)
    store.path.chmod(0o640)
    with pytest.raises(SessionStoreError, match="chmod 600"):
        store.load()


def test_a_link_and_a_folder_are_refused(tmp_path: Path) -> None:
    FileStore(tmp_path / "session").save(SESSION)
    (tmp_path / "link").symlink_to(tmp_path / "session")
    with pytest.raises(SessionStoreError, match="cannot read the session file"):
        FileStore(tmp_path / "link").load()
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(SessionStoreError, match="is no regular file"):
            FileStore(path).load()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "nowhere" / "session")
    with pytest.raises(SessionStoreError, match="No such file or directory"):
        store.save(SESSION)
    with pytest.raises(SessionStoreError, match="cannot open the lock"):
        store.acquire()


def test_one_client_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "session"
    first, second = FileStore(path), FileStore(path)
    first.acquire()
    with pytest.raises(SessionInUseError, match="is in use by another client"):
        second.acquire()
    other = f"import voltlane; voltlane.FileStore({str(path)!r}).acquire()"
    process = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=False)
    assert "SessionInUseError" in process.stderr
    first.release()
    second.acquire()
    second.release()
    second.release()


def test_a_process_that_dies_gives_the_session_back(tmp_path: Path) -> None:
    path = tmp_path / "session"
    script = f"import os, voltlane; voltlane.FileStore({str(path)!r}).acquire(); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    store = FileStore(path)
    store.acquire()
    store.release()


def test_a_save_that_fails_leaves_the_old_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(tmp_path / "session")
    store.save(SESSION)

    def fail(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(SessionStoreError, match="No space left on device"):
        store.save(Session(1, SESSION.secret_key, SESSION.relay_key))
    assert store.load() == SESSION
    assert [entry.name for entry in tmp_path.iterdir()] == ["session"]


def test_fields_of_a_session() -> None:
    with pytest.raises(InvalidKeyError, match="secret_key: 31 bytes; 32 expected"):
        Session(1, bytes(31), bytes(33))
    with pytest.raises(InvalidKeyError, match="relay_key: 32 bytes; 33 expected"):
        Session(1, bytes(32), bytes(32))
    with pytest.raises(ValueError, match="client_id: -1"):
        Session(-1, bytes(32), bytes(33))
    with pytest.raises(TypeError, match="relay_key: str given"):
        Session(1, bytes(32), "02")  # type: ignore[arg-type]
