"""APP-5: readers go along when leads are merged (leads/merge.py). Where several of the leads read one magazine, the stricter state
stays (配信停止, then エラー停止) and their failures add up.

A reader of a merged lead that has no place with the survivor (one reader a lead and magazine) stays with its lead, which counts
as deleted: it is in no list and no scope, and comes back with the lead. The same goes for turns of step stories; what either
has had, the survivor has had.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Count
from django.utils.dateparse import parse_datetime
from django.utils.translation import ngettext

from leads.merge import Mover, by_lead, register_mover
from mail.magazines.blacklist import put
from mail.magazines.locks import hold
from mail.magazines.reader_parts import COUNTS
from mail.models import (
    Reader,
    ReaderChange,
    ReaderFailure,
    ReaderState,
    ReaderWay,
    StoryTurn,
    TurnState,
)
from mail.models.magazine import OWN_WAYS
from mail.stories.turns import plan_turns

_STRICTNESS = {ReaderState.DELIVERABLE: 0, ReaderState.ERROR_STOPPED: 1, ReaderState.STOPPED: 2}


def register() -> None:
    """From MailConfig.ready(), after mail/lead_merge.py: mails go first."""
    register_mover(Mover("magazines", lock, move, undo, counts))


def lock(lead_ids: Sequence[int]) -> None:
    """Magazines before leads; the readers themselves in `move`."""
    for magazine_id in sorted(_magazines(lead_ids)):
        hold(magazine_id)


def _magazines(lead_ids: Sequence[int]) -> set[int]:
    readers = Reader.objects.filter(lead_id__in=lead_ids).order_by()
    return set(readers.values_list("magazine_id", flat=True).distinct())


def move(survivor_id: int, merged_ids: Sequence[int], now: datetime) -> dict[str, Any]:
    everyone = [survivor_id, *merged_ids]
    rows = Reader.objects.select_for_update(no_key=True).filter(lead_id__in=everyone).order_by("pk")
    by_magazine: dict[int, list[Reader]] = defaultdict(list)
    for reader in rows:
        by_magazine[reader.magazine_id].append(reader)
    moved: dict[int, int] = {}
    combined = []
    for readers in by_magazine.values():
        own = next((one for one in readers if one.lead_id == survivor_id), None)
        kept = own or readers[0]
        if own is None:
            moved[kept.pk] = kept.lead_id
        others = [one for one in readers if one is not kept]
        if others:
            combined.append(_combine(kept, others, survivor_id, now=now))
    Reader.objects.filter(pk__in=moved).update(lead_id=survivor_id)
    turns = _move_turns(survivor_id, merged_ids)
    result = {
        "at": now.isoformat(),
        "survivor": survivor_id,
        "merged": list(merged_ids),
        "magazines": sorted(by_magazine),
        "readers": by_lead(moved),
        "combined": combined,
        "failures": _move_rows(ReaderFailure, survivor_id, merged_ids),
        "changes": _move_rows(ReaderChange, survivor_id, merged_ids),
        **turns,
    }
    for magazine_id in sorted(by_magazine):
        plan_turns(magazine_id, lead_ids=[survivor_id], now=now)
    return result


def _combine(kept: Reader, others: Sequence[Reader], survivor_id: int, *, now: datetime) -> dict[str, Any]:
    """Into `kept`; what it was and what it is now, for the undo."""
    before = _values_of(kept)
    strictest = max([kept, *others], key=lambda one: _STRICTNESS[ReaderState(one.state)])
    old = kept.state
    if strictest.state != old:
        kept.state, kept.state_at = strictest.state, now
    for other in others:
        kept.values = other.values | kept.values
        for name in COUNTS:
            setattr(kept, name, getattr(kept, name) + getattr(other, name))
    kept.updated_at = now
    kept.save()
    if kept.state != old:
        ReaderChange.objects.create(
            magazine_id=kept.magazine_id, lead_id=survivor_id, at=now, what=ReaderChange.What.STATE,
            way=ReaderWay.MERGE, before=old, after=kept.state, evidence="merge", group=_group_of(strictest),
            source=", ".join(f"#{other.lead_id}" for other in others)[:300],
        )  # fmt: skip
    return {"reader": kept.pk, "before": before, "after": _values_of(kept)}


def _group_of(reader: Reader) -> str:
    """By which kind of failures it was stopped, so that an outage can still be taken back."""
    if reader.state != ReaderState.ERROR_STOPPED:
        return ""
    rows = ReaderChange.objects.filter(magazine_id=reader.magazine_id, lead_id=reader.lead_id)
    newest = (
        rows.filter(what=ReaderChange.What.STATE, after=ReaderState.ERROR_STOPPED)
        .order_by("-at", "-pk")
        .first()
    )
    return newest.group if newest else ""


def _values_of(reader: Reader) -> dict[str, Any]:
    kept = {name: getattr(reader, name) for name in ("state", *COUNTS)}
    return kept | {"state_at": reader.state_at.isoformat(), "values": dict(reader.values)}


def _move_rows(model: Any, survivor_id: int, merged_ids: Sequence[int]) -> dict[str, list[int]]:
    """Failures and history: the survivor's story is one."""
    rows = dict(model.objects.filter(lead_id__in=merged_ids).values_list("pk", "lead_id"))
    model.objects.filter(pk__in=rows).update(lead_id=survivor_id)
    return by_lead(rows)


