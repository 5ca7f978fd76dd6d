"""APP-1, SYS-1: inside a campaign no view, id or parameter reaches what belongs to another campaign or to the all-campaign
mode; and in the all-campaign mode nothing of a campaign is used by accident."""

import re
from datetime import UTC, datetime

import pytest
from django.core import serializers
from django.core.exceptions import ValidationError
from django.urls import reverse

from leads.models import Lead
from leads.search import EVERYONE, leads_matching, validate_condition
from mail import urls
from mail.models import CountedUrl, Delivery, MailTemplate, SendJob, SendJobLead, StepMail, StepWait
from mail.search_items import mail_items
from mail.single_mail import Draft
from settings.models import User
from smp.lib.finder import find
from smp.lib.mode import CAMPAIGN
from tests.factories import make_lead
from tests.mail.campaign_scene import make_scene

# Of each view inside a campaign that takes an id: which thing's. The walk below notices a view that is missing here.
IDS = {
    "template_id": lambda things, name: things.template.pk,
    "attachment_id": lambda things, name: things.attachment.pk,
    "step_id": lambda things, name: things.step.pk,
    "delivery_id": lambda things, name: things.single.pk if name == "single_mail_done" else things.delivery.pk,
    "url_id": lambda things, name: things.counted_url.pk,
    "job_id": lambda things, name: {
        "job_leads": things.reserved, "job_delete": things.reserved, "job_changed": things.reserved,
        "wizard_done": things.job,
    }.get(name, things.draft if name.startswith("wizard") else things.job).pk,
}  # fmt: skip
NOW = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)
NEEDS_A_DRAFT = {"single_mail_html"}  # not found without one, one's own neither
BY_KIND = ["kind"]  # mail settings: what they show is the mode's own (test_mail_settings.py)


@pytest.fixture
def scene(client, db):
    scene = make_scene()
    client.force_login(User.objects.get(username="kenta"))
    return scene


def inside_views():
    """(name, parameter names) of every view of mail/ that exists inside a campaign."""
    for pattern in urls.urlpatterns:
        if CAMPAIGN in getattr(pattern.callback, "modes", ()):
            yield pattern.name, re.findall(r"<\w+:(\w+)>", str(pattern.pattern))


def path_of(name, parameters, things):
    return reverse(name, kwargs={parameter: IDS[parameter](things, name) for parameter in parameters})


WITH_IDS = [(name, parameters) for name, parameters in inside_views() if parameters and parameters != BY_KIND]
LISTS = [name for name, parameters in inside_views() if not parameters]


def state_of_everything():
    rows = [
        *SendJob.objects.order_by("pk"),
        *MailTemplate.objects.order_by("pk"),
        *Delivery.objects.order_by("pk"),
        *CountedUrl.objects.order_by("pk"),
        *StepMail.objects.order_by("pk"),
        *StepWait.objects.order_by("pk"),
    ]
    return serializers.serialize("json", [*rows, *SendJobLead.objects.order_by("pk")])


def test_the_walk_knows_every_view():
    assert {parameter for _name, parameters in WITH_IDS for parameter in parameters} <= set(IDS)
    assert len(WITH_IDS) >= 35 and len(LISTS) >= 9


@pytest.mark.parametrize(("name", "parameters"), WITH_IDS, ids=[name for name, _parameters in WITH_IDS])
def test_ids_of_another_mode_are_not_found(client, scene, name, parameters):
    """APP-1: not of another campaign, not of the all-campaign mode; neither read nor changed."""
    before = state_of_everything()
    for whose in ("theirs", "blue"):
        path = scene["ours"].path + path_of(name, parameters, scene[whose])
        for call in (client.get, client.post):
            assert call(path).status_code in {404, 405}, (whose, call)
        assert 404 in {client.get(path).status_code, client.post(path).status_code}
    assert state_of_everything() == before
    # The same view with one's own id is there, so that the 404 above says something.
    own = scene["ours"].path + path_of(name, parameters, scene["ours"])
    assert client.get(own).status_code in ({404} if name in NEEDS_A_DRAFT else {200, 302, 405})


