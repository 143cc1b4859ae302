"""A client's session, and where it is kept over a restart of the program."""

from __future__ import annotations

import os
import secrets
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .errors import InvalidKeyError, SessionInUseError, SessionStoreError, describe
from .wire import check_client_id, client_id_text

_TITLE = "voltlane session 1"
# More than a session takes, in bytes.
_LARGEST = 1024


@dataclass(frozen=True)
class Session:
    """All that a client needs to come back as itself, even from another process.

    **Secret**: anyone who has it can take over the session. Its ``repr`` leaves the secret key out; its text does not.
    """

    #: The name that the relay gave to the client.
    client_id: int
    #: The client's secret key: 32 bytes.
    secret_key: bytes = field(repr=False)
    #: The relay's public key: 33 bytes, SEC1 compressed.
    relay_key: bytes

    def __post_init__(self) -> None:
        check_client_id(self.client_id)
        for name, count in (("secret_key", 32), ("relay_key", 33)):
            value = getattr(self, name)
            if not isinstance(value, bytes):
                raise TypeError(f"{name}: {type(value).__name__} given; bytes expected")
            if len(value) != count:
                raise InvalidKeyError(f"{name}: {len(value)} bytes; {count} expected")

    def to_text(self) -> str:
        """Four lines, as ``voltlane-connect --session`` keeps them."""
        return (
            f"{_TITLE}\nclient-id {client_id_text(self.client_id)}\nsecret-key {self.secret_key.hex()}\n"
            f"relay-key {self.relay_key.hex()}\n"
        )

    @classmethod
    def from_text(cls, text: str) -> Session:
        """Reads what :meth:`to_text` wrote. Raises ``ValueError`` with the line that is wrong."""
        lines = text.splitlines()
        if not lines or lines[0] != _TITLE:
            raise ValueError(f"line 1: {_TITLE!r} expected")
        values = []
        for number, (name, count) in enumerate((("client-id", 8), ("secret-key", 32), ("relay-key", 33)), 2):
            words = lines[number - 1].split(" ") if len(lines) >= number else []
            if len(words) != 2 or words[0] != name:
                raise ValueError(f"line {number}: {name!r} and {2 * count} hexadecimal digits expected")
            try:
                value = bytes.fromhex(words[1])
            except ValueError:
                value = b""
            if len(value) != count or len(words[1]) != 2 * count:
                raise ValueError(f"line {number}: {name} has not {2 * count} hexadecimal digits")
            values.append(value)
        if len(lines) > 4:
            raise ValueError("line 5: nothing expected")
        return cls(int.from_bytes(values[0], "big"), values[1], values[2])


class SessionStore(Protocol):
    """Where :meth:`voltlane.Client.open` keeps a session. The methods are short and may block."""

    def acquire(self) -> None:
        """Takes the session for this process; raises :class:`voltlane.SessionInUseError` where another has it."""

    def release(self) -> None:
        """Gives it back. Called once for each :meth:`acquire`."""

    def load(self) -> Session | None:
        """The saved session; None where there is none."""

    def save(self, session: Session) -> None:
        """Replaces the saved session."""

    def clear(self) -> None:
        """Forgets the saved session, which is over."""


class FileStore:
    """A session kept in a file that only its owner can read, which ``voltlane-connect --session`` reads as well.

    One process at a time may use it: the lock is a file beside it, ``NAME.lock``, because saving a session replaces the
    file itself. The lock file stays: to remove it would race with whoever takes it next. On Windows, which has no
    ``flock``, nothing is locked.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock: int | None = None

    def __repr__(self) -> str:
        return f"FileStore({str(self.path)!r})"

    def acquire(self) -> None:
        """Takes the lock."""
        if sys.platform == "win32":  # pragma: no cover
            return
        import fcntl

        path = f"{self.path}.lock"
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise SessionStoreError(f"cannot open the lock {path}: {describe(error)}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if isinstance(error, BlockingIOError):
                raise SessionInUseError(
                    f"the session of {self.path} is in use by another client; give each a file of its own"
                ) from None
            raise SessionStoreError(f"cannot lock {path}: {describe(error)}") from error
        self._lock = lock

    def release(self) -> None:
        """Gives the lock back."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def load(self) -> Session | None:
        """Reads the file, which must be private to its owner."""
        # A pipe must not hold it up.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            descriptor = os.open(self.path, flags)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SessionStoreError(f"cannot read the session file {self.path}: {describe(error)}") from error
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise SessionStoreError(f"{self.path} is no regular file; give another one")
            content = os.read(descriptor, _LARGEST)
        finally:
            os.close(descriptor)
        try:
            session = Session.from_text(content.decode("ascii"))
        except (ValueError, InvalidKeyError) as error:
            raise SessionStoreError(
                f"{self.path} holds no session: {error}; give another file, or remove it to begin a new session"
            ) from None
        if sys.platform != "win32" and mode & 0o077:
            raise SessionStoreError(f"{self.path} holds a secret key, and others may read it; chmod 600 mends that")
        return session

    def save(self, session: Session) -> None:
        """Replaces the file in one step: who is interrupted has the old one or the new one."""
        new = f"{self.path}.{secrets.token_hex(8)}.new"
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:
                file.write(session.to_text().encode("ascii"))
                file.flush()
                os.fsync(descriptor)
            os.replace(new, self.path)
        except OSError as error:
            try:
                os.unlink(new)
            except OSError:
                pass
            raise SessionStoreError(f"cannot write the session file {self.path}: {describe(error)}") from error

    def clear(self) -> None:
        """Removes the file."""
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise SessionStoreError(f"cannot remove the session file {self.path}: {describe(error)}") from error
