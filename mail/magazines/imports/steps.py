"""An import's way: upload, check, commit, undo, cancel. Each step is one transaction: killed anywhere, it leaves nothing or
everything, and the tick takes it up again (as leads/imports/steps.py).

    uploaded → checking → checked → committing → done → undoing → undone
                  ↘ failed    ↘ cancelled     (a commit that finds other groups than the check → checked again)

Two workers at one import: a transaction-wide advisory lock lets one in. Commits and undos of all magazines wait for each
other, so that two files do not make the same person a lead twice.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from leads.imports.columns import Column
from leads.imports.problems import FileProblem
from leads.imports.pulse import CancelledError, Pulse
from leads.imports.read import recognise, rows_of
from mail.hints import hint
from mail.magazines.imports import undoing
from mail.magazines.imports.columns import understand_header
from mail.magazines.imports.judge import judge
from mail.magazines.imports.stage import ReaderStager, refuse_too_many
from mail.magazines.imports.write import write
from mail.magazines.locks import hold
from mail.models import Magazine, ReaderImport, ReaderImportRow
from settings import audit
from settings.models import User

log = logging.getLogger(__name__)

MEGABYTE = 1 << 20
MOST_MEGABYTES = 50  # the file is one value of one row
QUIET = timedelta(minutes=1)  # a step without a beat for so long has no worker any more
KEPT = timedelta(days=30)  # how long an import can be taken back, and its file and rows are kept
_LOCK = 0x4EAD  # class of the advisory locks; the object is the import's id, 0 for whoever writes
State = ReaderImport.State
Group = ReaderImportRow.Group


# ── the file ───────────────────────────────────────────────────────────────────────────────────────────────────────


def upload(
    blocks: Iterable[bytes], *, magazine: Magazine, file_name: str, evidence: str, user: User | None
) -> ReaderImport:
    """Stores the file. ValidationError if it is too large or empty, or the magazine is archived."""
    if magazine.archived_at is not None:
        raise ValidationError(_("This magazine is archived."))
    content = bytearray()
    for block in blocks:
        content += block
        if len(content) > MOST_MEGABYTES * MEGABYTE:
            raise ValidationError(
                _("The file is larger than %(limit)s MB. Split it into several files."),
                params={"limit": MOST_MEGABYTES},
            )
    if not content:
        raise ValidationError(
            _("The file is empty. Choose a file with a header row and at least one row below it.")
        )
    name = file_name.replace("\0", "").replace("\\", "/").rsplit("/", 1)[-1][-255:]
    return ReaderImport.objects.create(
        magazine=magazine, file_name=name or "import.csv", content=bytes(content), blacklist=magazine.blacklist,
        evidence=evidence, created_by=user,
    )  # fmt: skip


def file_blocks(reader_import_id: int) -> Callable[[], Iterator[bytes]]:
    """The stored file from its beginning, in pieces of a megabyte, however often it is asked for."""
    content = memoryview(ReaderImport.objects.values_list("content", flat=True).get(pk=reader_import_id))

    def blocks() -> Iterator[bytes]:
        for start in range(0, len(content), MEGABYTE):
            yield bytes(content[start : start + MEGABYTE])

    return blocks


def current_state(reader_import_id: int) -> ReaderImport:
    """Without the file itself."""
    return ReaderImport.objects.defer("content").get(pk=reader_import_id)


def columns_of(reader_import: ReaderImport) -> list[Column]:
    return [Column.from_json(stored) for stored in reader_import.columns]


# ── check ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def check(reader_import: ReaderImport) -> None:
    """The dry run: reads the file, stages its rows and judges them; nothing else changes. → checked or failed."""
    _step(reader_import, State.CHECKING, {State.UPLOADED, State.CHECKING}, _check)


def _check(reader_import: ReaderImport, pulse: Pulse) -> None:
    ReaderImportRow.objects.filter(reader_import=reader_import).delete()
    magazine = reader_import.magazine
    blocks = file_blocks(reader_import.pk)
    found = recognise(blocks)
    pulse.rows = found.lines
    refuse_too_many(blocks, found)
    rows = rows_of(blocks, found)
    columns = understand_header(next(rows, []), magazine.items.filter(retired_at=None))
    stager = ReaderStager(reader_import, columns, now=timezone.now())
    line = 2
    while taken := stager.stage(rows, line):
        line += taken
        pulse.beat(line)
    if not stager.rows:
        raise FileProblem("no_rows")
    stager.end()
    counts = judge(reader_import, magazine)
    changed = _mine(reader_import, State.UPLOADED, State.CHECKING).update(
        state=State.CHECKED, encoding=found.encoding, columns=[column.as_json() for column in columns],
        rows=stager.rows, progress=stager.rows, counts=counts, blacklist=magazine.blacklist, error=None,
        heartbeat_at=timezone.now(),
    )  # fmt: skip
    if not changed:
        raise CancelledError


# ── commit ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def writes(counts: dict[str, Any]) -> int:
    """How many readers a commit would make or change, or did."""
    return sum(int(counts.get(group, 0)) for group in (Group.NEW, Group.UPDATED, Group.TURNED))


def request_commit(
    reader_import: ReaderImport, *, skip_malformed: bool, turn: bool, user: User | None, now: datetime
) -> bool:
    """checked → committing, once: False if somebody else was quicker. ValidationError says why it cannot be committed.
    `turn`: whoever asks has seen that readers who had left will be mailed again (MAG-9, the blacklist is off)."""
    counts = reader_import.counts
    problems = []
    if not writes(counts):
        problems.append(_("There is nothing to import."))
    elif counts[Group.MALFORMED] and not skip_malformed:
        problems.append(
            _(
                "%(count)s rows are malformed, so nothing was imported. Correct the file, or choose to leave them out."
            )
            % {"count": counts[Group.MALFORMED]}
        )
    if counts[Group.TURNED] and not turn:
        problems.append(
            _(
                "%(count)s readers to whom delivery was stopped would be mailed again. Tick the box if you want that."
            )
            % {"count": counts[Group.TURNED]}
        )
    if problems:
        raise ValidationError(problems)
    changed = ReaderImport.objects.filter(pk=reader_import.pk, state=State.CHECKED, counts=counts).update(
        state=State.COMMITTING, changed_since=False, progress=0, heartbeat_at=now, created_by=user
    )
    reader_import.refresh_from_db(fields=["state", "created_by", "changed_since", "progress", "heartbeat_at"])
    return bool(changed)


def commit(reader_import: ReaderImport) -> None:
    """Writes the checked rows, all of them or none. What changed since the check is looked at again inside the
    transaction: with other groups it goes back to checked and shows them. → done or checked."""
    _step(reader_import, State.COMMITTING, {State.COMMITTING}, _commit)


def _commit(reader_import: ReaderImport, pulse: Pulse) -> None:
    now = timezone.now()
    mine = _mine(reader_import, State.COMMITTING)
    _one_at_a_time()
    magazine = hold(reader_import.magazine_id, alone=True)
    if magazine.archived_at is not None:
        raise FileProblem("archived")
    if not _items_are_as_they_were(reader_import, magazine):
        mine.update(state=State.UPLOADED, changed_since=True, progress=0, heartbeat_at=None)
        return
    _lock_people(reader_import)
    pulse.beat(0)
    counts = judge(reader_import, magazine)
    if counts["digest"] != reader_import.counts["digest"]:
        mine.update(state=State.CHECKED, counts=counts, blacklist=magazine.blacklist, changed_since=True)
        return
    write(reader_import, magazine, now=now, beat=pulse.beat)
    mine.update(
        state=State.DONE,
        counts=counts,
        progress=reader_import.rows,
        committed_at=now,
        finished_at=timezone.now(),
    )
    audit.record(
        "reader_import.commit",
        user=reader_import.created_by,
        target=reader_import,
        detail={
            "magazine": magazine.name, "evidence": reader_import.evidence, "blacklist": magazine.blacklist,
            **{group.value: counts[group] for group in Group},
        },
    )  # fmt: skip


def _lock_people(reader_import: ReaderImport) -> None:
    """The leads the rows mean, and their readers, by id (docs/architecture.md), so that nothing changes between judging and
    writing."""
    norms = (
        "SELECT address_norm FROM mail_readerimportrow WHERE reader_import_id = %(id)s AND problems IS NULL"
    )
    leads = f"SELECT id FROM leads_lead WHERE deleted_at IS NULL AND email_norm IN ({norms})"
    readers = f"SELECT id FROM mail_reader WHERE magazine_id = %(magazine)s AND lead_id IN ({leads})"
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL work_mem = '64MB'")
        parameters = {"id": reader_import.pk, "magazine": reader_import.magazine_id}
        cursor.execute(f"SELECT count(*) FROM ({leads} ORDER BY id FOR SHARE) locked", parameters)
        cursor.execute(f"SELECT count(*) FROM ({readers} ORDER BY id FOR NO KEY UPDATE) locked", parameters)


def _items_are_as_they_were(reader_import: ReaderImport, magazine: Magazine) -> bool:
    stored = {
        f"extra:{item.pk}": (item.type, tuple(item.choices))
        for item in magazine.items.filter(retired_at=None)
    }
    return all(
        stored.get(column.target) == (column.type, column.choices)
        for column in columns_of(reader_import)
        if column.extra_key
    )


# ── undo, cancel ───────────────────────────────────────────────────────────────────────────────────────────────────


def can_be_undone(reader_import: ReaderImport, *, now: datetime) -> bool:
    return (
        reader_import.state == State.DONE
        and reader_import.committed_at is not None
        and reader_import.committed_at > now - KEPT
    )


def request_undo(reader_import: ReaderImport, *, user: User | None, now: datetime) -> bool:
    """done → undoing, once. ValidationError when it is too late."""
    if reader_import.state == State.DONE and not can_be_undone(reader_import, now=now):
        raise ValidationError(_("An import can be taken back for 30 days."))
    changed = ReaderImport.objects.filter(pk=reader_import.pk, state=State.DONE).update(
        state=State.UNDOING, progress=0, heartbeat_at=now, undone_by=user
    )
    reader_import.refresh_from_db(fields=["state", "undone_by", "progress", "heartbeat_at"])
    return bool(changed)


def undo(reader_import: ReaderImport) -> None:
    """Takes back what the import did and nobody changed since, all of it or nothing. → undone."""
    _step(reader_import, State.UNDOING, {State.UNDOING}, _undo)


def _undo(reader_import: ReaderImport, pulse: Pulse) -> None:
    now = timezone.now()
    _one_at_a_time()
    magazine = hold(reader_import.magazine_id, alone=True)
    _lock_people(reader_import)
    result = undoing.take_back(reader_import, magazine, now=now, beat=lambda: pulse.beat(reader_import.rows))
    _mine(reader_import, State.UNDOING).update(
        state=State.UNDONE,
        undone_at=now,
        progress=reader_import.rows,
        counts=reader_import.counts | {"undone": result},
    )
    audit.record(
        "reader_import.undo",
        user=reader_import.undone_by,
        target=reader_import,
        detail={"magazine": magazine.name, **result},
    )


def cancel(reader_import: ReaderImport, *, user: User | None) -> bool:
    """Before the commit only. False if it is too late."""
    with transaction.atomic():
        changed = _mine(reader_import, State.UPLOADED, State.CHECKING, State.CHECKED).update(
            state=State.CANCELLED, finished_at=timezone.now()
        )
        if changed:
            audit.record("reader_import.cancel", user=user, target=reader_import)
    return bool(changed)


# ── who works, and does somebody ───────────────────────────────────────────────────────────────────────────────────


def _mine(reader_import: ReaderImport, *states: str) -> Any:
    return ReaderImport.objects.filter(pk=reader_import.pk, state__in=states)


def _step(
    reader_import: ReaderImport,
    state: str,
    before: set[State],
    work: Callable[[ReaderImport, Pulse], None],
) -> None:
    try:
        with transaction.atomic(), Pulse(ReaderImport, reader_import.pk, state) as pulse:
            if not _alone(reader_import.pk):
                return
            current = current_state(reader_import.pk)
            if current.state in before and pulse.start(before):
                work(current, pulse)
    except FileProblem as problem:
        _fail(reader_import.pk, problem.code, problem.params)
    except (OperationalError, InterfaceError):
        raise  # the database went away, and nothing was written: the tick takes the import up again
    except CancelledError:
        return
    except Exception:
        log.exception("import of readers %s: %s failed", reader_import.pk, state)
        _fail(reader_import.pk, "unexpected", {})
        raise


def _alone(reader_import_id: int) -> bool:
    """One worker an import, until its transaction ends, however it ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [_LOCK, reader_import_id])
        return bool(cursor.fetchone()[0])


