"""APP-1, SYS-1: whoever is inside one campaign reaches nothing of another campaign or of all campaigns, by any address.

The walk goes over every view that exists inside a campaign (@both_modes, @campaign_mode), as its administrator and as a
privileged one. It has no list of views to be kept: a view with an id this file does not know fails the first test, which
says what to add. What single parameters do is tested beside each app (tests/mail/test_campaign_isolation.py …).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from django.core import serializers
from django.db.models import Model
from django.utils import timezone

from campaigns.models import Application, CheckIn, ConsentText, FormItem, Session
from leads.merge import merge
from leads.models import LeadImport, LeadMerge
from settings.models import AuditEntry, User
from smp.lib.mode import CAMPAIGN
from tests.factories import make_application, make_campaign, make_lead
from tests.mail.campaign_scene import Things, make_scene
from tests.settings.test_permissions import all_patterns, modes_of


@dataclass
class Everything:
    """What a mode holds. Things of campaigns/ are those of `theirs` where all campaigns have none."""

    mail: Things
    lead_import: LeadImport
    lead_merge: LeadMerge
    application: Application
    session: Session
    form_item: FormItem
    check_in: CheckIn

    def rows(self) -> list[Model]:
        """Everything that nobody of another mode may change."""
        things = self.mail
        campaigns = [things.campaign] if things.campaign else []
        return [
            things.lead, things.template, things.attachment, things.search, things.draft, things.job, things.reserved,
            things.delivery, things.single, things.step, things.counted_url, self.lead_import, self.lead_merge, self.application, self.session,
            self.form_item, self.check_in, *campaigns,
        ]  # fmt: skip


Id = Callable[[Everything, str], int]


def _job(things: Everything, view: str) -> int:
    mail = things.mail
    if view in {"job_leads", "job_delete", "job_changed"}:
        return mail.reserved.pk
    return (mail.draft if view.startswith("wizard") and view != "wizard_done" else mail.job).pk


# Whose id stands for a parameter of a URL: one of the other mode.
IDS: dict[str, Id] = {
    "lead_id": lambda things, view: things.mail.lead.pk,
    "search_id": lambda things, view: things.mail.search.pk,
    "import_id": lambda things, view: things.lead_import.pk,
    "merge_id": lambda things, view: things.lead_merge.pk,
    "template_id": lambda things, view: things.mail.template.pk,
    "attachment_id": lambda things, view: things.mail.attachment.pk,
    "delivery_id": lambda things, view: things.mail.delivery.pk,
    "job_id": _job,
    "step_id": lambda things, view: things.mail.step.pk,
    "url_id": lambda things, view: things.mail.counted_url.pk,
}
# Views whose parameter is only called `pk`, by the beginning of their name.
BY_VIEW: dict[str, Id] = {
    "application": lambda things, view: things.application.pk,
    "ticket_": lambda things, view: things.application.pk,
    "session_": lambda things, view: things.session.pk,
    "form_item_": lambda things, view: things.form_item.pk,
    "check_in_undo": lambda things, view: things.check_in.pk,
}
# A privileged administrator registers any lead for a campaign (APP-2): there the search is over all of them.
FINDS_EVERYBODY = {"proxy_application"}
# Parameters that are no ids: the same words in every mode, and what they show is the mode's own.
WORDS = {"kind": "received", "key": "leads"}


def inside_views() -> list[tuple[str, str, list[str]]]:
    """(name, route, parameter names) of every view that exists inside a campaign."""
    return [
        (str(pattern.name), route, re.findall(r"<(?:\w+:)?(\w+)>", route))
        for route, pattern in all_patterns()
        if CAMPAIGN in modes_of(pattern)
    ]


def id_for(parameter: str, view: str) -> Id | None:
    if parameter != "pk":
        return IDS.get(parameter)
    return next((found for start, found in BY_VIEW.items() if view.startswith(start)), None)


def path_of(route: str, view: str, things: Everything) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] in WORDS:
            return WORDS[match[1]]
        found = id_for(match[1], view)
        assert found is not None, (view, match[1])
        return str(found(things, view))

    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", value, route)


def make_everything(mail: Things, campaign: Any, user: User) -> Everything:
    mark = mail.mark
    merged = make_lead(f"merged-{mail.lead.email}", last_name=mark)
    done = merge(mail.lead.pk, [merged.pk], chosen={}, user=user, now=timezone.now())
    lead_import = LeadImport.objects.create(
        mode="update", campaign_id=mail.campaign and mail.campaign.pk, file_name=f"{mark}.csv", state="checked",
        created_by=user, counts={"new": 0, "update": 1, "unchanged": 0, "wrong": 0, "notes": 0, "shared": 0, "digest": "0"},
    )  # fmt: skip
    application = Application.objects.filter(campaign=campaign, lead=mail.lead).first() or make_application(
        campaign, make_lead(f"x-{mail.lead.email}", last_name=mark)
    )
    ConsentText.objects.create(
        campaign=campaign,
        version=ConsentText.objects.filter(campaign=campaign).count() + 1,
        text=f"{mark}の同意文",
    )
    return Everything(
        mail=mail,
        lead_import=lead_import,
        lead_merge=done,
        application=application,
        session=Session.objects.create(campaign=campaign, title=f"{mark}のセッション"),
        form_item=FormItem.objects.create(
            campaign=campaign, source="question", type="text", label=f"{mark}の設問"
        ),
        check_in=CheckIn.objects.create(application=application),
    )


@pytest.fixture
def scene(db):
    found = make_scene()
    misaki = User.objects.get(username="misaki")
    strangers = make_campaign("よそのセミナー")
    return {
        whose: make_everything(things, things.campaign or strangers, misaki)
        for whose, things in found.items()
    }


@pytest.fixture(params=["kenta", "misaki"])
def inside(request, client, scene):
    """The path of kenta's campaign, opened by him or by a privileged administrator."""
    client.force_login(User.objects.get(username=request.param))
    return scene["ours"].mail.path


