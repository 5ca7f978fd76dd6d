"""Send jobs inside a campaign: who is addressed, when that is decided, and what is refused (APP-1, TGT-1..12)."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Exists, OuterRef, Q

from campaigns.models import Application
from leads.models import DmPermission, Lead, SavedSearch
from leads.search import registry
from leads.search.registry import Item, ItemType
from mail.job_start import run
from mail.models import SendJob, SendJobLead
from mail.recipients.explain import explain
from mail.recipients.plan import plan_of
from mail.recipients.resolve import expected_cancelled, expected_counts
from mail.send_jobs import Refused, change_draft, confirm, create_draft, problems, tick
from tests.factories import make_application, make_campaign, make_lead, make_template, make_user

NOW = datetime(2026, 11, 21, 0, 0, tzinfo=UTC)
START = NOW + timedelta(days=3)
EVERYONE = {"match": "all", "blocks": []}


@pytest.fixture(autouse=True)
def no_broker(monkeypatch):
    for module in ("send_jobs", "job_start"):
        monkeypatch.setattr(f"mail.{module}.hint", lambda task, *ids: None)


@pytest.fixture
def campaign(db):
    return make_campaign()


def make_search(campaign, condition=EVERYONE):
    return SavedSearch.objects.create(
        name=f"条件 {SavedSearch.objects.count()}", condition=condition, campaign_id=campaign and campaign.pk
    )


def draft(campaign, rule="by_search", *, leads=(), condition=EVERYONE, **options):
    options.setdefault("template", make_template(campaign=campaign))
    options.setdefault("scheduled_at", START)
    search = make_search(campaign, condition) if rule == "by_search" else None
    return create_draft(
        user=None, rule=rule, campaign_id=campaign and campaign.pk, search=search,
        lead_ids=[lead.pk for lead in leads], **options,
    )  # fmt: skip


def reserve(*args, **options):
    job = draft(*args, **options)
    assert confirm(job, user=None, now=NOW)
    job.refresh_from_db()
    return job


def decisions(job):
    return {row.lead_id: (row.state, row.reason) for row in job.deliveries.all()}


@pytest.mark.parametrize(
    ("rule", "state", "reason"), [("by_user", "queued", ""), ("by_search", "excluded", "dm_permission")]
)
def test_tgt_4_the_golden_case_inside_a_campaign(campaign, rule, state, reason):
    """TGT-4, TGT-2, TGT-3: reserved with 希望する only, then the applicant turns 希望しない: by user sent, by search not.
    Whoever has not applied is not even in scope (TGT-12)."""
    lead, stranger = make_lead(), make_lead("other@example.jp")
    make_application(campaign, lead)
    job = reserve(campaign, rule, leads=[lead] if rule == "by_user" else ())
    Lead.objects.filter(pk=lead.pk).update(dm_permission=DmPermission.UNWANTED)
    assert run(job.pk, now=START)
    assert decisions(job) == {lead.pk: (state, reason)}
    assert set(job.deliveries.values_list("campaign_id", flat=True)) == {campaign.pk}
    job.refresh_from_db()
    assert job.state in {"sending", "done"}
    told = explain(job, stranger, now=START)
    assert (told.reason, "申し込んでいません" in told.sentence) == ("not_in_scope", True)


@pytest.fixture
def applied_item(monkeypatch):
    """A searchable item 「申込」: whoever has a live application."""

    def q(operator, values, now):
        live = Application.objects.filter(lead=OuterRef("pk"), state="applied")
        return Q(Exists(live))

    monkeypatch.setattr(registry, "_ITEMS", dict(registry._ITEMS))
    registry.register_item(Item("test.applied", "申込", "", ItemType.TEXT, q, operators=("not_empty",)))
    return {"match": "all", "blocks": [{"item": "test.applied", "operator": "not_empty", "values": []}]}


def test_tgt_3_cancelled_between_reservation_and_start(campaign, applied_item):
    """TGT-3, TGT-10: with the condition 申込, who cancels before the start is not found then; who applies meanwhile is."""
    stays, cancels, later = (make_lead(f"{name}@example.jp") for name in ("stays", "cancels", "later"))
    make_application(campaign, stays)
    gone = make_application(campaign, cancels)
    job = reserve(campaign, condition=applied_item)
    assert expected_counts(plan_of(job), now=NOW).addressed == 2
    Application.objects.filter(pk=gone.pk).update(state="cancelled", cancelled_at=NOW, cancelled_by="lead")
    make_application(campaign, later)
    run(job.pk, now=START)
    assert decisions(job) == {stays.pk: ("queued", ""), later.pk: ("queued", "")}


def test_tgt_2_cancelled_after_the_reservation_by_user(campaign):
    """TGT-2: by user the addressees stay fixed, whatever becomes of their applications."""
    lead = make_lead()
    application = make_application(campaign, lead)
    job = reserve(campaign, "by_user", leads=[lead])
    Application.objects.filter(pk=application.pk).update(state="cancelled", cancelled_at=NOW)
    run(job.pk, now=START)
    assert decisions(job) == {lead.pk: ("queued", "")}


def test_exc_3_duplicates_are_looked_for_among_the_applicants_only(campaign):
    """EXC-3: the newest lead id of those in the job; a newer lead outside of the campaign keeps nobody from the mail."""
    old, new = make_lead("same@example.jp"), make_lead("same@example.jp")
    make_application(campaign, old)
    make_application(campaign, new)
    make_lead("same@example.jp")  # newest of all, has not applied
    job = reserve(campaign)
    run(job.pk, now=START)
    assert decisions(job) == {old.pk: ("excluded", "duplicate"), new.pk: ("queued", "")}
    assert job.deliveries.get(lead=old).related_id == new.pk


def test_an_applicant_who_applied_twice_is_addressed_once(campaign):
    """TGT-12: one row a lead."""
    lead = make_lead()
    make_application(campaign, lead, state="cancelled")
    make_application(campaign, lead)
    job = reserve(campaign)
    run(job.pk, now=START)
    assert decisions(job) == {lead.pk: ("queued", "")}


def test_exc_2_a_copied_template_is_another_template(campaign):
    """EXC-2: judged per template; the campaign's copy was not sent to anybody yet."""
    from mail.templates import copy_template

    lead = make_lead()
    make_application(campaign, lead)
    general = make_template()
    first = reserve(None, template=general)
    run(first.pk, now=START)
    copied = copy_template(general, campaign_id=campaign.pk, user=None)
    second = reserve(campaign, template=copied)
    run(second.pk, now=START)
    assert decisions(second) == {lead.pk: ("queued", "")}
    third = reserve(campaign, template=copied)
    run(third.pk, now=START)
    assert decisions(third) == {lead.pk: ("excluded", "already_sent")}


