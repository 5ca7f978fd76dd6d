"""The spool: files on this host's disk that hold each hit until it is stored in PostgreSQL.

A line is one `write` to a file opened for appending: it is in the kernel's hands before the hit is answered, so killing the
process (-9) loses nothing. It is not fsynced: a machine that loses its power may lose the last seconds from the file, while
Redis, usually elsewhere, has them. A last line without its end was never answered; it is left out.

    <pid>-<random>.<life>.<mark>.hits
    life   of the Redis that has all lines (tracking/stream.py); "none" = Redis does not have all of them
    mark   "open", or the id of the last hit that waited in the stream when everything of this file was in it

A process holds the lock (flock) of the file it writes; the kernel lets go of it however the process ends.
"""

import fcntl
import logging
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from time import monotonic

logger = logging.getLogger(__name__)

NONE, OPEN = "none", "open"
SUFFIX = ".hits"
LONGEST = 5.0  # seconds that one file is written to
BIGGEST = 8 * 1024 * 1024
_NAME = re.compile(r"[^.]+\.\w+\.(?:open|[0-9]+-[0-9]+)\.hits")
AWAY = 5.0  # seconds until a disk that refused is tried again


class Segment:
    """A file that is being written. `users` are hits in it whose way to Redis is not settled yet."""

    def __init__(self, folder: Path, life: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._stem = f"{os.getpid()}-{secrets.token_hex(4)}"
        self.path = folder / f"{self._stem}.{life}.{OPEN}{SUFFIX}"
        self.file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self.file, fcntl.LOCK_EX)
        self.life, self.size, self.users, self.retired = life, 0, 0, False
        self.until = monotonic() + LONGEST

    def unsent(self) -> None:
        """A line of it is not in Redis."""
        if self.life != NONE:
            path = self.path.with_name(f"{self._stem}.{NONE}.{OPEN}{SUFFIX}")
            os.rename(self.path, path)
            self.path, self.life = path, NONE

    def close(self) -> None:
        os.close(self.file)


class Journal:
    """Of one process; any number of threads. Files are short-lived: a new one every few seconds."""

    def __init__(self, folder: str) -> None:
        self.place = os.getpid(), folder
        self.folder = Path(folder)
        self._lock = Lock()
        self._current: Segment | None = None
        self._away_until = 0.0

    def append(self, line: bytes, *, life: str) -> Segment | None:
        """Writes a hit. None when the disk refuses; otherwise `done` must be called with the segment. `life` names the Redis
        that was seen last ("none" = it is away): the name of a new file."""
        line += b"\n"
        with self._lock:
            segment = self._usable(life)
            if segment is None:
                return None
            try:
                written = os.write(segment.file, line)
            except OSError as error:
                self._refused(error)
                return None
            segment.size += written
            if written < len(line):  # the disk is full. Half a line ends this file
                self._refused(OSError(f"{written} of {len(line)} bytes were written"))
                return None
            segment.users += 1
            return segment

    def done(self, segment: Segment, *, sent: bool) -> bool:
        """The hit is in Redis, or it is not and this file holds it alone. Whether it is safe: False when the folder is gone."""
        with self._lock:
            try:
                if not sent:
                    segment.unsent()
            except OSError as error:
                logger.error("the spool %s has lost a file: %s", self.folder, error)
                return False
            finally:
                segment.users -= 1
                if segment.retired and segment.users == 0:
                    segment.close()
        return True

    def retire(self, *, older_than: float | None = None) -> None:
        """Nobody writes to the file any more once its last user is done; by default whatever its age."""
        with self._lock:
            segment = self._current
            if segment is not None and (older_than is None or segment.until <= older_than):
                self._retire()

    def _usable(self, life: str) -> Segment | None:
        if self._current is not None and (self._current.until <= monotonic() or self._current.size > BIGGEST):
            self._retire()
        if self._current is None:
            if monotonic() < self._away_until:
                return None
            try:
                self._current = Segment(self.folder, life)
            except OSError as error:
                self._refused(error)
        return self._current

    def _refused(self, error: OSError) -> None:
        logger.error("the spool %s takes no hits: %s", self.folder, error)
        self._away_until = monotonic() + AWAY
        self._retire()

    def _retire(self) -> None:
        segment, self._current = self._current, None
        if segment is not None:
            segment.retired = True
            if segment.users == 0:
                segment.close()


class Closed:
    """A file that nobody writes any more, held alone by whoever settles it."""

    def __init__(self, path: Path, file: int) -> None:
        self.path, self.file = path, file
        self._stem, self.life, self.mark = path.name.removesuffix(SUFFIX).split(".")

    def lines(self) -> list[bytes]:
        """Whole ones."""
        with os.fdopen(os.dup(self.file), "rb") as content:
            content.seek(0)
            *lines, half = content.read().split(b"\n")
        if half:
            logger.warning("%s ends in half a line of %s bytes: never answered", self.path.name, len(half))
        return [line for line in lines if line]

    def now(self, *, life: str, mark: str) -> None:
        """All of it is in the stream of this life, up to this id."""
        self.life, self.mark = life, mark
        path = self.path.with_name(f"{self._stem}.{life}.{mark}{SUFFIX}")
        os.rename(self.path, path)
        self.path = path

    def remove(self) -> None:
        """All of it is stored."""
        os.unlink(self.path)


def files(folder: Path) -> list[Path]:
    """Oldest first; [] when there is no such folder."""
    try:
        found = [Path(entry.path) for entry in os.scandir(folder) if _NAME.fullmatch(entry.name)]
    except FileNotFoundError:
        return []
    return sorted(found, key=_age)


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


@contextmanager
def closed(path: Path) -> Iterator[Closed | None]:
    """Holds this file alone. None when it is being written, held by somebody else, renamed or gone."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield None
        return
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            same = os.stat(path).st_ino == os.fstat(file).st_ino
        except (BlockingIOError, FileNotFoundError):
            same = False
        yield Closed(path, file) if same else None
    finally:
        os.close(file)