def _one_at_a_time() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [_LOCK])


def _fail(reader_import_id: int, code: str, params: dict[str, Any]) -> None:
    """An undo that fails leaves the import as it was: done."""
    rows = ReaderImport.objects.filter(pk=reader_import_id)
    error = {"code": code, "params": params}
    if not rows.filter(state=State.UNDOING).update(state=State.DONE, error=error):
        rows.filter(state__in=ReaderImport.RUNNING).update(
            state=State.FAILED, error=error, finished_at=timezone.now()
        )


def run(reader_import_id: int) -> None:
    """Whatever the import's next step is; nothing if somebody else is at it or did it."""
    reader_import = ReaderImport.objects.defer("content").filter(pk=reader_import_id).first()
    if reader_import is None:
        return
    if reader_import.state == State.UNDOING:
        undo(reader_import)
    if reader_import.state == State.COMMITTING:
        commit(reader_import)
        reader_import = current_state(reader_import_id)  # other items than at the check: it is checked again
    if reader_import.state in {State.UPLOADED, State.CHECKING}:
        check(reader_import)


def kick(reader_import_id: int) -> None:
    """Starts the next step at once instead of at a later tick."""
    hint("mail.tasks.run_reader_import", reader_import_id)


def take_up(now: datetime) -> int:
    """For the tick: starts imports that have no worker, each at most once a minute; the number started."""
    quiet = ReaderImport.objects.filter(state__in=ReaderImport.RUNNING).exclude(heartbeat_at__gt=now - QUIET)
    taken = [
        pk
        for pk, state in quiet.values_list("pk", "state")
        if quiet.filter(pk=pk, state=state).update(heartbeat_at=now)
    ]
    for pk in taken:
        kick(pk)
    return len(taken)


def forget_old_files(now: datetime) -> None:
    """Files and staged rows hold personal data; they go 30 days after the import ended. What it did stays in the readers'
    histories, its counts here. One that nobody committed is cancelled by then."""
    ReaderImport.objects.filter(state=State.CHECKED, heartbeat_at__lt=now - KEPT).update(
        state=State.CANCELLED, finished_at=now
    )
    ended = {State.DONE, State.FAILED, State.CANCELLED, State.UNDONE}
    old = ReaderImport.objects.filter(state__in=ended, finished_at__lt=now - KEPT).exclude(content=b"")
    for pk in list(old.values_list("pk", flat=True)[:20]):
        ReaderImportRow.objects.filter(reader_import=pk).delete()
        ReaderImport.objects.filter(pk=pk).update(content=b"")
