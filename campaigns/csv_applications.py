"""CSV一括申込 (CSV-1): the applications of a checked file. leads/imports/ reads it, finds and writes the leads, and calls this
inside its steps, under the same rules as campaigns/applications.py: one application per lead, seats under the campaign's
lock in the order of the file, then the waiting list.

A file names no sessions: who is to attend which one is set on the application afterwards.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection

from campaigns.answers import LONG_MAX, TEXT_MAX, clean_answer
from campaigns.events import Event, Happening, announce
from campaigns.form_items import WITH_CHOICES, choices_of
from campaigns.models import (
    Application,
    ApplicationState,
    ApplicationWay,
    Campaign,
    CampaignState,
    FormItem,
    ItemSource,
    QuestionType,
)
from campaigns.seats import lock_campaign, seats
from campaigns.ticket_code import random_code
from campaigns.waiting_list import move_up
from leads.imports.applying import ALREADY, WAITING, Applier, campaign_of, register_applier
from leads.imports.columns import Column, Problems, header_key
from leads.imports.problems import FileProblem
from leads.models import Lead, LeadColumn, LeadImport, LeadImportRow

BATCH = 1_000
_BETWEEN = re.compile(r"[,、/／;；\n]")


def register() -> None:
    """From AppConfig.ready()."""
    register_applier(Applier(check, lock, questions, clean, judge, write))


def check(campaign_id: int) -> None:
    if not Campaign.objects.filter(pk=campaign_id).exclude(state=CampaignState.ARCHIVED).exists():
        raise FileProblem("no_campaign")


def lock(campaign_id: int) -> None:
    lock_campaign(campaign_id)


def questions(campaign_id: int) -> dict[str, str]:
    """The live questions, by both labels; agreements are nobody else's to give."""
    items = FormItem.objects.filter(campaign=campaign_id, source=ItemSource.QUESTION, retired_at=None)
    found: dict[str, str] = {}
    for item in items.exclude(type=QuestionType.AGREEMENT):
        for label in filter(None, (item.label, item.label_en)):
            found.setdefault(label, f"answer:{item.pk}")
    return found


def clean(column: Column, cells: Sequence[str]) -> Problems:
    """In the words of imports, which are said in the reader's language."""
    item = _items([column]).get(column.target)
    problems: Problems = {}
    for place, cell in enumerate(cells):
        try:
            answer_in(item, cell)
        except ValidationError:
            assert item is not None
            problems[place] = _why(item, cell)
    return problems


def _why(item: FormItem, cell: str) -> tuple[str, dict[str, Any]]:
    value = cell[:100]
    if item.type in WITH_CHOICES:
        return "choice", {"value": value, "choices": [label for _key, label in choices_of(item, "ja")]}
    if item.type in {QuestionType.NUMBER, QuestionType.DATE}:
        return str(item.type), {"value": value}
    return "too_long", {
        "length": len(cell),
        "limit": LONG_MAX if item.type == QuestionType.LONG else TEXT_MAX,
    }


def answer_in(item: FormItem | None, cell: str) -> Any:
    """A cell as it stands in Application.answers: choices by their label in either language or their key, several of them
    parted by commas, 、 or slashes. None for a blank one; ValidationError for what is no answer."""
    if item is None or not cell:
        return None
    if item.type not in WITH_CHOICES:
        return clean_answer(item, cell)
    keys: dict[str, str] = {}
    for choice in item.choices:
        for word in (choice["label"], choice.get("label_en"), choice["key"]):
            keys.setdefault(header_key(str(word or "")), choice["key"])
    whole = keys.get(header_key(cell))
    if whole is not None:
        return clean_answer(item, [whole])
    words = [word for word in _BETWEEN.split(cell) if word.strip()]
    return clean_answer(item, [keys.get(header_key(word), word) for word in words])


def _items(columns: Sequence[Column]) -> dict[str, FormItem]:
    """Target → the question."""
    ids = [int(column.target.removeprefix("answer:")) for column in columns if column.is_answer]
    return {f"answer:{item.pk}": item for item in FormItem.objects.filter(pk__in=ids)} if ids else {}


def judge(lead_import: LeadImport) -> dict[str, int]:
    """Notes on each row whether its person has applied already, gets a seat, or waits; without a waiting list those
    without a seat are wrong. {"apply", "already", "waiting"}: numbers of rows."""
    campaign = Campaign.objects.get(pk=campaign_of(lead_import))
    free = seats(campaign).free
    values = {
        "id": lead_import.pk,
        "campaign": campaign.pk,
        "free": lead_import.rows + 1_000_000_000 if free is None else free,
        "waiting_list": campaign.waiting_list,
    }
    with connection.cursor() as cursor:
        cursor.execute(_JUDGE, values)
        cursor.execute(_COUNTS, values)
        apply, already, waiting = cursor.fetchone()
    return {"apply": apply, "already": already, "waiting": waiting}


