"""An import's way: upload, check, commit, cancel. Each step is one transaction: killed anywhere, it leaves nothing or
everything, and the beat takes it up again.

    uploaded → checking → checked → committing → done
                  ↘ failed    ↘ cancelled     (a check or a commit that finds other counts → checked again)

Two workers at one import: a transaction-wide advisory lock lets one in; it is gone the moment its process is. Progress
and heartbeat are written over a connection of their own, because nobody outside sees into an open transaction.
"""

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from leads.imports.applying import (
    applier,
    campaign_of,
    judge_applications,
    lock_known_leads,
    number_new_leads,
)
from leads.imports.columns import Column, understand_header
from leads.imports.judge import judge, lock_leads
from leads.imports.problems import FileProblem
from leads.imports.pulse import CancelledError, Pulse
from leads.imports.read import recognise, rows_of
from leads.imports.stage import Stager
from leads.imports.write import write
from leads.models import LeadColumn, LeadImport, LeadImportChunk, LeadImportRow
from settings import audit
from settings.models import User

log = logging.getLogger(__name__)

MEGABYTE = 1 << 20
MOST_MEGABYTES = 1_000
QUIET = timedelta(minutes=1)  # a step without a beat for so long has no worker any more
KEPT = timedelta(days=30)  # how long a file and its rows are kept after the end; what it did stays for good
_LOCK = 0x1EAD  # class of the advisory locks; the object is the import's id
State = LeadImport.State


# ── the file ───────────────────────────────────────────────────────────────────────────────────────────────────────


def upload(
    blocks: Iterable[bytes],
    *,
    file_name: str,
    mode: str,
    key: str,
    evidence: str,
    user: User | None,
    campaign_id: int | None = None,
    tell: bool = False,
) -> LeadImport:
    """Stores the file in pieces of a megabyte. `campaign_id`: the mode it is started in; an update then finds only
    applicants of that campaign; of Mode.APPLY the campaign applied for, `tell`: by mail, too. ValidationError if it is
    too large or empty."""
    with transaction.atomic():
        lead_import = LeadImport.objects.create(
            mode=mode, key=key, evidence=evidence, created_by=user, campaign_id=campaign_id, tell=tell,
            file_name=file_name.replace("\0", "").replace("\\", "/").rsplit("/", 1)[-1][-255:] or "import.csv",
        )  # fmt: skip
        size = 0
        for number, content in enumerate(_megabytes(blocks)):
            size += len(content)
            if size > MOST_MEGABYTES * MEGABYTE:
                raise ValidationError(
                    _("The file is larger than %(limit)s MB. Split it into several files."),
                    params={"limit": MOST_MEGABYTES},
                )
            LeadImportChunk.objects.create(lead_import=lead_import, number=number, content=content)
        if not size:
            raise ValidationError(
                _("The file is empty. Choose a file with a header row and at least one row below it.")
            )
        LeadImport.objects.filter(pk=lead_import.pk).update(file_size=size)
        lead_import.file_size = size
    return lead_import


def _megabytes(blocks: Iterable[bytes]) -> Iterator[bytes]:
    waiting = bytearray()
    for block in blocks:
        waiting += block
        while len(waiting) >= MEGABYTE:
            yield bytes(waiting[:MEGABYTE])
            del waiting[:MEGABYTE]
    if waiting:
        yield bytes(waiting)


def file_blocks(lead_import: LeadImport) -> Iterator[bytes]:
    """The stored file from its beginning, one piece in memory at a time."""
    number = 0
    while True:
        content = (
            LeadImportChunk.objects.filter(lead_import=lead_import, number=number)
            .values_list("content", flat=True)
            .first()
        )
        if content is None:
            return
        yield bytes(content)
        number += 1


def columns_of(lead_import: LeadImport) -> list[Column]:
    return [Column.from_json(stored) for stored in lead_import.columns]


# ── check ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def stage_import(lead_import: LeadImport) -> None:
    """The dry run: reads the file, stages its rows and judges them; nothing else changes. → checked or failed."""
    try:
        with transaction.atomic(), Pulse(LeadImport, lead_import.pk, State.CHECKING) as pulse:
            if not _alone(lead_import.pk):
                return
            current = LeadImport.objects.get(pk=lead_import.pk)
            if current.state not in {State.UPLOADED, State.CHECKING} or not pulse.start(
                {State.UPLOADED, State.CHECKING}
            ):
                return
            _check(current, pulse)
    except FileProblem as problem:
        _fail(lead_import.pk, problem.code, problem.params)
    except (OperationalError, InterfaceError):
        raise  # the database went away: the beat takes the import up again
    except CancelledError:
        return
    except Exception:
        log.exception("import %s: the check failed", lead_import.pk)
        _fail(lead_import.pk, "unexpected", {})
        raise


