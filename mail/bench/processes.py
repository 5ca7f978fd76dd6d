"""What processes of this machine used, read from /proc."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of one process so far; 0 when it is gone."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS if fields else 0.0


def resident_mb(pid: int) -> float:
    """Memory in use now; 0 when the process is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def parent_of(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def cpu_seconds_of_family(pid: int) -> float:
    """Of a process, of its children, and of those it had and buried."""
    fields = _stat(pid)
    if not fields:
        return 0.0
    total = sum(map(int, fields[11:15])) / _TICKS
    for other in Path("/proc").iterdir():
        if other.name.isdigit() and parent_of(int(other.name)) == pid:
            total += cpu_seconds(int(other.name))
    return total


def postmaster(backend: int) -> int | None:
    """The server of this database session, or None when it runs on another machine."""
    try:
        name = Path(f"/proc/{backend}/comm").read_text().strip()
    except OSError:
        return None
    return parent_of(backend) if name.startswith("postgres") else None


def _stat(pid: int) -> list[str]:
    """/proc/<pid>/stat from the third field (state) on: the second, the name, may hold spaces."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
