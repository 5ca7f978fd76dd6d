"""resolve.sql against the reference model, and its promises one by one."""

from datetime import UTC, datetime

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leads.models import Lead
from mail.models import Delivery, SendJobLead
from mail.recipients.plan import Plan, plan_of
from mail.recipients.resolve import expected_counts, expected_decision, expected_page, resolve
from tests.factories import make_application, make_campaign, make_job, make_lead, make_template
from tests.mail.recipients.reference import Earlier, Person, decide, in_scope

NOW = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)

people = st.lists(
    st.builds(
        dict,
        email=st.sampled_from(
            ["", "a@x.example.jp", "A@X.example.jp", "b@x.example.jp", "c@x.example.jp", "a..b"]
        ),
        valid=st.booleans(),
        full=st.booleans(),
        wanted=st.booleans(),
        unsubscribed=st.sampled_from([False, False, True]),
        deleted=st.sampled_from([False, False, False, True]),
        applications=st.sets(
            st.tuples(
                st.sampled_from(["this", "other"]), st.sampled_from(["applied", "cancelled", "provisional"])
            ),
            max_size=2,
        ),
        earlier=st.lists(
            st.tuples(
                st.sampled_from(["sent", "error", "unknown", "queued", "excluded", "reserved"]), st.booleans()
            ),
            max_size=2,
        ),
    ),
    min_size=1,
    max_size=12,
)


def store(person, campaigns):
    """A lead with its applications, as the model sees it."""
    lead = make_lead(
        person["email"],
        email_malformed=person["email"] == "a..b",
        email_valid=person["valid"],
        registration="full" if person["full"] else "provisional",
        dm_permission="wanted" if person["wanted"] and not person["unsubscribed"] else "unwanted",
        unsubscribed_at=NOW if person["unsubscribed"] else None,
        deleted_at=NOW if person["deleted"] else None,
    )
    model = Person(
        lead.pk, lead.email_norm, lead.email_malformed, lead.email_valid, person["full"],
        lead.dm_permission == "wanted", person["unsubscribed"], person["deleted"],
        frozenset(campaigns[which].pk for which, _state in person["applications"]),
    )  # fmt: skip
    live = set()
    for which, state in sorted(person["applications"]):  # at most one live one a campaign
        if state == "cancelled" or which not in live:
            make_application(campaigns[which], lead, state=state)
            live |= {which} - ({which} if state == "cancelled" else set())
    return lead, model


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    people=people,
    by_user=st.booleans(),
    inside=st.booleans(),
    advertising=st.booleans(),
    dm=st.sets(st.sampled_from(["wanted", "unwanted"]), min_size=1),
    include_sent=st.booleans(),
    skip_duplicates=st.booleans(),
)
def test_statement_agrees_with_the_reference_model(
    db, people, by_user, inside, advertising, dm, include_sent, skip_duplicates
):
    """TGT-12, EXC-1, EXC-2, EXC-3, EXC-4: one row for everyone in scope with the first reason that applies. APP-1: inside
    a campaign its applicants are in scope, cancelled ones too, and nobody else, not even for EXC-3."""
    with transaction.atomic():
        template = make_template(purpose="advertising" if advertising else "notice")
        other = make_template("別のテンプレート")
        campaigns = {"this": make_campaign(), "other": make_campaign("別のセミナー")}
        campaign_id = campaigns["this"].pk if inside else None
        models, earlier = [], []
        for person in people:
            lead, model = store(person, campaigns)
            models.append(model)
            for state, test in person["earlier"]:
                make_delivery(lead, template, state, test)
                make_delivery(lead, other, "sent", False)
                earlier.append(Earlier(lead.pk, state, test))
        job = make_job(template, rule="by_user" if by_user else "by_search", campaign_id=campaign_id)
        if by_user:
            SendJobLead.objects.bulk_create(SendJobLead(job=job, lead_id=model.id) for model in models)
        plan = Plan(
            rule=job.rule, template_id=template.pk, purpose=template.purpose, campaign_id=campaign_id,
            condition=job.condition, lead_ids=tuple(model.id for model in models) if by_user else (),
            dm_permissions=tuple(sorted(dm)), include_sent=include_sent, skip_duplicates=skip_duplicates,
        )  # fmt: skip
        models = in_scope(models, by_user=by_user, campaign_id=campaign_id)
        expected = decide(
            models, advertising=advertising, dm_permissions=dm, include_sent=include_sent,
            skip_duplicates=skip_duplicates, earlier=earlier,
        )  # fmt: skip
        dry_run = expected_counts(plan, now=NOW)
        resolve(job, plan, now=NOW)
        rows = dict(job.deliveries.values_list("lead_id", "reason"))
        assert rows == expected
        assert {row.campaign_id for row in job.deliveries.all()} <= {campaign_id}
        assert {row.state for row in job.deliveries.all() if row.reason} <= {"excluded"}
        assert {row.state for row in job.deliveries.all() if not row.reason} <= {"queued"}
        # EXC-6: the dry run of the same statement counts the same people.
        reasons = list(expected.values())
        assert dry_run.addressed == reasons.count("")
        assert {str(reason): n for reason, n in dry_run.by_reason.items()} == {
            reason: reasons.count(reason) for reason in set(reasons) - {""}
        }
        assert dry_run.in_scope == len(models)
        transaction.set_rollback(True)


def make_delivery(lead, template, state, test=False):
    return Delivery.objects.create(
        lead=lead, template=template, state=state, kind="test" if test else "wizard",
        reason="dm_permission" if state == "excluded" else "", decided_at=NOW,
    )  # fmt: skip


