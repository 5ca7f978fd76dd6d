"""The send wizard through the browser's eyes: GET, POST, and what then stands in the tables."""

import uuid
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from leads.models import DmPermission, Lead, SavedSearch
from leads.search import EVERYONE
from mail import job_start, send_jobs
from mail.models import Delivery, SendJob
from settings.models import AuditEntry, Role, SystemSetting
from tests.factories import make_campaign, make_job, make_lead, make_template, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def misaki(client):
    user = make_user("misaki")
    client.force_login(user)
    return user


@pytest.fixture
def search(misaki):
    return SavedSearch.objects.create(name="全リード", condition=EVERYONE, owner=misaki)


def page_one(search=None, template=None, **values):
    """What the browser posts from page 1."""
    data = {
        "token": str(uuid.uuid4()), "rule": "by_search", "dm_permissions": ["wanted"], "include_sent": "no", "timing": "now",
        "search": search.pk if search else "", "template": template.pk if template else "",
    }  # fmt: skip
    return {name: value for name, value in (data | values).items() if value is not None}


def later(minutes=120):
    at = timezone.localtime(timezone.now() + timedelta(minutes=minutes))
    return {"timing": "later", "date": at.strftime("%Y-%m-%d"), "time": at.strftime("%H:%M")}


def start_run(client, **values) -> SendJob:
    response = client.post(reverse("wizard"), page_one(**values))
    assert response.status_code == 302, response.context["form"].errors
    return SendJob.objects.latest("pk")


def confirm(client, job, **values):
    response = client.post(reverse("wizard_confirm", args=[job.pk]), values)
    job.refresh_from_db()
    return response


# ---- page 1


def test_rule_has_exactly_two_values(client, search):
    """TGT-1"""
    response = client.get(reverse("wizard"))
    choices = response.context["form"].fields["rule"].choices
    assert [value for value, _label in choices] == ["by_user", "by_search"]
    html = response.content.decode()
    assert html.count('name="rule"') == 2
    assert "送信ユーザ指定" in html and "検索条件指定" in html and "送信者指定方法" in html


def test_unknown_rule_is_refused(client, search):
    """TGT-1"""
    response = client.post(reverse("wizard"), page_one(search, make_template(), rule="everybody"))
    assert response.status_code == 200 and "rule" in response.context["form"].errors
    assert SendJob.objects.count() == 0


def test_link_fills_in_search_and_template(client, search):
    template = make_template()
    form = client.get(reverse("wizard"), {"search": search.pk, "template": template.pk}).context["form"]
    assert (form["search"].value(), form["template"].value()) == (search.pk, template.pk)


@pytest.mark.parametrize("hostile", ["0", "-1", "999999999999999999999999", "\0", "１２", "abc", "1 OR 1=1"])
def test_hostile_prefill_and_choices_change_nothing(client, search, hostile):
    assert client.get(reverse("wizard"), {"search": hostile, "template": hostile}).status_code == 200
    response = client.post(
        reverse("wizard"),
        page_one(search=None, search_=1) | {"search": hostile, "template": hostile, "token": hostile},
    )
    assert response.status_code == 200
    assert SendJob.objects.count() == 0


def test_without_a_saved_search_the_page_says_so(client, misaki):
    kenta = make_user("kenta")
    SavedSearch.objects.create(name="健太の条件", condition=EVERYONE, owner=kenta)
    html = client.get(reverse("wizard")).content.decode()
    assert "使用できる検索条件がまだありません" in html
    assert "健太の条件" not in html


def test_only_own_and_shared_searches_can_be_chosen(client, misaki):
    kenta = make_user("kenta")
    private = SavedSearch.objects.create(name="健太だけ", condition=EVERYONE, owner=kenta)
    shared = SavedSearch.objects.create(name="全員用", condition=EVERYONE, owner=kenta, shared=True)
    response = client.post(reverse("wizard"), page_one(private, make_template()))
    assert list(response.context["form"].errors) == ["search"]
    assert start_run(client, search=shared, template=make_template("別")).search == shared


def test_dm_permission_defaults(client, search):
    """OPT-3: 希望する is ticked, 希望しない is not, and the screen warns."""
    response = client.get(reverse("wizard"))
    assert response.context["form"]["dm_permissions"].value() == ["wanted"]
    assert "メールの受け取りを希望しない人にも送信されます" in response.content.decode()


