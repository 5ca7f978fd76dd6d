"""Starts of stories are jobs, but none of the wizard's: its pages neither show nor take them. MAG-12 on its confirmation."""

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.urls import reverse
from django.utils import timezone

from leads.models import SavedSearch
from leads.search import EVERYONE
from mail import send_jobs, single_mail
from mail.finder import find_jobs
from mail.links import reader_opt_out_url
from mail.message import Skeleton, store_snapshot, take_snapshot
from mail.models import Reader, SendJob
from mail.recipients.plan import plan_of
from mail.recipients.resolve import stopped_in_magazines
from mail.search_items import job_choices, template_choices
from mail.send_again import count_retryable, retry_failed
from mail.stories.content import snapshot_of
from tests.factories import make_delivery, make_job, make_lead, make_template, make_user
from tests.mail.magazine_scene import make_magazine, make_reader, make_story

pytestmark = pytest.mark.django_db


@pytest.fixture
def misaki(client):
    user = make_user("misaki")
    client.force_login(user)
    return user


@pytest.fixture
def magazine_job():
    story = make_story(make_magazine(), name="創刊号")
    return SendJob.objects.create(
        rule="by_search", state="done", magazine=story.magazine, story=story, template=story.template,
        condition=EVERYONE, started_at=timezone.now(), finished_at=timezone.now(),
    )  # fmt: skip


def test_the_wizards_history_shows_no_magazine(client, misaki, magazine_job):
    """Its list, its file, its filter, the search box and the conditions of 複合検索."""
    wizard = make_job(state="done", started_at=timezone.now())
    assert [row["job"] for row in client.get(reverse("jobs")).context["rows"]] == [wizard]
    file = b"".join(client.get(reverse("jobs_export")).streaming_content).decode("utf-8-sig")
    assert "製造業DXセミナー" in file and "創刊号" not in file
    assert "創刊号" not in client.get(reverse("jobs")).content.decode()
    assert find_jobs(misaki, "創刊号") == []
    assert [value for value, _label in job_choices()] == [str(wizard.pk)]
    assert [value for value, _label in template_choices()] == [str(wizard.template_id)]
    assert "創刊号" not in client.get(reverse("job_comparison")).content.decode()


def test_a_storys_text_cannot_be_sent_by_the_wizard(magazine_job):
    search = SavedSearch.objects.create(name="全員", condition=EVERYONE, shared=True)
    with pytest.raises(send_jobs.Refused):
        send_jobs.create_draft(user=None, rule="by_search", template=magazine_job.template, search=search)
    with pytest.raises(CommandError):
        call_command("send", template=magazine_job.template_id, search=search.pk)


def test_failed_mails_of_readers_who_are_deliverable_can_be_tried_again(magazine_job, monkeypatch):
    """RES: mailbox full may pass; who is stopped in the magazine by now is left alone (MAG-1)."""
    monkeypatch.setattr("mail.send_again.hint", lambda task, *ids: None)
    for state in ("deliverable", "stopped", "error_stopped"):
        reader = make_reader(magazine_job.magazine, f"{state}@yamate.example.jp", state=state)
        make_delivery(reader.lead, job=magazine_job, kind="magazine", state="error", code=42552, cause="full")
    assert count_retryable(magazine_job) == 1
    assert retry_failed(magazine_job, user=None, now=timezone.now()) == 1
    assert [row.address for row in magazine_job.deliveries.filter(state="queued")] == [
        "deliverable@yamate.example.jp"
    ]


def test_mails_with_an_unknown_outcome_go_again_to_deliverable_readers_only(
    client, misaki, magazine_job, monkeypatch
):
    """ERR-4, MAG-1: the page and the act say the same number; of who left the row stays 結果不明, because it may have arrived."""
    monkeypatch.setattr("mail.send_again.hint", lambda task, *ids: None)
    SendJob.objects.filter(pk=magazine_job.pk).update(snapshot=take_snapshot(magazine_job.template))
    for state in ("deliverable", "stopped", "error_stopped"):
        reader = make_reader(magazine_job.magazine, f"{state}@yamate.example.jp", state=state)
        make_delivery(reader.lead, job=magazine_job, kind="magazine", state="unknown")
    url = reverse("job_resend_unknown", args=[magazine_job.pk])
    assert client.get(url).context["unknown"] == 1
    client.post(url)
    assert dict(magazine_job.deliveries.values_list("lead__email", "state")) == {
        "deliverable@yamate.example.jp": "queued", "stopped@yamate.example.jp": "unknown",
        "error_stopped@yamate.example.jp": "unknown",
    }  # fmt: skip
    assert "読者が現在「配信可能」のもの" in client.get(url, follow=True).content.decode()