@pytest.mark.parametrize("inside", [True, False])
def test_nav_1_templates_and_searches_of_another_mode_are_refused(campaign, inside):
    """NAV-1, APP-1: at the making, at every change and at the confirmation, with a clear text."""
    other = make_campaign("別のセミナー")
    here, wrong_places = (campaign, [None, other]) if inside else (None, [campaign, other])
    job = draft(here)
    for wrong in wrong_places:
        template, search = make_template(campaign=wrong), make_search(wrong)
        for values in ({"template": template}, {"search": search}):
            with pytest.raises(Refused, match="別の管理モードのもの") as refused:
                create_draft(user=None, rule="by_search", campaign_id=here and here.pk, **values)
            assert refused.value.code == "other_mode"
            with pytest.raises(Refused, match="別の管理モードのもの"):
                change_draft(job, **values)
        # However it came about: nothing of another mode is sent.
        SendJob.objects.filter(pk=job.pk).update(template=template)
        job.refresh_from_db()
        assert "other_mode" in {problem.code for problem in problems(job, now=NOW)}
        with pytest.raises(Refused, match="別の管理モードのもの"):
            confirm(job, user=None, now=NOW)
    assert SendJob.objects.count() == 1


def test_tgt_5_only_applicants_are_ticked_and_others_are_refused_at_the_confirmation(campaign):
    """TGT-5, TGT-7: a merge may move an application away after the tick; that lead is named, and nobody is decided."""
    mine, stranger = make_lead("a@example.jp"), make_lead("b@example.jp")
    make_application(campaign, mine)
    job = draft(campaign, "by_user", leads=[mine, stranger])
    assert list(job.ticked.values_list("lead_id", flat=True)) == [mine.pk]
    SendJobLead.objects.create(job=job, lead=stranger)
    with pytest.raises(Refused, match=f"申込者ではありません: {stranger.pk}。") as refused:
        confirm(job, user=None, now=NOW)
    assert refused.value.code == "not_applicants"
    assert job.deliveries.count() == 0
    assert tick(job, job.ticked.values_list("lead_id", flat=True)) == 1  # through the list again
    assert confirm(job, user=None, now=NOW)
    assert set(decisions(job)) == {mine.pk}


@pytest.mark.parametrize("leads", [1, 3])
def test_who_cancelled_among_the_addressed_is_one_statement(campaign, leads, django_assert_num_queries):
    """「うちキャンセル済」: of those who would be addressed, who has no live application; others do not count."""
    gone = [make_lead(f"gone{number}@example.jp") for number in range(leads)]
    for lead in gone:
        make_application(campaign, lead, state="cancelled")
    again, refuser = make_lead("again@example.jp"), make_lead("no@example.jp", dm_permission="unwanted")
    make_application(campaign, again, state="cancelled")
    make_application(campaign, again, state="waiting")
    make_application(campaign, refuser, state="cancelled")
    plan = plan_of(draft(campaign))
    with django_assert_num_queries(4):  # savepoint, memory, the statement, release
        page = expected_cancelled(plan, now=NOW, limit=10, offset=0)
    assert page.total == leads
    assert [row.lead_id for row in page.rows] == sorted((lead.pk for lead in gone), reverse=True)
    assert expected_cancelled(plan, now=NOW, limit=1, offset=0).total == leads