def _check(lead_import: LeadImport, pulse: Pulse) -> None:
    LeadImportRow.objects.filter(lead_import=lead_import).delete()
    if lead_import.mode == LeadImport.Mode.APPLY:
        applier().check(campaign_of(lead_import))

    def blocks() -> Iterator[bytes]:
        return file_blocks(lead_import)

    found = recognise(blocks)
    pulse.rows = found.lines
    rows = rows_of(blocks, found)
    applying = lead_import.mode == LeadImport.Mode.APPLY
    columns = understand_header(
        next(rows, []),
        mode=lead_import.mode,
        key=lead_import.key,
        custom=LeadColumn.objects.all(),
        questions=applier().questions(campaign_of(lead_import)) if applying else None,
    )
    stager = Stager(lead_import, columns)
    line = 2
    first = next(rows, None)
    if first is not None and not is_item_numbers(first, columns):
        rows = _before(first, rows)
    elif first is not None:
        columns[0] = Column(**(columns[0].__dict__ | {"note": columns[0].note or "item_numbers"}))
        line = 3
    while taken := stager.stage(rows, line):
        line += taken
        pulse.beat(line)
    if not stager.rows:
        raise FileProblem("no_rows")
    counts = _judge(lead_import, columns)
    changed = LeadImport.objects.filter(pk=lead_import.pk, state__in={State.UPLOADED, State.CHECKING}).update(
        state=State.CHECKED, encoding=found.encoding, columns=[column.as_json() for column in columns],
        rows=stager.rows, progress=stager.rows, counts=counts, error=None, heartbeat_at=timezone.now(),
    )  # fmt: skip
    if not changed:
        raise CancelledError


def is_item_numbers(row: list[str], columns: list[Column]) -> bool:
    """SMP's base files have a second header row with the items' numbers: numbers even where names and addresses stand."""
    named = [
        cell
        for cell, column in zip(row, columns, strict=False)
        if column.target in {"email", "last_name", "company"}
    ]
    return (
        bool(named)
        and all(cell.strip().isdecimal() for cell in named)
        and all(c.strip().isdecimal() or not c.strip() for c in row)
    )


