"""resolve.sql against the reference model: starts of a magazine's stories."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mail.magazines.item_uses import filter_key
from mail.models import SendJob, StoryTurn
from mail.recipients.plan import plan_of, story_plan
from mail.recipients.resolve import expected_counts, expected_decision, resolve
from tests.factories import make_lead
from tests.mail.magazine_scene import make_item, make_magazine, make_reader, make_story
from tests.mail.recipients.reference import Person, Subscriber, decide_start, in_scope_of_start

TOKYO = ZoneInfo("Asia/Tokyo")
STATES = ["deliverable", "deliverable", "stopped", "error_stopped"]
days = st.sampled_from(
    [date(2026, 2, 28), date(2028, 2, 28), date(2028, 2, 29), date(2026, 12, 30), date(2027, 1, 1)]
)
birthdays = st.sampled_from(
    [
        None,
        date(1992, 2, 29),
        date(1990, 2, 28),
        date(1990, 3, 1),
        date(1990, 12, 30),
        date(1990, 1, 2),
        date(2026, 12, 30),
    ]
)
people = st.lists(
    st.fixed_dictionaries(
        {
            "email": st.sampled_from(
                ["", "a@x.example.jp", "Ａ@X.example.jp", "b@x.example.jp", "c@x.example.jp", "a..b"]
            ),
            "valid": st.sampled_from([True, True, False]),
            "full": st.sampled_from([True, True, False]),
            "unsubscribed": st.sampled_from([False, False, True]),
            "deleted": st.sampled_from([False, False, False, True]),
            "prefecture": st.sampled_from(["東京都", "大阪府"]),
            "state": st.sampled_from([None, *STATES]),
            "elsewhere": st.sampled_from([None, *STATES]),
            "size": st.sampled_from(["製造", "小売", ""]),
            "birthday": birthdays,
            # of the story: due in so many minutes, or over; and the turn of another story
            "turn": st.sampled_from([None, -60, 0, 1, "decided", "skipped"]),
        }
    ),
    min_size=1,
    max_size=12,
)
# What a filter asks, as a function of a person and as a condition.
IN_TOKYO, MAKES = (lambda p: p["prefecture"] == "東京都"), (lambda p: p["size"] == "製造")
FILTERS = {
    "none": lambda p: True,
    "lead": IN_TOKYO,
    "item": MAKES,
    "both": lambda p: IN_TOKYO(p) and MAKES(p),
    "either": lambda p: IN_TOKYO(p) or MAKES(p),
    "not": lambda p: not MAKES(p),
}


def condition_of(name, item):
    tokyo = {"item": "lead.prefecture", "operator": "is", "values": ["東京都"]}
    makes = {"item": filter_key(item), "operator": "is", "values": ["製造"]}
    return {
        "none": {"match": "all", "blocks": []},
        "lead": {"match": "all", "blocks": [tokyo]},
        "item": {"match": "all", "blocks": [makes]},
        "both": {"match": "all", "blocks": [tokyo, makes]},
        "either": {"match": "any", "blocks": [tokyo, makes]},
        "not": {"match": "expression", "expression": "NOT 1", "blocks": [makes]},
    }[name]


def store(one, magazine, other, size, born, story, now):
    """The lead, its readers and its turn; and how the model sees them."""
    lead = make_lead(
        one["email"], email_malformed=one["email"] == "a..b", email_valid=one["valid"], prefecture=one["prefecture"],
        registration="full" if one["full"] else "provisional", dm_permission="unwanted",
        unsubscribed_at=now if one["unsubscribed"] else None, deleted_at=now if one["deleted"] else None,
    )  # fmt: skip
    values = {size.key: one["size"]} | ({born.key: one["birthday"].isoformat()} if one["birthday"] else {})
    if one["state"]:
        make_reader(magazine, lead=lead, state=one["state"], values=values)
    if one["elsewhere"]:
        make_reader(other, lead=lead, state=one["elsewhere"], values=values)
    come = False
    if one["turn"] is not None and story.kind == "step":
        waits = isinstance(one["turn"], int)
        come = waits and one["turn"] <= 0
        StoryTurn.objects.create(
            story=story, magazine=magazine, lead=lead, state="waiting" if waits else one["turn"],
            due_at=now + timedelta(minutes=one["turn"] if waits else -1),
        )  # fmt: skip
    person = Person(
        lead.pk,
        lead.email_norm,
        lead.email_malformed,
        lead.email_valid,
        one["full"],
        False,
        one["unsubscribed"],
        one["deleted"],
    )
    return person, come


STORIES = [
    ("extra", ""), ("loop", "monthly"), ("loop", "weekly"), ("step", ""), ("loop", "yearly"), ("loop", "yearly"), ("loop", "on_date"),
]  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(
    people=[
        {"email": "a@x.example.jp", "valid": True, "full": True, "unsubscribed": False, "deleted": False, "prefecture": "大阪府",
         "state": "error_stopped", "elsewhere": "deliverable", "size": "", "birthday": date(1992, 2, 29), "turn": None}
    ],
    what=("loop", "yearly"), day=date(2026, 2, 28), offset=0, asked="lead",
)  # fmt: skip
@given(
    people=people,
    what=st.sampled_from(STORIES),
    day=days,
    offset=st.sampled_from([0, 0, -3, 1, 366]),
    asked=st.sampled_from(sorted(FILTERS)),
)
def test_a_start_agrees_with_the_reference_model(db, people, what, day, offset, asked):
    """TGT-10, TGT-12, EXC-1, EXC-3, MAG-1, MAG-7, MAG-8, MAG-12: one row for every reader in scope with the first reason that
    applies; state before filter; what another magazine knows of them does not count."""
    kind, rule = what
    with transaction.atomic():
        magazine, other = make_magazine(), make_magazine("別のメルマガ")
        size, born = make_item(magazine, "業種", "choice"), make_item(magazine, "誕生日", "date")
        timing = {"rule": rule, "date_item": born, "date_offset": offset} if kind == "loop" else {}
        story = make_story(magazine, kind, filter=condition_of(asked, size), **timing)
        planned = datetime.combine(day, time(0, 5), TOKYO)  # the day before in UTC
        now = planned.astimezone(UTC) + timedelta(minutes=2)
        subscribers = []
        for one in people:
            person, come = store(one, magazine, other, size, born, story, now)
            subscribers.append(Subscriber(person, one["state"], one["birthday"], come, FILTERS[asked](one)))
        expected = decide_start(in_scope_of_start(subscribers, kind=kind, rule=rule, day=day, offset=offset))
        job = SendJob.objects.create(
            rule="by_search",
            state="resolving",
            magazine=magazine,
            story=story,
            template=story.template,
            occurrence_at=planned,
        )
        dry_run = expected_counts(story_plan(story, now=now), now=now)
        first = subscribers[0].person.id
        assert expected_decision(story_plan(story, now=now), first, now=now) == expected.get(first)
        resolve(job, plan_of(job), now=now)
        rows = {row.lead_id: row for row in job.deliveries.all()}
        assert {lead_id: row.reason for lead_id, row in rows.items()} == expected
        assert {row.kind for row in rows.values()} <= {"magazine"}
        states = {one.person.id: one.state for one in subscribers}
        assert {lead_id: row.reader_state for lead_id, row in rows.items()} == {
            lead_id: states[lead_id] for lead_id in expected
        }
        # EXC-6: the dry run of the same statement counts the same people.
        reasons = list(expected.values())
        assert (dry_run.in_scope, dry_run.addressed) == (len(reasons), reasons.count(""))
        assert {str(reason): n for reason, n in dry_run.by_reason.items()} == {
            reason: reasons.count(reason) for reason in set(reasons) - {""}
        }
        transaction.set_rollback(True)