def test_unwanted_is_refused_for_advertising(client, search):
    """OPT-4: refused with the reason beside the field."""
    response = client.post(
        reverse("wizard"), page_one(search, make_template(), dm_permissions=["wanted", "unwanted"])
    )
    assert "特定電子メール法" in response.context["form"].errors["dm_permissions"][0]
    assert SendJob.objects.count() == 0


def test_reservation_in_the_past_is_refused(client, search):
    response = client.post(reverse("wizard"), page_one(search, make_template(), **later(-5)))
    assert list(response.context["form"].errors) == ["date"]


def test_time_is_japanese_time(client, search):
    job = start_run(
        client, search=search, template=make_template(), timing="later", date="2031-03-04", time="10:00"
    )
    assert job.scheduled_at.isoformat() == "2031-03-04T01:00:00+00:00"


@pytest.mark.parametrize(
    "values",
    [
        {"date": "", "time": ""},
        {"date": "2031-02-30", "time": "10:00"},
        {"date": "99999-01-01", "time": "25:61"},
    ],
)
def test_missing_or_wrong_time_is_named(client, search, values):
    response = client.post(reverse("wizard"), page_one(search, make_template(), timing="later", **values))
    assert response.status_code == 200 and "date" in response.context["form"].errors
    assert SendJob.objects.count() == 0


def test_the_same_page_posted_twice_makes_one_run(client, search):
    """RSV-5"""
    data = page_one(search, make_template())
    first, second = client.post(reverse("wizard"), data), client.post(reverse("wizard"), data)
    assert first.url == second.url
    assert SendJob.objects.count() == 1


def test_a_draft_survives_and_is_listed(client, search):
    job = start_run(client, search=search, template=make_template(), include_sent="yes", **later())
    form = client.get(reverse("wizard_condition", args=[job.pk])).context["form"]
    assert (form["include_sent"].value(), form["timing"].value(), form["search"].value()) == (
        "yes",
        "later",
        search.pk,
    )
    html = client.get(reverse("wizard")).content.decode()
    assert "続きから" in html and reverse("wizard_condition", args=[job.pk]) in html
    client.post(reverse("wizard_discard", args=[job.pk]))
    assert SendJob.objects.count() == 0


# ---- by user


def test_by_user_addresses_only_ticked_leads(client, search):
    """TGT-5: the leads of page 1's condition with checkboxes; ticks are kept from page to page."""
    leads = [make_lead(f"lead{n}@example.jp", last_name=f"姓{n}") for n in range(60)]
    job = start_run(client, search=search, template=make_template(), rule="by_user")
    url = reverse("wizard_leads", args=[job.pk])
    page = client.get(url)
    assert [lead.pk for lead in page.context["leads"]] == [lead.pk for lead in reversed(leads[10:])]
    assert page.content.decode().count('type="checkbox" name="lead"') == 50
    first = [lead.pk for lead in page.context["leads"]]
    response = client.post(url, {"shown": first, "lead": first[:2], "go": "page-2"})
    assert response.url == f"{url}?page=2"
    second = [lead.pk for lead in client.get(response.url).context["leads"]]
    client.post(response.url, {"shown": second, "lead": second[:1], "go": "next"})
    assert set(job.ticked.values_list("lead_id", flat=True)) == {*first[:2], second[0]}
    confirm(client, job)
    assert set(Delivery.objects.filter(job=job).values_list("lead_id", flat=True)) == {*first[:2], second[0]}


def test_ticking_makes_the_job_by_user(client, search):
    """TGT-5: even if 検索条件指定 and a condition were chosen on the first page."""
    lead = make_lead()
    make_lead("other@example.jp")
    job = start_run(client, search=search, template=make_template())
    assert job.rule == "by_search"
    client.post(reverse("wizard_leads", args=[job.pk]), {"shown": [lead.pk], "lead": [lead.pk], "go": "next"})
    confirm(client, job)
    assert (job.rule, Delivery.objects.get(job=job).lead) == ("by_user", lead)


def test_from_the_lead_list(client, misaki):
    """TGT-5: leads ticked in a list become a by-user run; no condition is needed."""
    leads = [make_lead(f"{n}@example.jp") for n in range(2)]
    make_lead("not-ticked@example.jp")
    response = client.post(reverse("wizard_from_leads"), {"lead": [lead.pk for lead in leads]})
    job = SendJob.objects.get()
    assert (response.url, job.rule) == (reverse("wizard_condition", args=[job.pk]), "by_user")
    assert client.get(response.url).context["form"]["rule"].value() == "by_user"
    response = client.post(response.url, page_one(template=make_template(), rule="by_user"))
    assert response.url == reverse("wizard_leads", args=[job.pk])
    assert client.get(response.url).context["ticked"] == {lead.pk for lead in leads}
    response = client.post(
        response.url, {"shown": [lead.pk for lead in leads], "lead": [leads[0].pk], "go": "next"}
    )
    confirm(client, job)
    assert Delivery.objects.get(job=job).lead == leads[0]