@pytest.mark.parametrize("name", LISTS)
def test_lists_show_what_is_theirs_only(client, scene, name):
    """APP-1: nothing of others in any list, whatever the filter says."""
    theirs, blue = scene["theirs"], scene["blue"]
    queries = [{}]
    for other in (theirs, blue):
        queries += [
            {"job": other.job.pk}, {"lead": other.lead.pk}, {"template": other.template.pk}, {"search": other.search.pk},
            {"delivery": other.delivery.pk}, {"campaign": theirs.campaign.pk}, {"q": other.mark}, {"words": other.mark},
            {"title": other.mark}, {"address": other.lead.email}, {"created_by": other.job.created_by_id},
            {"counts": other.counted_url.pk}, {"from": other.counted_url.pk}, {"name": other.mark}, {"url": other.mark},
        ]  # fmt: skip
    for query in queries:
        response = client.get(scene["ours"].path + reverse(name), query)
        assert response.status_code in {200, 302, 405, 422}, query
        if response.status_code in {302, 405}:
            continue
        said = b"".join(response.streaming_content if response.streaming else [response.content]).decode()
        typed = {str(value) for value in query.values()}
        shown = "".join(
            line for line in said.splitlines() if not any(f'value="{value}"' in line for value in typed)
        )
        assert theirs.mark not in shown and "担当外のセミナー" not in shown, query
        if name != "templates_of_all":  # where the templates of blue are shown to be copied
            assert blue.mark not in shown, query


def test_lists_show_ones_own(client, scene):
    """APP-1: so that the absence above says something."""
    for name in ("jobs", "deliveries", "templates", "returned_mails", "wizard", "jobs_export", "returned_export", "wizard_templates", "counted_urls", "counted_urls_export"):  # fmt: skip
        response = client.get(scene["ours"].path + reverse(name))
        said = b"".join(response.streaming_content if response.streaming else [response.content]).decode()
        assert "ミカン" in said, name
    assert "ブドウの件名" in client.get(scene["ours"].path + reverse("templates_of_all")).content.decode()


# ---- the wizard


def page_one(things, **values):
    data = {
        "token": "", "rule": "by_search", "dm_permissions": ["wanted"], "include_sent": "no", "timing": "now",
        "search": things.search.pk, "template": things.template.pk,
    }  # fmt: skip
    return {name: value for name, value in (data | values).items() if value is not None}


@pytest.mark.parametrize("whose", ["theirs", "blue"])
def test_app_1_searches_and_templates_of_one_mode_are_not_usable_in_the_other(client, scene, whose):
    """NAV-1, APP-1: neither posted on page 1 nor filled in by a link."""
    ours, other = scene["ours"], scene[whose]
    url = ours.path + reverse("wizard")
    before = SendJob.objects.count()
    for wrong, field in (
        ({"search": other.search.pk}, "search"),
        ({"template": other.template.pk}, "template"),
    ):
        response = client.post(url, page_one(ours, **wrong))
        assert list(response.context["form"].errors) == [field]
    draft = ours.path + reverse("wizard_condition", args=[ours.draft.pk])
    assert "template" in client.post(draft, page_one(ours, template=other.template.pk)).context["form"].errors
    assert SendJob.objects.count() == before
    prefilled = client.get(url, {"search": other.search.pk, "template": other.template.pk}).context["form"]
    assert (prefilled["search"].value(), prefilled["template"].value()) == (None, None)