def _move_turns(survivor_id: int, merged_ids: Sequence[int]) -> dict[str, Any]:
    """Stories that were decided or skipped for one of them are so for the survivor; its waiting turn is planned anew."""
    own = StoryTurn.objects.filter(lead_id=survivor_id)
    had = set(own.exclude(state=TurnState.WAITING).values_list("story_id", flat=True))
    over = StoryTurn.objects.filter(lead_id__in=merged_ids).exclude(state=TurnState.WAITING)
    taken: dict[int, int] = {}
    for turn in over.order_by("state", "pk"):  # "decided" before "skipped"
        if turn.story_id not in had:
            had.add(turn.story_id)
            taken[turn.pk] = turn.lead_id
    StoryTurn.objects.filter(lead_id__in=[survivor_id, *merged_ids], state=TurnState.WAITING).delete()
    StoryTurn.objects.filter(pk__in=taken).update(lead_id=survivor_id)
    return {"turns": by_lead(taken)}


def undo(moved: Mapping[str, Any], now: datetime) -> None:
    survivor_id = moved["survivor"]
    everyone = [survivor_id, *moved["merged"]]
    magazines = sorted({*moved["magazines"], *_magazines(everyone)})
    list(Reader.objects.select_for_update(no_key=True).filter(lead_id__in=everyone).order_by("pk"))
    for one in moved["combined"]:
        _take_apart(one, now=now)
    for lead_id, rows in moved["readers"].items():
        Reader.objects.filter(pk__in=rows, lead_id=survivor_id).update(lead_id=int(lead_id))
    for name, model in (("failures", ReaderFailure), ("changes", ReaderChange)):
        for lead_id, rows in moved[name].items():
            model.objects.filter(pk__in=rows, lead_id=survivor_id).update(lead_id=int(lead_id))
    for lead_id, rows in moved["turns"].items():
        StoryTurn.objects.filter(pk__in=rows, lead_id=survivor_id).update(lead_id=int(lead_id))
    _count_again(everyone, magazines)
    _stop_who_left_since(moved, now=now)
    for magazine_id in magazines:
        plan_turns(magazine_id, lead_ids=everyone, now=now)


def _take_apart(combined: Mapping[str, Any], *, now: datetime) -> None:
    """State and values become those of before, except what was changed since."""
    reader = Reader.objects.filter(pk=combined["reader"]).first()
    if reader is None:  # removed since
        return
    before, after = combined["before"], combined["after"]
    if before["state"] != after["state"] and reader.state == after["state"]:
        same = parse_datetime(after["state_at"]) == reader.state_at
        if same:
            reader.state = before["state"]
            reader.state_at = parse_datetime(before["state_at"]) or now
    if reader.values == after["values"]:
        reader.values = before["values"]
    reader.updated_at = now
    reader.save()


def _stop_who_left_since(moved: Mapping[str, Any], *, now: datetime) -> None:
    """Who left a magazine themselves since the merge left it for all of these leads."""
    since = parse_datetime(moved["at"])
    acts = ReaderChange.objects.filter(lead_id=moved["survivor"], at__gte=since, way__in=OWN_WAYS)
    left = acts.filter(what__in=[ReaderChange.What.STATE, ReaderChange.What.REMOVED])
    for magazine_id in sorted(
        set(left.exclude(after=ReaderState.DELIVERABLE).values_list("magazine_id", flat=True))
    ):
        readers = list(
            Reader.objects.filter(magazine_id=magazine_id, lead_id__in=moved["merged"])
            .exclude(state=ReaderState.STOPPED)
            .select_related("lead", "magazine")
        )
        for reader in readers:
            ReaderChange.objects.create(
                magazine_id=magazine_id, lead_id=reader.lead_id, at=now, what=ReaderChange.What.STATE,
                way=ReaderWay.MERGE, before=reader.state, after=ReaderState.STOPPED, evidence="merge",
                source=f"#{moved['survivor']}",
            )  # fmt: skip
            put(reader.magazine, [reader.lead.email_norm], own_act=True, now=now)
        rows = Reader.objects.filter(pk__in=[reader.pk for reader in readers])
        rows.update(state=ReaderState.STOPPED, state_at=now, updated_at=now)


def _count_again(lead_ids: Sequence[int], magazines: Sequence[int]) -> None:
    """Each has the failures that are theirs again, those since the merge included."""
    found: dict[tuple[int, int], dict[str, int]] = defaultdict(dict)
    rows = ReaderFailure.objects.filter(magazine_id__in=magazines, lead_id__in=lead_ids, reset_at=None)
    for magazine_id, lead_id, group, number in (
        rows.order_by().values_list("magazine_id", "lead_id", "group").annotate(number=Count("pk"))
    ):
        found[magazine_id, lead_id][f"failures_{group}"] = number
    for reader in Reader.objects.filter(magazine_id__in=magazines, lead_id__in=lead_ids):
        counted = found[reader.magazine_id, reader.lead_id]
        Reader.objects.filter(pk=reader.pk).update(**{name: counted.get(name, 0) for name in COUNTS})


def counts(lead_ids: Sequence[int]) -> dict[int, list[str]]:
    found = (
        Reader.objects.filter(lead_id__in=lead_ids)
        .order_by()
        .values_list("lead_id")
        .annotate(count=Count("pk"))
    )
    return {
        lead_id: [
            ngettext("Reader of %(count)s magazine", "Reader of %(count)s magazines", count)
            % {"count": count}
        ]
        for lead_id, count in found
    }