@pytest.mark.parametrize(("number", "accepted"), [(500, True), (501, False)])
def test_by_user_limit(client, misaki, number, accepted):
    """TGT-6: 500 is accepted, 501 refused with a message that names the limit and points to 検索条件指定."""
    Lead.objects.bulk_create(
        Lead(email=f"{n}@example.jp", email_norm=f"{n}@example.jp") for n in range(number)
    )
    ids = list(Lead.objects.values_list("pk", flat=True))
    response = client.post(reverse("wizard_from_leads"), {"lead": ids}, follow=True)
    assert SendJob.objects.count() == (1 if accepted else 0)
    if accepted:
        assert SendJob.objects.get().ticked.count() == 500
    else:
        html = response.content.decode()
        assert "500" in html and "501" in html and "検索条件指定" in html


def test_by_user_limit_while_ticking(client, search):
    """TGT-6: the 501st tick is refused, and the 500 before stay."""
    Lead.objects.bulk_create(Lead(email=f"{n}@example.jp", email_norm=f"{n}@example.jp") for n in range(501))
    ids = list(Lead.objects.order_by("pk").values_list("pk", flat=True))
    job = start_run(client, search=search, template=make_template(), rule="by_user")
    send_jobs.tick(job, ids[:500])
    response = client.post(
        reverse("wizard_leads", args=[job.pk]), {"shown": [ids[500]], "lead": [ids[500]], "go": "next"}
    )
    assert response.status_code == 200
    assert "500" in response.context["error"] and "検索条件指定" in response.context["error"]
    assert job.ticked.count() == 500


def test_by_search_has_no_ticks(client, search):
    """TGT-7: by search nobody can be picked out or left out; whoever matches is addressed."""
    leads = [make_lead(f"{n}@example.jp") for n in range(3)]
    job = start_run(client, search=search, template=make_template())
    html = client.get(reverse("wizard_confirm", args=[job.pk])).content.decode()
    assert 'name="lead"' not in html
    confirm(client, job, lead=[leads[0].pk], exclude=[leads[1].pk])
    job_start.run(job.pk, now=timezone.now())
    assert set(Delivery.objects.filter(job=job, state="queued").values_list("lead_id", flat=True)) == {
        lead.pk for lead in leads
    }


def test_nobody_ticked_cannot_go_on(client, search):
    make_lead()
    job = start_run(client, search=search, template=make_template(), rule="by_user")
    response = client.post(reverse("wizard_leads", args=[job.pk]), {"go": "next"})
    assert response.context["error"] != ""
    assert client.get(reverse("wizard_confirm", args=[job.pk])).url == reverse("wizard_leads", args=[job.pk])


def test_hostile_ticks(client, search):
    """Ids that are none, too large or deleted are not ticked."""
    gone = make_lead("gone@example.jp", deleted_at=timezone.now())
    lead = make_lead()
    job = start_run(client, search=search, template=make_template(), rule="by_user")
    client.post(
        reverse("wizard_leads", args=[job.pk]),
        {
            "shown": ["x", "\0", lead.pk],
            "lead": [lead.pk, gone.pk, "9" * 30, "-1", "１", "\0"],
            "go": "page-髙",
        },
    )
    assert list(job.ticked.values_list("lead_id", flat=True)) == [lead.pk]


def test_text_above_the_list_narrows_it(client, search):
    wanted = make_lead("a@example.jp", last_name="髙﨑", company="𠮷野㈱")
    make_lead("b@example.jp", last_name="佐藤")
    job = start_run(client, search=search, template=make_template(), rule="by_user")
    for words in ("髙﨑", "𠮷野㈱ 髙", "A@EXAMPLE"):
        assert [
            lead.pk
            for lead in client.get(reverse("wizard_leads", args=[job.pk]), {"q": words}).context["leads"]
        ] == [wanted.pk]
    assert client.get(reverse("wizard_leads", args=[job.pk]), {"q": "\0%_'"}).status_code == 200