def test_app_1_a_campaigns_things_are_not_usable_among_all_campaigns(client, scene):
    client.force_login(User.objects.get(username="misaki"))
    ours, blue = scene["ours"], scene["blue"]
    response = client.post(
        reverse("wizard"), page_one(blue, search=ours.search.pk, template=ours.template.pk)
    )
    assert set(response.context["form"].errors) == {"search", "template"}
    for name in ("wizard_condition", "wizard_confirm", "wizard_expected"):
        assert client.get(reverse(name, args=[ours.draft.pk])).status_code == 404
    for name in ("template", "template_edit", "template_test_send"):
        assert client.get(reverse(name, args=[ours.template.pk])).status_code == 404
    assert "ミカン" not in client.get(reverse("templates")).content.decode()


@pytest.mark.parametrize("whose", ["theirs", "blue"])
def test_the_hidden_token_of_another_modes_run_opens_nothing(client, scene, whose):
    """RSV-5: a token finds the run it made, but never one of another mode."""
    other = scene[whose].draft
    before = state_of_everything()
    posted = page_one(scene["ours"], token=str(other.token), include_sent="yes")
    assert client.post(scene["ours"].path + reverse("wizard"), posted).status_code == 404
    assert state_of_everything() == before


def test_only_applicants_can_be_ticked(client, scene):
    """TGT-5, APP-1: lead ids of others, posted by hand, tick nobody."""
    ours = scene["ours"]
    others = [scene["theirs"].lead.pk, scene["blue"].lead.pk]
    client.post(ours.path + reverse("wizard_from_leads"), {"lead": [ours.lead.pk, *others]})
    job = SendJob.objects.latest("pk")
    assert (job.campaign_id, list(job.ticked.values_list("lead_id", flat=True))) == (
        ours.campaign.pk, [ours.lead.pk],
    )  # fmt: skip
    leads = ours.path + reverse("wizard_leads", args=[job.pk])
    client.post(leads, {"go": "stay", "shown": others, "lead": others})
    assert list(job.ticked.values_list("lead_id", flat=True)) == [ours.lead.pk]
    page = client.get(leads).content.decode()
    assert "ミカン" in page and "リンゴ" not in page and "ブドウ" not in page


def test_test_sends_and_previews_never_show_another_modes_lead(client, scene):
    """TEST-2, TEST-3 inside a campaign: `lead` and `job` are parameters anybody can type."""
    ours = scene["ours"]
    Lead.objects.filter(pk=ours.lead.pk).update(email_valid=False)  # nobody fits by themselves
    test = ours.path + reverse("template_test_send", args=[ours.template.pk])
    preview = ours.path + reverse("template", args=[ours.template.pk])
    for whose in ("theirs", "blue"):
        other = scene[whose]
        assert client.get(test, {"lead": other.lead.pk}).context["lead"] is None
        assert client.get(test, {"job": other.draft.pk}).status_code == 404
        for words in (other.lead.pk, other.lead.email, other.mark, f"{other.mark}商事", f"{other.mark} 太郎"):
            assert client.get(preview, {"lead": words}).context["lead"] is None, words
        sent = client.post(test, {"addresses": "kenta@example.jp", "lead": other.lead.pk})
        assert sent.status_code == 302
        mail = Delivery.objects.latest("pk")
        assert (mail.kind, mail.related_id, mail.campaign_id) == ("test", None, ours.campaign.pk)
    assert client.get(preview, {"lead": ours.lead.pk}).context["lead"] == ours.lead


def test_why_is_answered_about_applicants_only(client, scene):
    """EXC-6: the question on the page of a mailing cannot be used to look at other leads."""
    ours = scene["ours"]
    url = ours.path + reverse("job", args=[ours.job.pk])
    for whose in ("theirs", "blue"):
        for asked in (scene[whose].lead.pk, scene[whose].lead.email):
            response = client.get(url, {"lead": asked})
            assert response.context["answers"] == []
    assert [row["lead"] for row in client.get(url, {"lead": ours.lead.pk}).context["answers"]] == [ours.lead]
    client.force_login(User.objects.get(username="misaki"))
    (answer,) = client.get(reverse("job", args=[ours.job.pk]), {"lead": scene["blue"].lead.pk}).context[
        "answers"
    ]
    assert answer["explanation"].sentence == (
        "対象外: このメールは「担当のセミナー」のもので、このリードは申し込んでいません。"
    )