def _before(first: list[str], rows: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    yield from rows


# ── commit ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def request_commit(lead_import: LeadImport, *, skip_wrong: bool, user: User | None, now: datetime) -> bool:
    """checked → committing, once: False if somebody else was quicker. ValidationError says why it cannot be committed.

    Who presses the button answers for the import: consent records and the audit log name them.
    """
    counts = lead_import.counts
    if counts.get("wrong") and not skip_wrong:
        raise ValidationError(
            _(
                "%(count)s rows are wrong, so nothing was imported. Correct the file, or choose to leave the wrong rows out."
            ),
            params={"count": counts["wrong"]},
        )
    if not any(counts.get(name) for name in ("new", "update", "apply", "waiting")):
        raise ValidationError(_("There is nothing to import."))
    changed = LeadImport.objects.filter(pk=lead_import.pk, state=State.CHECKED, counts=counts).update(
        state=State.COMMITTING,
        skip_wrong=skip_wrong,
        changed_since=False,
        progress=0,
        heartbeat_at=now,
        created_by=user,
    )
    lead_import.refresh_from_db()
    return bool(changed)


def commit_import(lead_import: LeadImport) -> None:
    """Writes the checked rows, all of them or none. What changed since the check is looked at again inside the
    transaction: with other counts it goes back to checked and shows them. → done or checked."""
    try:
        with transaction.atomic(), Pulse(LeadImport, lead_import.pk, State.COMMITTING) as pulse:
            if not _alone(lead_import.pk):
                return
            current = LeadImport.objects.get(pk=lead_import.pk)
            if current.state != State.COMMITTING or not pulse.start({State.COMMITTING}):
                return
            _commit(current, pulse, now=timezone.now())
    except (OperationalError, InterfaceError):
        raise  # nothing was written; the beat takes it up again
    except Exception:
        log.exception("import %s: the commit failed", lead_import.pk)
        _fail(lead_import.pk, "unexpected", {})
        raise


def _commit(lead_import: LeadImport, pulse: Pulse, *, now: datetime) -> None:
    columns = columns_of(lead_import)
    mine = LeadImport.objects.filter(pk=lead_import.pk, state=State.COMMITTING)
    if not _own_columns_are_as_they_were(columns):
        mine.update(state=State.UPLOADED, changed_since=True, progress=0)
        return
    applying = lead_import.mode == LeadImport.Mode.APPLY
    if applying:
        applier().lock(campaign_of(lead_import))
        lock_known_leads(lead_import, columns)
    elif lead_import.mode == LeadImport.Mode.UPDATE:
        lock_leads(lead_import, columns)
    if lead_import.mode != LeadImport.Mode.ADD:
        pulse.beat(0)
        counts = _judge(lead_import, columns)
        if counts["digest"] != lead_import.counts["digest"]:
            mine.update(state=State.CHECKED, counts=counts, changed_since=True)
            return
    if applying:
        number_new_leads(lead_import)
    written = write(lead_import, columns, now=now, beat=pulse.beat)
    if applying:
        applier().write(lead_import, columns, now, lambda: pulse.beat(lead_import.rows))
    mine.update(state=State.DONE, progress=lead_import.rows, committed_at=now, finished_at=timezone.now())
    audit.record(
        "lead_import.commit",
        user=lead_import.created_by,
        target=lead_import,
        detail={
            "mode": lead_import.mode, "key": lead_import.key, "evidence": lead_import.evidence, "written": written,
            "left_out": lead_import.counts["wrong"], "columns": [column.target for column in columns if column.target],
        },
        campaign_id=lead_import.campaign_id,
    )  # fmt: skip


def _judge(lead_import: LeadImport, columns: list[Column]) -> dict[str, Any]:
    """The counts of the moment; in Mode.APPLY those of the applications too, and a digest that notices either."""
    if lead_import.mode != LeadImport.Mode.APPLY:
        return judge(lead_import, columns)
    applications = judge_applications(lead_import, columns)
    counts = judge(lead_import, columns)
    digest = ":".join([counts["digest"], *map(str, applications.values())])
    return counts | applications | {"digest": digest}


def _own_columns_are_as_they_were(columns: list[Column]) -> bool:
    stored = {
        f"extra:{column.pk}": (column.type, tuple(map(str, column.choices)))
        for column in LeadColumn.objects.all()
    }
    return all(
        stored.get(column.target) == (column.type, column.choices) for column in columns if column.extra_key
    )


def cancel(lead_import: LeadImport, *, user: User | None) -> bool:
    """Before the commit only. False if it is too late."""
    with transaction.atomic():
        changed = LeadImport.objects.filter(
            pk=lead_import.pk, state__in={State.UPLOADED, State.CHECKING, State.CHECKED}
        ).update(state=State.CANCELLED, finished_at=timezone.now())
        if changed:
            audit.record(
                "lead_import.cancel", user=user, target=lead_import, campaign_id=lead_import.campaign_id
            )
    return bool(changed)


# ── who works, and does somebody ───────────────────────────────────────────────────────────────────────────────────


def _alone(lead_import_id: int) -> bool:
    """One worker an import, until its transaction ends, however it ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [_LOCK, lead_import_id])
        return bool(cursor.fetchone()[0])


def _fail(lead_import_id: int, code: str, params: dict[str, Any]) -> None:
    LeadImport.objects.filter(pk=lead_import_id, state__in=LeadImport.RUNNING).update(
        state=State.FAILED, error={"code": code, "params": params}, finished_at=timezone.now()
    )


def imports_to_take_up(now: datetime) -> list[tuple[int, str]]:
    """(id, state) of imports that nobody works at, each given out once a minute."""
    quiet = LeadImport.objects.filter(state__in=LeadImport.RUNNING).exclude(heartbeat_at__gt=now - QUIET)
    taken = []
    for lead_import_id, state in quiet.values_list("id", "state"):
        if quiet.filter(pk=lead_import_id, state=state).update(heartbeat_at=now):
            taken.append((lead_import_id, state))
    return taken


def forget_old_files(now: datetime) -> None:
    """Files and staged rows hold personal data; they go a month after the import ended."""
    ended = {State.DONE, State.FAILED, State.CANCELLED}
    old = list(
        LeadImport.objects.filter(state__in=ended, finished_at__lt=now - KEPT, chunks__number=0).values_list(
            "id", flat=True
        )[:20]
    )
    if old:
        LeadImportRow.objects.filter(lead_import__in=old).delete()
        LeadImportChunk.objects.filter(lead_import__in=old).delete()