def test_values_of_a_condition_stay_values(db):
    """A value with line ends, comment marks and percent signs is a value and nothing else, wherever the statement names it."""
    lead = make_lead(company="a\n; SELECT 1 -- %s %(job)s {few} {candidates}")
    condition = {
        "match": "all",
        "blocks": [
            {
                "item": "lead.company",
                "operator": "is_not",
                "values": ["b\n; SELECT 1 -- %s %(job)s {few} {candidates}"],
            }
        ],
    }
    job = make_job(rule="by_search", condition=condition)
    resolve(job, plan_of(job), now=NOW)
    assert list(job.deliveries.values_list("lead_id", flat=True)) == [lead.pk]


def test_values_of_the_moment_are_stored(db):
    """TGT-12: the decision keeps the rule's values and the time."""
    lead = make_lead(dm_permission="unwanted", email_valid=True, registration="full")
    job = make_job()
    resolve(job, plan_of(job), now=NOW)
    Lead.objects.filter(pk=lead.pk).update(dm_permission="wanted", email="new@example.jp")
    row = job.deliveries.get()
    assert (row.reason, row.dm_permission, row.email_valid, row.registration) == (
        "dm_permission",
        "unwanted",
        True,
        "full",
    )
    assert (row.address, row.decided_at) == ("yoshio@yamate.example.jp", NOW)


def test_duplicate_names_the_lead_that_was_chosen(db):
    """EXC-3, EXC-4: the newest lead id is mailed; spelling in capitals or full width is the same address."""
    old = make_lead("Same@example.jp")
    unwilling = make_lead("same@example.jp", dm_permission="unwanted")
    new = make_lead("same@EXAMPLE.jp")
    newest_but_invalid = make_lead("same@example.jp", email_valid=False)
    alone = make_lead("")
    job = make_job()
    plan = plan_of(job)
    expected = {lead.pk: expected_decision(plan, lead.pk, now=NOW) for lead in Lead.objects.all()}
    resolve(job, plan_of(job), now=NOW)
    decision = {row.lead_id: (row.reason, row.related_id) for row in job.deliveries.all()}
    assert decision == {
        old.pk: ("duplicate", new.pk),
        unwilling.pk: ("dm_permission", None),
        new.pk: ("", None),
        newest_but_invalid.pk: ("invalid_address", None),
        alone.pk: ("no_address", None),
    }
    # EXC-6: asked about one lead alone, those who share its address still count.
    assert expected == {lead_id: reason for lead_id, (reason, _related) in decision.items()}


def test_already_sent_names_the_earlier_mail(db):
    """EXC-2: judged per template and lead; a test send or a failure is no sending."""
    template = make_template()
    sent, failed, tested = make_lead("a@example.jp"), make_lead("b@example.jp"), make_lead("c@example.jp")
    earlier = make_delivery(sent, template, "sent")
    make_delivery(failed, template, "error")
    make_delivery(tested, template, "sent", test=True)
    job = make_job(template)
    resolve(job, plan_of(job), now=NOW)
    decision = {row.lead_id: (row.reason, row.related_id) for row in job.deliveries.all()}
    assert decision == {sent.pk: ("already_sent", earlier.pk), failed.pk: ("", None), tested.pk: ("", None)}


@pytest.mark.parametrize("leads", [1, 3])
def test_deciding_is_one_statement_whatever_the_size(db, leads, django_assert_num_queries):
    """DESIGN §4: one query decides; the two others take the template's lock and set the sort memory."""
    for number in range(leads):
        make_lead(f"lead{number}@example.jp")
    job = make_job()
    plan = plan_of(job)
    with django_assert_num_queries(3):
        assert resolve(job, plan, now=NOW) == leads


def test_deciding_twice_changes_nothing(db):
    """RSV-5: a lead that has its row keeps it."""
    make_lead()
    job = make_job()
    assert resolve(job, plan_of(job), now=NOW) == 1
    assert resolve(job, plan_of(job), now=NOW) == 0
    assert job.deliveries.count() == 1


def test_nobody_in_scope(db):
    make_lead()
    plan = Plan(rule="by_user", template_id=None, purpose="advertising", lead_ids=())
    assert expected_counts(plan, now=NOW).in_scope == 0


def test_the_leads_behind_a_count(db):
    """EXC-6: each count opens its leads, newest first."""
    ids = [make_lead(f"lead{number}@example.jp").pk for number in range(5)]
    refuser = make_lead("no@example.jp", dm_permission="unwanted")
    plan = plan_of(make_job())
    addressed = expected_page(plan, "", now=NOW, limit=2, offset=1)
    assert ([row.lead_id for row in addressed.rows], addressed.total) == ([ids[3], ids[2]], 5)
    refused = expected_page(plan, "dm_permission", now=NOW, limit=2, offset=0)
    assert [(row.lead_id, row.related_id) for row in refused.rows] == [(refuser.pk, None)]
    assert expected_decision(plan, refuser.pk, now=NOW) == "dm_permission"
    assert expected_decision(plan, ids[0], now=NOW) == ""
    assert expected_decision(plan, 999_999_999, now=NOW) is None


def test_percent_signs_in_a_condition_are_harmless(db):
    """A LIKE pattern inside the compiled search must not be taken for a parameter."""
    make_lead(company="100%企業")
    make_lead("other@example.jp", company="一般企業")
    condition = {
        "match": "all",
        "blocks": [{"item": "lead.company", "operator": "contains", "values": ["100%"]}],
    }
    job = make_job(condition=condition)
    assert expected_counts(plan_of(job), now=NOW).in_scope == 1