# ---- the confirmation


@pytest.fixture
def everybody(misaki):
    """One lead for every reason, and two who will be mailed."""
    now = timezone.now()
    return {
        "": [make_lead("a@example.jp"), make_lead("same@example.jp", pk=90_002)],
        "no_address": [make_lead("")],
        "unsubscribed": [make_lead("u@example.jp", unsubscribed_at=now)],
        "invalid_address": [make_lead("i@example.jp", email_valid=False)],
        "provisional": [make_lead("p@example.jp", registration="provisional")],
        "dm_permission": [make_lead("d@example.jp", dm_permission=DmPermission.UNWANTED)],
        "duplicate": [make_lead("same@example.jp", pk=90_001)],
    }


def test_dry_run_names_every_reason_with_its_leads(client, search, everybody):
    """EXC-6: the expected counts per reason; each opens the leads behind it."""
    job = start_run(client, search=search, template=make_template())
    page = client.get(reverse("wizard_confirm", args=[job.pk]))
    assert {line["reason"]: line["count"] for line in page.context["funnel"]} == {
        reason: 1 for reason in everybody if reason
    }
    assert (page.context["counts"].in_scope, page.context["counts"].addressed) == (8, 2)
    html = page.content.decode()
    expected = reverse("wizard_expected", args=[job.pk])
    for reason, leads in everybody.items():
        who = reason or "addressed"
        assert f"{expected}?who={who}" in html
        found = client.get(expected, {"who": who})
        assert {row["lead"].pk for row in found.context["rows"]} == {lead.pk for lead in leads}
        assert found.context["total"] == len(leads)
    assert client.get(expected, {"who": "in_scope"}).context["total"] == 8
    assert Delivery.objects.count() == 0


def test_expected_leads_are_paged(client, search):
    """EXC-6"""
    Lead.objects.bulk_create(Lead(email=f"{n}@example.jp", email_norm=f"{n}@example.jp") for n in range(51))
    job = start_run(client, search=search, template=make_template())
    expected = reverse("wizard_expected", args=[job.pk])
    second = client.get(expected, {"who": "addressed", "page": 2})
    assert (len(second.context["rows"]), second.context["total"], second.context["more"]) == (1, 51, False)
    assert client.get(expected, {"who": "addressed", "page": "9" * 8}).status_code == 302
    for hostile in ("0", "-1", "x", "9" * 40, "\0"):
        assert client.get(expected, {"who": "addressed", "page": hostile}).status_code == 200
    assert client.get(expected, {"who": "nobody"}).status_code == 404


def test_confirmation_says_when_it_is_decided(client, search):
    """TGT-2, TGT-3"""
    lead = make_lead()
    job = start_run(client, search=search, template=make_template())
    assert (
        "もう一度検索して決まります" in client.get(reverse("wizard_confirm", args=[job.pk])).content.decode()
    )
    send_jobs.tick(job, [lead.pk])
    assert "予約の時点で確定します" in client.get(reverse("wizard_confirm", args=[job.pk])).content.decode()


def test_immediate_sending_asks_in_words(client, search):
    """TGT-10"""
    make_lead()
    job = start_run(client, search=search, template=make_template())
    html = client.get(reverse("wizard_confirm", args=[job.pk])).content.decode()
    assert "以上の内容で即時配信してもよろしいですか?" in html and "この内容で送信する" in html
    job = start_run(client, search=search, template=make_template("別"), **later())
    html = client.get(reverse("wizard_confirm", args=[job.pk])).content.decode()
    assert "この内容で送信を予約する" in html and "即時配信してもよろしいですか" not in html


@pytest.mark.parametrize(("choice", "addressed"), [("no", 1), ("yes", 2)])
def test_already_sent_leads(client, search, choice, addressed):
    """EXC-2: judged per template and lead."""
    template, other = make_template(), make_template("別")
    had, had_other = make_lead("had@example.jp"), make_lead("other@example.jp")
    for lead, sent in ((had, template), (had_other, other)):
        Delivery.objects.create(
            lead=lead, template=sent, kind="single", state="sent", decided_at=timezone.now()
        )
    job = start_run(client, search=search, template=template, include_sent=choice)
    assert client.get(reverse("wizard_confirm", args=[job.pk])).context["counts"].addressed == addressed


