"""What waits to be stored, for `manage.py doctor`."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from tracking import journal, spool, stream
from tracking.models import RefusedHit


@dataclass(frozen=True)
class Waiting:
    in_stream: int
    oldest: datetime | None  # of those in the stream
    files: int  # of this host's spool; the newest is always being written
    bytes: int
    oldest_file: datetime | None
    refused: int
    lost: int  # answered and kept nowhere, since Redis was last emptied


def waiting() -> Waiting:
    """Raises stream.AWAY_ERRORS, and OSError for a spool that cannot be read."""
    seen = stream.look()
    found = []
    for path in journal.files(spool.folder()):
        with suppress(FileNotFoundError):  # settled meanwhile
            found.append(path.stat())
    oldest = min((one.st_mtime for one in found), default=None)
    return Waiting(
        in_stream=seen.length,
        oldest=None if seen.oldest is None else _time(stream.id_key(seen.oldest)[0] / 1000),
        files=len(found),
        bytes=sum(one.st_size for one in found),
        oldest_file=None if oldest is None else _time(oldest),
        refused=RefusedHit.objects.count(),
        lost=int(stream.client().get(spool.LOST_KEY) or 0),
    )


def _time(stamp: float) -> datetime:
    return datetime.fromtimestamp(stamp, UTC)