# ---- commands


def command(name, *args):
    out = StringIO()
    call_command(name, *args, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_commands_know_campaigns(campaign):
    """`send --campaign`, `preview_recipients --campaign`, `job`, `explain`: the same rules as the wizard's."""
    lead, stranger = make_lead("a@example.jp"), make_lead("b@example.jp")
    make_application(campaign, lead)
    template, search = make_template(campaign=campaign), make_search(campaign)
    inside = (f"--campaign={campaign.pk}", f"--template={template.pk}")
    assert command("preview_recipients", *inside, f"--search={search.pk}")["in_scope"] == 1
    sent = command(
        "send", *inside, f"--search={search.pk}", f"--at={(NOW + timedelta(days=9000)).isoformat()}"
    )
    shown = command("job", str(sent["job"]))
    assert (shown["campaign"], shown["state"]) == (campaign.pk, "reserved")
    out = StringIO()
    call_command("job", str(sent["job"]), stdout=out)
    assert "キャンペーン: 製造業DXセミナー 2026" in out.getvalue()
    told = command("explain", f"--job={sent['job']}", f"--lead={stranger.pk}")
    assert told["reason"] == "not_in_scope" and "申し込んでいません" in told["sentence"]


@pytest.mark.parametrize("name", ["send", "preview_recipients"])
def test_commands_refuse_what_is_of_another_mode(campaign, name):
    lead, stranger = make_lead("a@example.jp"), make_lead("b@example.jp")
    make_application(campaign, lead)
    other = make_campaign("別のセミナー")
    mine, general = make_template(campaign=campaign), make_template()
    inside = f"--campaign={campaign.pk}"
    for arguments, said in (
        ([inside, f"--template={general.pk}", f"--search={make_search(campaign).pk}"], "別の管理モード"),
        ([inside, f"--template={mine.pk}", f"--search={make_search(None).pk}"], "この管理モードには"),
        ([inside, f"--template={mine.pk}", f"--search={make_search(other).pk}"], "この管理モードには"),
        ([f"--template={mine.pk}", f"--search={make_search(None).pk}"], "別の管理モード"),
        (
            [inside, f"--template={mine.pk}", f"--leads={lead.pk},{stranger.pk}"],
            f"リードはいません: {stranger.pk}",
        ),
        (
            ["--campaign=999999", f"--template={mine.pk}", f"--leads={lead.pk}"],
            "キャンペーン 999999 はありません",
        ),
    ):
        with pytest.raises(CommandError, match=said):
            command(name, *arguments)
    assert SendJob.objects.count() == 0


# ---- the wizard's last page


def test_exc_6_the_confirmation_says_of_how_many_applicants_and_who_cancelled(client, campaign):
    """EXC-6: the numbers are links; the cancelled among the addressed are warned about, and opened by their number."""
    kenta = make_user("kenta", role="campaign")
    campaign.members.set([kenta])
    client.force_login(kenta)
    live, gone = make_lead("live@example.jp"), make_lead("gone@example.jp", last_name="鈴木")
    make_application(campaign, live)
    make_application(campaign, gone, state="cancelled")
    make_lead("stranger@example.jp")
    job = draft(campaign)
    SendJob.objects.filter(pk=job.pk).update(created_by=kenta)
    path = f"/c/{campaign.pk}/mail/wizard/{job.pk}"
    page = client.get(f"{path}/confirm/").content.decode()
    assert f'このキャンペーンの申込者 <a href="/c/{campaign.pk}/leads/">2人</a>のうち' in page
    assert f'うちキャンセル済 <a class="num" href="{path}/expected/?who=cancelled">1件</a>' in page
    behind = client.get(f"{path}/expected/", {"who": "cancelled"})
    assert [row["lead"] for row in behind.context["rows"]] == [gone]
    assert "送信予定のうちキャンセル済" in behind.content.decode()
    Application.objects.filter(lead=gone).update(state="applied")
    assert "うちキャンセル済" not in client.get(f"{path}/confirm/").content.decode()


def test_the_confirmation_among_all_campaigns_asks_nothing_of_applications(client, campaign):
    client.force_login(make_user("misaki"))
    make_application(campaign, make_lead(), state="cancelled")
    job = draft(None)
    page = client.get(f"/mail/wizard/{job.pk}/confirm/").content.decode()
    assert "うちキャンセル済" not in page and "申込者" not in page.split("<main", 1)[-1]
    assert client.get(f"/mail/wizard/{job.pk}/expected/", {"who": "cancelled"}).status_code == 404
