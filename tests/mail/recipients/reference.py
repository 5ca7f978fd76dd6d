"""The reference model: who is addressed, in plain slow Python, read straight from SPEC EXC-1..4. The tests compare
mail/recipients/resolve.sql with it on random leads, settings and jobs."""

from dataclasses import dataclass

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
    if skip_duplicates:
        for person in people:
            rivals = [
                other.id
                for other in people
                if decision[other.id] in ("", "duplicate") and other.email_norm == person.email_norm
            ]
            if decision[person.id] == "" and person.id < max(rivals):
                decision[person.id] = "duplicate"
    return decision
