"""One writer at a time for a directory or a file: a lock that dies with its process."""

import contextlib
import datetime
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

NAME = ".lock"  # in a directory that is held
# A process that was killed keeps its locks until its memory is given back, and one that
# has just taken a lock has yet to write down who it is.
SECONDS = 1.0


class InUseError(OSError):
    """Another process writes there."""


class Held:
    """A lock that this process has."""

    def __init__(self, lock: Path, what: Path):
        self.lock, self.what, self.file = lock, what, _identity(lock)

    def check(self) -> None:
        """Raise `InUseError` if what is locked was deleted or replaced since.

        The lock is then on a file that nobody else finds, and protects nothing.
        """
        if _identity(self.lock) != self.file:
            raise InUseError(
                f"{self.what} was deleted, moved or replaced while this process wrote "
                "to it. Nothing more is written there."
            )


@contextlib.contextmanager
def held(what: Path | str) -> Iterator[Held]:
    """Keep every other process from writing to a directory or a file.

    The kernel holds the lock (`flock`, on Windows `LockFileEx`) and lets go of it when
    the process ends, however it ends. The lock's file stays: whoever deletes one can
    take away what another process has just locked. Beside it a file of JSON says who
    holds the lock, for the message of those that are refused; it decides nothing.

    On a network file system the lock holds between hosts where `flock` does: NFS with
    its lock service (the usual mount, not `local_lock` or `nolock`), Lustre with
    `flock`. Elsewhere it holds among the processes of one host.

    Args:
        what: an existing directory, or a file, which may not exist yet.

    Yields:
        What can tell later whether the lock still protects anything.

    Raises:
        InUseError: another process has it, or took it a moment ago.
        OSError: the lock's file cannot be made.
    """
    what = Path(what)
    path = lock_of(what)
    lock = FileLock(path, timeout=SECONDS)
    try:
        lock.acquire()
    except Timeout:
        raise InUseError(f"{what} is in use by {_owner(path)}.") from None
    try:
        with contextlib.suppress(OSError):  # a full disk is told where it matters
            _owner_file(path).write_text(json.dumps(_this_process()) + "\n", "utf-8")
        yield Held(path, what)
    finally:
        with contextlib.suppress(OSError):
            _owner_file(path).unlink(missing_ok=True)
        lock.release()


def lock_of(what: Path) -> Path:
    """The file whose lock protects a directory or a file."""
    return what / NAME if what.is_dir() else what.with_name(f".{what.name}{NAME}")


def files_at(lock: Path) -> tuple[Path, Path]:
    """What `held` leaves: the file of the lock, and who has it."""
    return lock, _owner_file(lock)


def _owner_file(lock: Path) -> Path:
    return lock.with_name(f"{lock.name}.json")


def _this_process() -> dict[str, int | str]:
    now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    return {"process": os.getpid(), "host": socket.gethostname(), "since": now}


def _owner(lock: Path) -> str:
    try:
        owner = json.loads(_owner_file(lock).read_text("utf-8"))
        return f"process {owner['process']} on {owner['host']} since {owner['since']}"
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return "another process"


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