# ---- MAG-12


@pytest.fixture
def draft(misaki):
    search = SavedSearch.objects.create(name="全リード", condition=EVERYONE, owner=misaki)
    return send_jobs.create_draft(user=misaki, rule="by_search", template=make_template(), search=search)


def test_mag_12_confirmation_counts_stopped_readers(client, draft):
    """MAG-12: of those who would be mailed, per magazine and state; each number opens the list of these leads. They are mailed
    all the same."""
    weekly, monthly = make_magazine("週刊"), make_magazine("月刊")
    leads = [make_lead(f"{number}@yamate.example.jp") for number in range(4)]
    refuses = make_lead("5@yamate.example.jp", dm_permission="unwanted")
    for lead in (*leads[:2], refuses):
        make_reader(weekly, lead=lead, state="stopped")
    make_reader(monthly, lead=leads[0], state="error_stopped")
    make_reader(monthly, lead=leads[3])
    page = client.get(reverse("wizard_confirm", args=[draft.pk]))
    assert [(line.magazine, line.state, line.count) for line in page.context["stopped"]] == [
        ("月刊", "error_stopped", 1), ("週刊", "stopped", 2),
    ]  # fmt: skip
    assert page.context["counts"].addressed == 4
    url = f"{reverse('wizard_expected', args=[draft.pk])}?who=stopped-{weekly.pk}-stopped"
    assert url in page.content.decode()
    behind = client.get(url)
    assert [row["lead"] for row in behind.context["rows"]] == [leads[1], leads[0]]
    assert "配信停止" in behind.content.decode() and "週刊" in behind.content.decode()


@pytest.mark.parametrize(
    "who", ["stopped-0-stopped", "stopped-1-deliverable", "stopped-x-stopped", "stopped-", "stopped-1"]
)
def test_mag_12_unknown_numbers_are_404(client, draft, who):
    make_lead()
    assert client.get(f"{reverse('wizard_expected', args=[draft.pk])}?who={who}").status_code == 404


def test_mag_12_costs_nothing_without_readers(draft, django_assert_num_queries):
    make_lead()
    plan = plan_of(draft)
    with django_assert_num_queries(1):
        assert stopped_in_magazines(plan, now=timezone.now()) == []
    make_reader(make_magazine())
    assert Reader.objects.count() == 1
    assert stopped_in_magazines(plan, now=timezone.now()) == []


# ---- sending one mail again


def test_res_1_a_magazines_mail_is_sent_again_to_a_reader_only(magazine_job):
    """RES-1, MAG-1, OPT-7: DM許可 is not asked, the state of the reader is; the opt-out URL stays the reader's."""
    reader = make_reader(magazine_job.magazine)
    assert reader.lead.dm_permission == "unwanted"
    content = snapshot_of(magazine_job.story)
    original = make_delivery(
        reader.lead, job=magazine_job, kind="magazine", state="sent", snapshot=store_snapshot(content),
        merge_values=dict.fromkeys(Skeleton(content).names, "x") | {"メールアドレス": reader.lead.email},
    )  # fmt: skip
    now = timezone.now()
    values = single_mail.prefill(original, now=now)
    url = reader_opt_out_url(magazine_job.magazine_id, reader.lead_id)
    assert url in values["text_body"]
    draft = single_mail.write_draft(original, values, kept=[], files=[], attachments=[], now=now)
    assert draft.content["magazine"] == magazine_job.magazine_id
    with pytest.raises(single_mail.DraftRefused):
        without = values | {"text_body": values["text_body"].replace(url, "")}
        single_mail.write_draft(original, without, kept=[], files=[], attachments=[], now=now)
    for state in ("stopped", "error_stopped"):
        Reader.objects.update(state=state)
        with pytest.raises(single_mail.DraftRefused):
            single_mail.send_draft(draft, user=None, now=now)
    Reader.objects.update(state="deliverable")
    assert single_mail.send_draft(draft, user=None, now=now).state == "queued"
    Reader.objects.all().delete()
    assert single_mail.refused_because(reader.lead, draft.content)