def test_a_resends_draft_of_another_mail_is_worthless(client, scene):
    """RES-1: the token in the URL names the mail it was made for."""
    ours, theirs = scene["ours"], scene["theirs"]
    foreign = Draft(theirs.delivery, theirs.delivery.snapshot, theirs.delivery.decided_at)
    url = ours.path + reverse("single_mail_confirm", args=[ours.delivery.pk])
    for call in (client.get, client.post):
        response = call(f"{url}?draft={foreign.token}")
        assert response.headers["Location"] == ours.path + reverse("single_mail", args=[ours.delivery.pk])
    assert not Delivery.objects.filter(original_id=theirs.delivery.pk).exclude(pk=theirs.single.pk).exists()


def test_only_templates_of_all_campaigns_are_copied_in(client, scene):
    """「全キャンペーンのテンプレートからコピー」: the copy is the campaign's own, with its files; another campaign's are not
    offered and not found."""
    ours = scene["ours"]
    url = ours.path + reverse("templates_of_all")
    before = MailTemplate.objects.count()
    for wrong in (scene["theirs"].template.pk, ours.template.pk, "x", "9" * 30, ""):
        assert client.post(url, {"template": wrong}).status_code == 404
    assert MailTemplate.objects.count() == before
    response = client.post(url, {"template": scene["blue"].template.pk})
    copy = MailTemplate.objects.latest("pk")
    assert response.headers["Location"] == ours.path + reverse("template_edit", args=[copy.pk])
    assert (copy.campaign_id, copy.name) == (ours.campaign.pk, "ブドウのご案内")
    assert [file.file_name for file in copy.attachments.all()] == ["ブドウ.pdf"]
    scene["blue"].template.refresh_from_db()
    assert scene["blue"].template.campaign_id is None


# ---- what stands on pages of other apps


def test_search_box_home_and_lead_panel(client, scene):
    """NAV-3, APP-1: nothing of another campaign, nor of the all-campaign mode."""
    ours, theirs = scene["ours"], scene["theirs"]
    kenta = User.objects.get(username="kenta")
    for words in ("リンゴ", "ブドウ", str(theirs.job.pk), str(scene["blue"].template.pk)):
        assert find(kenta, words, ours.campaign.pk) == [], words
    found = [
        result.title for _finder, results in find(kenta, "ミカン", ours.campaign.pk) for result in results
    ]
    assert "ミカンのご案内" in found
    home = client.get(ours.path + reverse("home")).content.decode()
    assert "ミカンのご案内" in home and "リンゴ" not in home and "ブドウ" not in home
    from mail.lead_panel import why_panel

    request = client.get(ours.path + reverse("jobs")).wsgi_request
    for things, seen in ((ours, 2), (theirs, 0), (scene["blue"], 0)):
        assert len(why_panel(request, things.lead)["mails"]) == seen


def test_searchable_items_of_a_campaign_know_its_own_only(scene):
    """TGT-12, APP-1: a campaign's condition asks of its own mails, and only its own templates and mailings can be asked
    for: ids of others are refused like words."""
    ours, theirs = scene["ours"], scene["theirs"]
    items = {item.key: item for item in mail_items(ours.campaign.pk)}
    assert [key for key, _label in items["mail.template"].choices()] == [str(ours.template.pk)]
    assert {key for key, _label in items["mail.job"].choices()} == {str(ours.job.pk), str(ours.reserved.pk)}
    closed = [
        items["mail.template"],
        items["mail.job"],
        items["mail.job_scope"],
        *items["mail.result"].parts[-2:],
    ]
    assert all(source.closed and not source.reference and source.labels is None for source in closed)
    elsewhere = make_lead("both@example.jp")
    Delivery.objects.filter(pk=theirs.delivery.pk).update(lead=elsewhere)
    for key, values in (("mail.sent_at", []), ("mail.template", []), ("mail.result", [{"state": ["sent"]}])):
        operator = "is" if key == "mail.result" else "not_empty"
        q = items[key].q(operator, values, theirs.delivery.decided_at)
        assert set(Lead.objects.filter(q)) == {ours.lead}, key