def test_duplicates_setting_off_is_pointed_out(client, search):
    """EXC-3"""
    make_lead()
    job = start_run(client, search=search, template=make_template())
    note = "メールウィザードで重複メールを送信しない"
    assert note not in client.get(reverse("wizard_confirm", args=[job.pk])).content.decode()
    SystemSetting.objects.create(key="skip_duplicate_addresses", value=False)
    assert note in client.get(reverse("wizard_confirm", args=[job.pk])).content.decode()


def test_unwanted_needs_a_second_confirmation_with_the_number(client, search):
    """OPT-4: a business notice reaches refusers only after a second confirmation; the log has it."""
    make_lead("yes@example.jp")
    for n in range(2):
        make_lead(f"no{n}@example.jp", dm_permission=DmPermission.UNWANTED)
    notice = make_template(purpose="notice")
    job = start_run(client, search=search, template=notice, dm_permissions=["wanted", "unwanted"])
    page = client.get(reverse("wizard_confirm", args=[job.pk]))
    assert page.context["refusers"] == 2 and "unwanted_confirmed" in page.content.decode()
    response = confirm(client, job)
    assert (response.status_code, job.state) == (200, "draft")
    confirm(client, job, unwanted_confirmed="yes")
    assert job.state == "preparing"
    assert AuditEntry.objects.get(action="job.send").detail["refusers"] == 2


def test_the_second_confirmation_is_asked_anew(client, search):
    """OPT-4: a tick given before the mailing was refused for another reason does not stand for the next click."""
    make_lead("no@example.jp", dm_permission=DmPermission.UNWANTED)
    notice = make_template(purpose="notice")
    job = start_run(client, search=search, template=notice, dm_permissions=["unwanted"])
    type(notice).objects.update(archived_at=timezone.now())
    confirm(client, job, unwanted_confirmed="yes")
    type(notice).objects.update(archived_at=None)
    confirm(client, job)
    assert job.state == "draft"
    confirm(client, job, unwanted_confirmed="yes")
    assert job.state == "preparing"


def test_unwanted_is_refused_when_the_template_became_advertising(client, search):
    """OPT-4: checked again at the last click."""
    make_lead()
    notice = make_template(purpose="notice")
    job = start_run(client, search=search, template=notice, dm_permissions=["unwanted"])
    type(notice).objects.update(purpose="advertising")
    response = confirm(client, job, unwanted_confirmed="yes")
    assert (response.status_code, job.state) == (200, "draft")
    assert response.context["refused"] is True


def test_missing_legal_notice_stops_it(client, search):
    """LAW-1: the wizard refuses and names what is missing."""
    make_lead()
    job = start_run(client, search=search, template=make_template(text_body="本文だけ"))
    page = client.get(reverse("wizard_confirm", args=[job.pk]))
    assert page.context["refused"] is True and [
        problem for problem in page.context["problems"] if problem.severity == "error"
    ]
    assert (confirm(client, job).status_code, job.state) == (200, "draft")


def test_double_click_reload_and_second_administrator_make_one_job(client, search):
    """RSV-5"""
    lead = make_lead()
    job = start_run(client, search=search, template=make_template(), rule="by_user")
    send_jobs.tick(job, [lead.pk])
    kenta = make_user("kenta")
    first = confirm(client, job)
    second = confirm(client, job)
    client.force_login(kenta)
    third = confirm(client, job)
    done = reverse("wizard_done", args=[job.pk])
    assert [first.url, second.url, third.url] == [done] * 3
    assert (
        SendJob.objects.count(),
        Delivery.objects.count(),
        AuditEntry.objects.filter(action="job.send").count(),
    ) == (1, 1, 1)
    for _reload in range(2):
        html = client.get(done).content.decode()
        assert reverse("job", args=[job.pk]) in html
    for page in ("wizard_condition", "wizard_leads", "wizard_confirm"):
        assert client.get(reverse(page, args=[job.pk])).url == done
        assert client.post(reverse(page, args=[job.pk]), {"go": "next"}).url == done
    assert client.post(reverse("wizard_discard", args=[job.pk])).url == done
    assert SendJob.objects.count() == 1


