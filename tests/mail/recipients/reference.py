"""The reference model: who is addressed, in plain slow Python, read straight from SPEC EXC-1..4, MAG and TGT-10. The tests
compare mail/recipients/resolve.sql with it on random leads, settings, jobs, readers and stories."""

from dataclasses import dataclass
from datetime import date, timedelta

ON_THE_WAY = {"queued", "deferred", "claimed", "handing_over", "sent", "unknown"}


@dataclass(frozen=True)
class Person:
    id: int
    email_norm: str
    malformed: bool
    valid: bool
    full: bool
    wanted: bool
    unsubscribed: bool
    deleted: bool
    applied_for: frozenset[int] = frozenset()  # campaigns, cancelled applications too


@dataclass(frozen=True)
class Earlier:
    """An older delivery of the same template."""

    lead_id: int
    state: str
    test: bool


def in_scope(people, *, by_user, campaign_id):
    """Whom a job can address at all: by search nobody who is deleted, inside a campaign its applicants only."""
    return [
        person
        for person in people
        if (by_user or not person.deleted) and (campaign_id is None or campaign_id in person.applied_for)
    ]


def first_reason(person, *, advertising, dm_permissions, include_sent, earlier):
    if person.deleted:
        return "deleted"
    if person.email_norm == "":
        return "no_address"
    if person.malformed:
        return "malformed_address"
    if person.unsubscribed and advertising:
        return "unsubscribed"
    if not person.valid:
        return "invalid_address"
    if not person.full:
        return "provisional"
    if ("wanted" if person.wanted else "unwanted") not in dm_permissions:
        return "dm_permission"
    if not include_sent and any(
        mail.lead_id == person.id and mail.state in ON_THE_WAY and not mail.test for mail in earlier
    ):
        return "already_sent"
    return ""


# ---- magazines -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Subscriber:
    """A person and what the magazine of the start knows of them."""

    person: Person
    state: str | None  # of the reader; None: no reader of this magazine
    birthday: date | None
    turn_has_come: bool
    matches: bool  # the story's delivery filter


def in_scope_of_start(subscribers, *, kind, rule="", day=None, offset=0):
    """Extra issues and loops by the calendar: every reader; step stories: whose turn has come; loops by a date: whose day it
    is. Nobody who is no reader, and no deleted lead."""
    readers = [one for one in subscribers if one.state is not None and not one.person.deleted]
    if kind == "step":
        return [one for one in readers if one.turn_has_come]
    if kind == "loop" and rule in ("yearly", "on_date"):
        return [one for one in readers if one.birthday and starts_for(one.birthday, rule, day, offset)]
    return readers


def starts_for(birthday, rule, day, offset):
    """Whether the start of this day is theirs, asked from the reader's side: some day of theirs, and so many days from it."""
    if rule == "on_date":
        return birthday + timedelta(days=offset) == day
    return any(anniversary(birthday, day.year + year) + timedelta(days=offset) == day for year in (-1, 0, 1))


def anniversary(birthday, year):
    try:
        return birthday.replace(year=year)
    except ValueError:  # 29 February in a common year
        return date(year, 2, 28)


def decide_start(subscribers):
    """{lead id: reason} of those in scope: EXC-1's order, one mail an address."""
    decision = {}
    for one in subscribers:
        reason = first_reason(
            one.person, advertising=True, dm_permissions=("wanted", "unwanted"), include_sent=True, earlier=()
        )
        if not reason and one.state == "stopped":
            reason = "reader_stopped"
        if not reason and one.state == "error_stopped":
            reason = "reader_error_stopped"
        if not reason and not one.matches:
            reason = "filter"
        decision[one.person.id] = reason
    return without_duplicates([one.person for one in subscribers], decision)


def decide(people, *, advertising, dm_permissions, include_sent, skip_duplicates, earlier):
    """{lead id: reason}, "" = addressed."""
    decision = {
        person.id: first_reason(
            person,
            advertising=advertising,
            dm_permissions=dm_permissions,
            include_sent=include_sent,
            earlier=earlier,
        )
        for person in people
    }
    return without_duplicates(people, decision) if skip_duplicates else decision


def without_duplicates(people, decision):
    """EXC-3: of those who share an address and are otherwise mailable, the newest lead id."""
    for person in people:
        rivals = [
            other.id
            for other in people
            if decision[other.id] in ("", "duplicate") and other.email_norm == person.email_norm
        ]
        if decision[person.id] == "" and person.id < max(rivals):
            decision[person.id] = "duplicate"
    return decision