def state_of(*things: Everything) -> str:
    rows = [type(row)._default_manager.get(pk=row.pk) for one in things for row in one.rows()]
    return serializers.serialize("json", rows)


def said(response: Any) -> str:
    content = response.streaming_content if response.streaming else [response.content]
    return b"".join(content).decode()


def test_every_id_of_a_view_inside_a_campaign_is_known_here():
    """A view with a new id: add to IDS (or to BY_VIEW, if it is called pk) whose id of another mode stands for it."""
    unknown = [
        f"{view}: <{parameter}> – add it to IDS or BY_VIEW in tests/test_isolation.py"
        for view, _route, parameters in inside_views()
        for parameter in parameters
        if parameter not in WORDS and id_for(parameter, view) is None
    ]
    assert unknown == []
    assert len(inside_views()) > 100  # the walk sees the product


def test_no_id_of_another_mode_opens_anything(client, scene, inside):
    """APP-1, SYS-1: neither GET nor POST, of another campaign or of all campaigns; nothing of theirs changes."""
    others = scene["theirs"], scene["blue"]
    before, entries = state_of(*others), AuditEntry.objects.count()
    for view, route, parameters in inside_views():
        if not set(parameters) - set(WORDS):
            continue
        for things in others:
            path = inside + path_of(route, view, things)
            answers = [client.get(path), client.post(path, {"confirmed": "1"})]
            codes = [answer.status_code for answer in answers]
            assert set(codes) <= {403, 404, 405}, (view, path, codes)
            assert set(codes) & {403, 404}, (view, path, codes)
            for answer in answers:
                assert things.mail.mark not in said(answer), view
    assert state_of(*others) == before
    assert AuditEntry.objects.count() == entries


def test_ones_own_are_found(client, scene, inside):
    """So that the 404 above says something: the same walk with the ids of this campaign."""
    found = {}
    for view, route, parameters in inside_views():
        if set(parameters) - set(WORDS):
            found[view] = client.get(inside + path_of(route, view, scene["ours"])).status_code
    # A single mail's HTML needs a draft, the picture of a mail its own kind of delivery.
    missing = {view for view, status in found.items() if status in {403, 404}}
    assert missing <= {"single_mail_html", "single_mail_done"}


def test_no_page_of_a_campaign_names_what_is_not_its_own(client, scene, inside):
    """APP-1, SYS-1: pages and files without an id, asked plainly and with everybody's ids as parameters."""
    others = scene["theirs"], scene["blue"]
    privileged = client.get("/settings/system/").status_code == 200
    strange = {"担当外のセミナー", "よそのセミナー", *(things.application.code for things in others)}
    for view, route, parameters in inside_views():
        if set(parameters) - set(WORDS) or (privileged and view in FINDS_EVERYBODY):
            continue
        # Copying templates in from all campaigns is what that page is for.
        marks = {
            things.mail.mark for things in others if things is not scene["blue"] or view != "templates_of_all"
        }
        for things in (None, *others):
            asked = {} if things is None else _everybodys_ids(things)
            path = inside + path_of(route, view, scene["ours"])
            response = client.get(path, asked)
            assert response.status_code in {200, 302, 403, 404, 405, 422}, (view, response.status_code)
            text = said(response)
            assert [mark for mark in marks | strange if mark in text] == [], (view, asked)


def test_ids_of_others_posted_to_a_campaigns_pages_change_nothing(client, scene, inside):
    """APP-1, SYS-1: what a hand-made form names of others is neither shown nor touched."""
    others = scene["theirs"], scene["blue"]
    before = state_of(*others)
    for view, route, parameters in inside_views():
        if set(parameters) - set(WORDS) or view == "templates_of_all":  # which copies from blue
            continue
        for things in others:
            post = partial(client.post, inside + path_of(route, view, scene["ours"]))
            response = post(
                _everybodys_ids(things)
                | {"survivor": str(things.mail.lead.pk), "text": things.application.code}
            )
            assert things.mail.mark not in said(response), view
    assert state_of(*others) == before


def _everybodys_ids(things: Everything) -> dict[str, Any]:
    mail = things.mail
    return {
        "lead": mail.lead.pk, "ids": mail.lead.pk, "search": mail.search.pk, "template": mail.template.pk,
        "job": mail.job.pk, "delivery": mail.delivery.pk, "import": things.lead_import.pk,
        "application": things.application.pk, "session": things.session.pk, "item": things.form_item.pk,
        "campaign": things.application.campaign_id, "pk": things.application.pk, "q": "example.jp",
        "counts": mail.counted_url.pk, "from": mail.counted_url.pk,
    }  # fmt: skip


def test_a_campaigns_things_are_not_used_among_all_campaigns(client, scene):
    """APP-1: in blue a campaign's searches, imports and templates do not exist; leads and histories do."""
    client.force_login(User.objects.get(username="misaki"))
    for view in ("search_count", "search_copy", "search_delete", "lead_import", "import_commit", "template"):
        route = next(route for name, route, _parameters in inside_views() if name == view)
        path = path_of(route, view, scene["ours"])
        assert 404 in {client.get(path).status_code, client.post(path).status_code}, view
    for path in ("/leads/searches/", "/leads/imports/", "/mail/templates/"):
        assert "ミカン" not in said(client.get(path)), path
    assert "ミカン" in said(client.get("/leads/"))