# ---- among all campaigns


def test_history_of_all_campaigns_names_them(client, scene):
    """APP-1: in blue the histories show every mode's mails, with the campaign named and a link into its mode."""
    client.force_login(User.objects.get(username="misaki"))
    ours, blue = scene["ours"], scene["blue"]
    jobs = client.get(reverse("jobs")).content.decode()
    assert "ミカンのご案内" in jobs and "ブドウのご案内" in jobs
    assert f'href="{ours.path}{reverse("job", args=[ours.job.pk])}">担当のセミナー</a>' in jobs
    mails = client.get(reverse("deliveries")).content.decode()
    assert f'href="{ours.path}{reverse("delivery", args=[ours.delivery.pk])}">担当のセミナー</a>' in mails
    only = client.get(reverse("jobs"), {"campaign": ours.campaign.pk}).context["rows"]
    assert {row["job"].campaign_id for row in only} == {ours.campaign.pk}
    none = client.get(reverse("jobs"), {"campaign": "null"}).context["rows"]
    assert {row["job"].pk for row in none} == {blue.job.pk, blue.reserved.pk}
    page = client.get(reverse("deliveries"), {"campaign": "0"}).context["page"]
    assert {row.pk for row in page.rows} == {blue.delivery.pk, blue.single.pk}
    page = client.get(reverse("deliveries"), {"campaign": ours.campaign.pk}).context["page"]
    assert {row.pk for row in page.rows} == {ours.delivery.pk, ours.single.pk}
    exported = b"".join(client.get(reverse("jobs_export")).streaming_content).decode()
    assert "担当のセミナー" in exported


def test_a_campaigns_mailing_can_be_stopped_among_all_campaigns(client, scene):
    """RSV-3: a privileged administrator acts on it from wherever it is seen; a campaign administrator has no blue pages."""
    ours = scene["ours"]
    for name in ("job_pause", "job_stop"):
        assert client.post(reverse(name, args=[ours.job.pk])).status_code == 403
    client.force_login(User.objects.get(username="misaki"))
    client.post(reverse("job_stop", args=[ours.job.pk]))
    ours.job.refresh_from_db()
    assert ours.job.state == "stopped"
    content = client.get(reverse("job_content", args=[ours.reserved.pk]))
    assert content.headers["Location"] == ours.path + reverse("template", args=[ours.template.pk])


def test_a_campaigns_condition_names_its_own_things_only(scene):
    """APP-1: as validated when it is saved and read when it runs; what is found are applicants."""
    ours = scene["ours"]

    def condition(template):
        return {
            "match": "all",
            "blocks": [{"item": "mail.template", "operator": "is", "values": [str(template.pk)]}],
        }

    inside = {"campaign_id": ours.campaign.pk}
    assert validate_condition(condition(ours.template), **inside)["blocks"]
    assert list(leads_matching(condition(ours.template), now=NOW, **inside)) == [ours.lead]
    for whose in ("theirs", "blue"):
        foreign = condition(scene[whose].template)
        with pytest.raises(ValidationError, match="選択肢にありません"):
            validate_condition(foreign, **inside)
        with pytest.raises(ValidationError):
            leads_matching(foreign, now=NOW, **inside)
    assert list(leads_matching(EVERYONE, now=NOW, **inside)) == [ours.lead]
    assert set(leads_matching(condition(ours.template), now=NOW)) == {ours.lead}  # blue knows every mail
