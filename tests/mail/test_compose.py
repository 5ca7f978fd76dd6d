"""From claimed rows to mails where a campaign matters: its merge fields, and values given to one mail alone."""

from datetime import UTC, datetime

import pytest

from mail import merge_fields
from mail.delivery.claim import claim
from mail.delivery.compose import Composer, Made
from mail.job_start import run
from mail.merge_fields import MergeField, register_merge_field
from mail.message import take_snapshot
from tests.factories import make_application, make_campaign, make_delivery, make_job, make_lead, make_template

NOW = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)


@pytest.fixture
def asked(monkeypatch):
    """A merge field of campaigns, and how often it was asked with what: (leads, campaign)."""
    calls = []

    def values(leads, now, campaign_id):
        calls.append((len(leads), campaign_id))
        return {lead.pk: f"キャンペーン{campaign_id}の{lead.last_name}" for lead in leads}

    monkeypatch.setattr(merge_fields, "_FIELDS", dict(merge_fields._FIELDS))
    register_merge_field(MergeField("申込番号の例", "Example", "Application", values, of_campaign=True))
    return calls


def snapshot_of(body):
    return take_snapshot(make_template(text_body=body, purpose="notice"))


def texts(made):
    assert all(isinstance(one, Made) for one in made)
    return {one.row.pk: one.mail.text.strip() for one in made}


def test_app_1_the_campaign_of_a_mail_is_the_one_its_merge_fields_mean(db, asked):
    """Mails of two campaigns and of none in one batch: each is asked with its own, once for all of its leads."""
    snapshot = snapshot_of("{{ 申込番号の例 }}")
    first, second = make_campaign(), make_campaign("別のセミナー")
    leads = [make_lead(f"a{number}@example.jp", last_name=f"佐藤{number}") for number in range(4)]
    campaigns = [first.pk, first.pk, second.pk, None]
    rows = [
        make_delivery(lead, kind="automatic", snapshot=snapshot, campaign_id=campaign_id)
        for lead, campaign_id in zip(leads, campaigns, strict=True)
    ]
    made = texts(Composer().make(claim(None, 10)))
    assert made == {
        row.pk: f"キャンペーン{campaign_id}の{lead.last_name}"
        for row, lead, campaign_id in zip(rows, leads, campaigns, strict=True)
    }
    assert sorted(asked, key=str) == sorted([(2, first.pk), (1, second.pk), (1, None)], key=str)


def test_given_values_go_before_those_of_the_lead(db):
    """What was known only when the mail was decided (a login link) is this mail's alone."""
    snapshot = snapshot_of("{{ 姓 }} {{ ログインURL }}")
    lead = make_lead(last_name="佐藤")
    both = make_delivery(
        lead, kind="automatic", snapshot=snapshot, given_values={"ログインURL": "https://x/", "姓": "鈴木"}
    )
    link = make_delivery(
        lead, kind="automatic", snapshot=snapshot, given_values={"ログインURL": "https://y/"}
    )
    plain = make_delivery(lead, kind="automatic", snapshot=snapshot)
    staff = make_delivery(
        None, kind="automatic", snapshot=snapshot, address="staff@example.jp",
        given_values={"姓": "佐藤 様の申込", "ログインURL": ""},
    )  # fmt: skip
    assert texts(Composer().make(claim(None, 10))) == {
        both.pk: "鈴木 https://x/",
        link.pk: "佐藤 https://y/",
        plain.pk: "佐藤",
        staff.pk: "佐藤 様の申込",
    }


def test_tgt_2_a_by_user_job_keeps_the_values_of_its_campaign(db, asked):
    """TGT-2 inside a campaign: the values of the start, asked for the campaign, are kept with the rows."""
    campaign = make_campaign()
    lead = make_lead(last_name="佐藤")
    make_application(campaign, lead)
    template = make_template(text_body="{{ 申込番号の例 }}", purpose="notice", campaign=campaign)
    job = make_job(template, rule="by_user", condition=None, campaign=campaign, state="preparing")
    make_delivery(lead, job=job, state="reserved", campaign_id=campaign.pk)
    assert run(job.pk, now=NOW)
    assert asked == [(1, campaign.pk)]
    assert job.deliveries.get().merge_values["申込番号の例"] == f"キャンペーン{campaign.pk}の佐藤"


@pytest.mark.parametrize("leads", [1, 3])
@pytest.mark.parametrize("inside", [False, True])
def test_composing_a_batch_asks_as_often_in_a_campaign_as_outside(
    db, leads, inside, django_assert_num_queries
):
    """The clock, the snapshot, the leads: nothing more, unless fields of the campaign are merged."""
    campaign = make_campaign() if inside else None
    snapshot = snapshot_of("{{ 姓 }}")
    for number in range(leads):
        make_delivery(
            make_lead(f"a{number}@example.jp"), snapshot=snapshot, campaign_id=campaign and campaign.pk
        )
    rows = claim(None, 10)
    with django_assert_num_queries(3):
        assert len(Composer().make(rows)) == leads