_JUDGE = f"""
    WITH standing AS (
        SELECT row.line, EXISTS (
            SELECT 1 FROM campaigns_application application
            WHERE application.campaign_id = %(campaign)s AND application.lead_id = row.lead_id
              AND application.state <> '{ApplicationState.CANCELLED.value}'
        ) AS already
        FROM leads_leadimportrow row WHERE row.lead_import_id = %(id)s AND row.action <> 'wrong'
    ), placed AS (
        SELECT line, already, row_number() OVER (PARTITION BY already ORDER BY line) > %(free)s AS late FROM standing
    )
    UPDATE leads_leadimportrow row SET
        notes = CASE
            WHEN placed.already THEN COALESCE(row.notes, '[]'::jsonb) || '[[null, "{ALREADY}", {{}}]]'::jsonb
            WHEN %(waiting_list)s THEN COALESCE(row.notes, '[]'::jsonb) || '[[null, "{WAITING}", {{}}]]'::jsonb
            ELSE row.notes END,
        conflicts = CASE WHEN NOT placed.already AND NOT %(waiting_list)s
            THEN '[[null, "campaign_full", {{}}]]'::jsonb ELSE row.conflicts END,
        action = CASE WHEN NOT placed.already AND NOT %(waiting_list)s THEN 'wrong' ELSE row.action END
    FROM placed WHERE row.lead_import_id = %(id)s AND row.line = placed.line AND (placed.already OR placed.late)
"""
_COUNTS = f"""
    SELECT count(*) FILTER (WHERE action <> 'wrong' AND NOT already AND NOT waits),
           count(*) FILTER (WHERE action <> 'wrong' AND already),
           count(*) FILTER (WHERE action <> 'wrong' AND waits)
    FROM (
        SELECT action, COALESCE(notes @> '[[null, "{ALREADY}", {{}}]]', FALSE) AS already,
               COALESCE(notes @> '[[null, "{WAITING}", {{}}]]', FALSE) AS waits
        FROM leads_leadimportrow WHERE lead_import_id = %(id)s
    ) row
"""


def write(lead_import: LeadImport, columns: Sequence[Column], now: datetime, beat: Callable[[], None]) -> int:
    """The applications, in the order of the file; the leads are written. The campaign is locked."""
    campaign = Campaign.objects.get(pk=campaign_of(lead_import))
    made, items = 0, _items(columns)
    for rows in _batches(lead_import):
        codes = _codes(len(rows))
        applications = [
            Application(
                campaign=campaign, lead_id=lead_id, way=ApplicationWay.CSV, code=code, created_at=now,
                state=ApplicationState.WAITING if waits else ApplicationState.APPLIED,
                waiting_since=now if waits else None, applied_at=None if waits else now,
                entered=entered(row, columns), answers=answers(row, columns, items), created_by_id=lead_import.created_by_id,
            )
            for (row, lead_id, waits), code in zip(rows, codes, strict=True)
        ]  # fmt: skip
        Application.objects.bulk_create(applications)
        made += len(applications)
        _announce(campaign, applications, now, tell=lead_import.tell)
        beat()
    move_up(campaign, now=now)  # seats that somebody freed behind our back go to who waited before the file
    return made


def _batches(lead_import: LeadImport) -> Iterator[list[tuple[LeadImportRow, int, bool]]]:
    """(row, its lead's id, whether it waits) of those who apply."""
    rows = LeadImportRow.objects.filter(lead_import=lead_import).exclude(action=LeadImportRow.Action.WRONG)
    batch: list[tuple[LeadImportRow, int, bool]] = []
    for row in rows.order_by("line").iterator(BATCH):
        said = {code for place, code, _params in row.notes or [] if place is None}
        if ALREADY in said:
            continue
        assert row.lead_id is not None  # known, or numbered just now
        batch.append((row, row.lead_id, WAITING in said))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _codes(number: int) -> list[str]:
    """As many ticket codes that nobody has."""
    codes: set[str] = set()
    while len(codes) < number:
        codes |= {random_code() for _missing in range(number - len(codes))}
        codes -= set(Application.objects.filter(code__in=codes).values_list("code", flat=True))
    return list(codes)


def entered(row: LeadImportRow, columns: Sequence[Column]) -> dict[str, Any]:
    """Application.entered of a row: what it says, blank cells left out."""
    values: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    targets = [column for column in columns if column.target]
    for column, cell in zip(targets, row.cells, strict=False):
        if not cell or column.target == "id" or column.is_answer:
            continue
        if column.extra_key:
            extra[column.extra_key] = _number(cell) if column.type == LeadColumn.Type.NUMBER else cell
        else:
            values[column.target] = cell
    return values | ({"extra": extra} if extra else {})


def answers(row: LeadImportRow, columns: Sequence[Column], items: Mapping[str, FormItem]) -> dict[str, Any]:
    """Application.answers of a row. What was offered at the check and is no more is left out."""
    found: dict[str, Any] = {}
    targets = [column for column in columns if column.target]
    for column, cell in zip(targets, row.cells, strict=False):
        item = items.get(column.target)
        if item is None:
            continue
        with suppress(ValidationError):
            answer = answer_in(item, cell)
            if answer is not None:
                found[item.key] = answer
    return found


def _number(cell: str) -> Any:
    number = float(cell)
    return int(number) if number.is_integer() else number


def _announce(campaign: Campaign, applications: Sequence[Application], now: datetime, *, tell: bool) -> None:
    leads = Lead.objects.in_bulk([one.lead_id for one in applications])
    events = {ApplicationState.APPLIED: Event.RECEIVED, ApplicationState.WAITING: Event.WAITING}
    announce(
        *(
            Happening(
                events[ApplicationState(one.state)],
                leads[one.lead_id],
                now,
                campaign=campaign,
                application=one,
                tell=tell,
            )
            for one in applications
        )
    )