@pytest.mark.parametrize(("rule", "sent"), [("by_user", True), ("by_search", False)])
def test_golden_case(client, search, rule, sent):
    """TGT-4: 希望する only; reserved; then the lead turns 希望しない. By user it is sent, by search it is not."""
    lead = make_lead()
    job = start_run(client, search=search, template=make_template(), rule=rule, **later())
    if rule == "by_user":
        client.post(
            reverse("wizard_leads", args=[job.pk]), {"shown": [lead.pk], "lead": [lead.pk], "go": "next"}
        )
    confirm(client, job)
    assert job.state == "reserved"
    Lead.objects.filter(pk=lead.pk).update(dm_permission=DmPermission.UNWANTED)
    job_start.run(job.pk, now=job.scheduled_at + timedelta(seconds=3))
    delivery = Delivery.objects.get(job=job, lead=lead)
    assert (delivery.state, delivery.reason) == (("queued", "") if sent else ("excluded", "dm_permission"))


# ---- who may


def test_viewer_cannot_send(client, search):
    """SYS-1"""
    job = start_run(client, search=search, template=make_template())
    client.force_login(make_user("yui", role=Role.VIEWER))
    for page in ("wizard_condition", "wizard_leads", "wizard_confirm", "wizard_expected", "wizard_done"):
        assert client.get(reverse(page, args=[job.pk])).status_code == 403
    assert client.get(reverse("wizard")).status_code == 403
    assert client.post(reverse("wizard_from_leads"), {"lead": [1]}).status_code == 403
    assert confirm(client, job).status_code == 403
    assert job.state == "draft"


def test_another_users_draft_is_not_found(client, misaki):
    """SYS-1: a campaign administrator goes on with runs of their own only; a privileged one with anybody's."""
    kenta = make_user("kenta", role=Role.CAMPAIGN)
    campaign = make_campaign(members=[kenta])
    job = make_job(make_template(campaign=campaign), campaign=campaign, created_by=misaki)
    inside = f"/c/{campaign.pk}"
    pages = ("wizard_condition", "wizard_leads", "wizard_confirm", "wizard_expected", "wizard_done")
    assert client.get(inside + reverse("wizard_condition", args=[job.pk])).status_code == 200
    client.force_login(kenta)
    for page in pages:
        assert client.get(inside + reverse(page, args=[job.pk])).status_code == 404
    assert client.post(inside + reverse("wizard_confirm", args=[job.pk])).status_code == 404
    assert client.post(inside + reverse("wizard_discard", args=[job.pk])).status_code == 404
    listed = client.get(inside + reverse("wizard")).content.decode()
    assert inside + reverse("wizard_condition", args=[job.pk]) not in listed
    job.refresh_from_db()
    assert job.state == "draft"


def test_wrong_ids_are_not_found(client, misaki):
    for wrong in (0, 10**18, 10**30):
        assert client.get(f"/mail/wizard/{wrong}/confirm/").status_code == 404


def test_get_changes_nothing(client, search):
    make_lead()
    job = start_run(client, search=search, template=make_template())
    before = SendJob.objects.values().get(pk=job.pk)
    for page in ("wizard_condition", "wizard_leads", "wizard_confirm", "wizard_expected"):
        client.get(reverse(page, args=[job.pk]))
    assert client.get(reverse("wizard_discard", args=[job.pk])).status_code == 405
    assert client.get(reverse("wizard_from_leads")).status_code == 405
    assert SendJob.objects.values().get(pk=job.pk) == before


@pytest.mark.parametrize("page", ["wizard_leads", "wizard_expected"])
def test_same_number_of_queries_for_one_and_three_rows(client, search, django_assert_num_queries, page):
    job = start_run(client, search=search, template=make_template(), rule="by_user")
    numbers = []
    for leads in (1, 2):
        send_jobs.tick(
            job,
            [make_lead(f"{leads}{n}@example.jp").pk for n in range(leads)]
            + list(job.ticked.values_list("lead_id", flat=True)),
        )
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(connection) as queries:
            assert client.get(reverse(page, args=[job.pk]), {"who": "addressed"}).status_code == 200
        numbers.append(len(queries))
    assert numbers[0] == numbers[1]


def test_only_what_was_shown_is_confirmed(client, search):
    """RSV-5: a second window, or another administrator, changed the run after the confirmation page was opened."""
    make_lead()
    job = start_run(client, search=search, template=make_template())
    page = client.get(reverse("wizard_confirm", args=[job.pk]))
    send_jobs.change_draft(job, include_sent=True)
    response = confirm(client, job, seen=page.context["seen"])
    assert response.status_code == 200 and job.state == "draft"
    assert "変更されました" in response.content.decode()
    assert f'name="seen" value="{send_jobs.fingerprint(job)}"' in response.content.decode()
    assert confirm(client, job, seen=response.context["seen"]).status_code == 302
    assert job.state != "draft"
