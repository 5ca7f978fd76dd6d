"""FLAG-3: the nine ways in which an address is changed to a new one, each through the door that people and programs use.

    a changed, valid address of a fully registered lead   the flag is 有効 again, the failures count from 0   FLAG-3
    of a provisional lead                                 the flag and the count stay as they were            FLAG-4
    the flag itself                                       set by an administrator and visitor.put only        FLAG-5
    the same address, written differently                 nothing is reset                                    FLAG-6
    a malformed address                                   nothing is reset

The rule stands in leads/flags.py; tests/leads/test_flags.py has it without the doors.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from campaigns.events import CONFIRM_URL
from campaigns.known_address import MERGE_KEY, MergeKey
from campaigns.my_page.links import login_url
from leads.address import check_email
from leads.flags import SETTING_DIRECTLY, Way
from leads.models import Lead, LeadImport
from leads.tasks import run_import
from settings.api_keys import make_key
from settings.models import ApiKey, AuditEntry
from settings.system_settings import set_setting
from smp.lib.mode import url_in
from tests.campaigns.applying import heard
from tests.campaigns.forms import campaign_with_form, filled, send
from tests.factories import make_campaign, make_lead, make_user

pytestmark = pytest.mark.django_db

OLD, NEW, MALFORMED = "yoshio@yamate.example.jp", "takahashi@marunouchi.example.jp", "yoshio@@example.jp"
SAME_TO_EXC_4 = {
    "spaces": f"  {OLD} ",
    "upper case": OLD.upper(),
    "full-width": "ｙｏｓｈｉｏ＠ｙａｍａｔｅ．ｅｘａｍｐｌｅ．ｊｐ",
}


# ---- the doors: each enters an address for a lead as somebody outside would, with the flag if it is given, and says whether
# the door took it


@dataclass
class People:
    """Who comes to the doors: an administrator, a program with a key, and an attendee, who has no login."""

    admin: Client
    attendee: Client
    key: str

    def program(self, method: str, path: str, body: dict) -> int:
        call = getattr(self.attendee, method)
        return call(
            f"/api/v1{path}",
            body,
            content_type="application/json",
            headers={"Authorization": f"Bearer {self.key}"},
        ).status_code


def admin_edit(people: People, lead: Lead, address: str, flag: bool | None = None) -> bool:
    url = reverse("edit_lead", args=[lead.pk])
    form = people.admin.get(url).context["form"]
    values = {name: "" if form[name].value() is None else form[name].value() for name in form.fields}
    values |= {"email": address} | ({} if flag is None else {"email_valid": str(int(flag))})
    return people.admin.post(url, values).status_code == 302


def csv_update(people: People, lead: Lead, address: str, flag: bool | None = None) -> bool:
    chosen = {"mode": "update", "key": "id", "evidence": "card"}
    people.admin.post(reverse("imports"), chosen | {"file": _csv(lead, address, flag)})
    return _carried_out(people, None)


def csv_application(people: People, lead: Lead, address: str, flag: bool | None = None) -> bool:
    campaign = make_campaign()
    file = _csv(lead, address, flag)
    people.admin.post(url_in(campaign.pk, "csv_applications"), {"evidence": "card", "file": file})
    return _carried_out(people, campaign.pk) and lead.applications.filter(campaign=campaign).exists()


def _csv(lead: Lead, address: str, flag: bool | None) -> SimpleUploadedFile:
    # With a note, so that there is something to write even where the address is the same.
    rows = [["リードID", "E-mailアドレス", "備考"], [str(lead.pk), address, "名刺を更新"]]
    if flag is not None:
        rows[0].append("E-mailアドレスの有効フラグ")
        rows[1].append("有効" if flag else "無効")
    return SimpleUploadedFile("leads.csv", "".join(",".join(row) + "\n" for row in rows).encode())


def _carried_out(people: People, campaign_id: int | None) -> bool:
    """Checks and commits the file just uploaded; False when its row is wrong."""
    lead_import = LeadImport.objects.get()
    run_import(lead_import.pk)
    answer = people.admin.post(url_in(campaign_id, "import_commit", lead_import.pk))
    run_import(lead_import.pk)
    lead_import.refresh_from_db()
    return answer.status_code == 302 and lead_import.state == LeadImport.State.DONE


def merge(people: People, lead: Lead, address: str, flag: bool | None = None) -> bool:
    """The address is that of another lead. A malformed one can be there from an old file."""
    check = check_email(address)
    other = make_lead(
        check.address, email_norm=check.norm, email_malformed=check.malformed, email_valid=flag is not False
    )
    chosen = {"lead": [lead.pk, other.pk], "survivor": lead.pk, "value_email": other.pk}
    if flag is not None:
        chosen["value_email_valid"] = other.pk
    people.admin.post(reverse("merge_do"), chosen)
    other.refresh_from_db()
    return other.merged_into_id == lead.pk


def application(people: People, lead: Lead, address: str, flag: bool | None = None) -> bool:
    """An application adds to a lead found by the same address, which therefore cannot change; nor can it for who is logged in
    to my page. It changes where staff fill in the form for a lead they chose."""
    campaign = campaign_with_form()
    values = filled(campaign, email=address, token=uuid.uuid4(), evidence="form", email_valid=_typed(flag))
    people.admin.post(f"{url_in(campaign.pk, 'proxy_application')}?lead={lead.pk}", values)
    return lead.applications.filter(campaign=campaign).exists()


def auto_merge(people: People, lead: Lead, address: str, flag: bool | None = None) -> bool:
    """Who has the same name and company is the same person, where the system settings say so."""
    set_setting(MERGE_KEY, MergeKey.NAME_COMPANY.value, user=None)
    campaign = campaign_with_form(known_address="merge")
    send(people.attendee, campaign, email=address, email_valid=_typed(flag))
    return lead.applications.filter(campaign=campaign).exists()


def _typed(flag: bool | None) -> str | None:
    return None if flag is None else str(int(flag))


def my_page(people: People, lead: Lead, address: str, flag: bool | None = None) -> bool:
    """The address counts once the link in the mail to it was opened, and the button there pressed."""
    people.attendee.post(urlsplit(login_url(lead, now=timezone.now())).path)
    values = {"email": address} | ({} if flag is None else {"email_valid": _typed(flag)})
    with heard() as happenings:
        people.attendee.post(reverse("my_page_address"), values)
    if not happenings.all:
        return False
    confirmation = urlsplit(happenings.all[0].values[CONFIRM_URL]).path
    return people.attendee.post(confirmation, values).status_code == 302


def visitor_put(people: People, lead: Lead, address: str, flag: bool | None = None) -> bool:
    body = {"phone": lead.phone, "email": address} | ({} if flag is None else {"email_valid": flag})
    return people.program("put", "/visitor?upsert=1&update_key=phone", body) == 200


def application_post(people: People, lead: Lead, address: str, flag: bool | None = None) -> bool:
    visitor = {"email": address} | ({} if flag is None else {"email_valid": flag})
    body = {"campaign": make_campaign().pk, "lead": lead.pk, "visitor": visitor}
    return people.program("post", "/applications", body) == 201


# ---- the nine ways
WAYS: dict[Way, Callable[..., bool]] = {
    Way.ADMIN_EDIT: admin_edit,  # リード(申込者) › 編集
    Way.CSV_UPDATE: csv_update,  # CSV一括更新
    Way.CSV_APPLICATION: csv_application,  # CSV一括申込
    Way.MERGE: merge,  # リード(申込者) › マージ
    Way.APPLICATION: application,  # 申込画面, additional application
    Way.AUTO_MERGE: auto_merge,  # 申込画面, automatic merge
    Way.MY_PAGE: my_page,  # マイページ
    Way.API_VISITOR_PUT: visitor_put,  # API visitor.put (upsert=1)
    Way.API_APPLICATION_POST: application_post,  # API application.post
}
each_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.value)


@pytest.fixture
def people(db):
    cache.clear()  # of limits that other tests have used up
    admin = Client()
    admin.force_login(make_user())
    _key, text = make_key("テスト", ApiKey.Scope.values, expires_at=None, user=None, now=timezone.now())
    return People(admin, Client(), text)


def lead_with(registration: str = "full", *, valid: bool = False) -> Lead:
    """A lead whose address has failed three times (FLAG-1), or twice, and is valid still."""
    return make_lead(
        OLD, company="山手製作所㈱", phone="03-1234-5678", registration=registration, email_valid=valid,
        email_failures=2 if valid else 3,
    )  # fmt: skip


def flag_of(lead: Lead) -> tuple[bool, int]:
    lead.refresh_from_db()
    return lead.email_valid, lead.email_failures


def way_of(lead: Lead) -> str:
    """By which way the lead was written, as the product itself noted it down."""
    lead_import = LeadImport.objects.first()
    if lead_import is not None:
        return {"update": Way.CSV_UPDATE, "apply": Way.CSV_APPLICATION}[lead_import.mode]
    return AuditEntry.objects.get(action="lead.edit", target_id=str(lead.pk)).detail["way"]


def test_these_are_the_nine_ways():
    """FLAG-3: the first nine of Way; the others add leads, are commands, or change no address."""
    assert list(WAYS) == list(Way)[:9]
    assert set(Way) - set(WAYS) == {Way.CSV_ADD, Way.COMMAND, Way.MAGAZINE}


@each_way
def test_flag_3_a_new_address_of_a_full_registration_is_valid_again(way, people):
    lead = lead_with("full")
    assert WAYS[way](people, lead, NEW)
    assert flag_of(lead) == (True, 0)
    assert (lead.email, way_of(lead)) == (NEW, way)


@each_way
def test_flag_4_a_provisional_registration_keeps_the_flag_and_its_count(way, people):
    lead = lead_with("provisional")
    assert WAYS[way](people, lead, NEW)
    assert flag_of(lead) == (False, 3)
    assert (lead.email, lead.registration) == (NEW, "provisional")


@each_way
@pytest.mark.parametrize("written", SAME_TO_EXC_4.values(), ids=SAME_TO_EXC_4)
def test_flag_6_the_same_address_written_differently_resets_nothing(way, written, people):
    """My page says that this is their address already; the others save it as it is written."""
    lead = lead_with("full")
    assert WAYS[way](people, lead, written) == (way != Way.MY_PAGE)
    assert flag_of(lead) == (False, 3)
    assert lead.email_norm == OLD


@each_way
def test_a_malformed_address_resets_nothing(way, people):
    """FLAG-3: a new *valid* address. A merge may choose one that is stored already; no other door takes it."""
    lead = lead_with("full")
    taken = WAYS[way](people, lead, MALFORMED)
    assert flag_of(lead) == (False, 3)
    assert taken == (way == Way.MERGE)
    assert lead.email == (MALFORMED if taken else OLD)


@each_way
@pytest.mark.parametrize("flag", [True, False], ids=["to valid", "to invalid"])
def test_flag_5_only_two_ways_set_the_flag_directly(way, flag, people):
    """The address stays, the flag is sent along: the other doors refuse or ignore it."""
    lead = lead_with("full", valid=not flag)
    before = flag_of(lead)
    taken = WAYS[way](people, lead, OLD, flag)
    if way in SETTING_DIRECTLY:
        assert taken and flag_of(lead) == ((True, 0) if flag else (False, 2))
    else:
        assert flag_of(lead) == before


def test_flag_5_the_two_ways():
    assert {Way.ADMIN_EDIT, Way.API_VISITOR_PUT} == SETTING_DIRECTLY
