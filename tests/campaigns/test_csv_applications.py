"""CSV-1, CSV-2: 「CSV一括申込」. Leads are found or made, and everybody in the file applies, in its order, as far as seats go."""

import io
import json

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.utils import timezone

from campaigns.applications import seats
from campaigns.models import Application, FormItem
from leads.imports import commit_import, stage_import
from leads.imports.report import kinds, rows_of_kind, rows_shown
from leads.imports.steps import request_commit, upload
from leads.models import Lead, LeadColumn, LeadImport
from settings.models import Role
from tests.campaigns.applying import heard
from tests.factories import make_application, make_campaign, make_lead, make_user
from tests.leads.importing import commit, counts, problems

pytestmark = pytest.mark.django_db

HEADER = "姓,名,E-mailアドレス,会社名\n"
THREE = HEADER + (
    "山田,花子,hanako@yamate.example.jp,山手製作所\n"
    "髙﨑,𠮷男,yoshio@yamate.example.jp,①㈱😀\n"
    "鈴木,健太,kenta@yamate.example.jp,\n"
)


def check(campaign, content, *, user=None, tell=False):
    lead_import = upload(
        [content.encode()], file_name="applicants.csv", mode="apply", key="id", evidence="card", user=user,
        campaign_id=campaign.pk, tell=tell,
    )  # fmt: skip
    stage_import(lead_import)
    lead_import.refresh_from_db()
    return lead_import


def bring_in(campaign, content, *, skip_wrong=False, user=None, tell=False):
    lead_import = commit(check(campaign, content, user=user, tell=tell), skip_wrong=skip_wrong, user=user)
    assert lead_import.state == "done", lead_import.error
    return lead_import


def verdicts(lead_import):
    return {name: lead_import.counts[name] for name in ("apply", "waiting", "already")}


def applicants(campaign):
    """[(last name, state)] in the order of the applications."""
    return list(
        Application.objects.filter(campaign=campaign).order_by("id").values_list("lead__last_name", "state")
    )


def test_new_people_become_leads_with_an_application():
    campaign = make_campaign()
    lead_import = check(campaign, THREE)
    assert (lead_import.state, counts(lead_import)["new"], verdicts(lead_import)) == (
        "checked", 3, {"apply": 3, "waiting": 0, "already": 0},
    )  # fmt: skip
    assert not Lead.objects.exists() and not Application.objects.exists()  # a dry run
    with heard() as told:
        commit(lead_import)
    assert applicants(campaign) == [("山田", "applied"), ("髙﨑", "applied"), ("鈴木", "applied")]
    application = Application.objects.get(lead__last_name="髙﨑")
    assert (application.way, application.entered["company"], application.lead.company) == (
        "csv",
        "①㈱😀",
        "①㈱😀",
    )
    assert application.applied_at == application.created_at == lead_import.committed_at
    assert application.lead.consent_records.get().evidence == "card"
    assert application.lead.registration == "full"
    assert told == []  # unless it was chosen
    assert len(set(Application.objects.values_list("code", flat=True))) == 3


def test_app_6_seats_go_in_the_order_of_the_file():
    campaign = make_campaign(capacity=2)
    make_application(campaign, make_lead("first@x.example.jp", last_name="先客"))
    lead_import = bring_in(campaign, THREE)
    assert verdicts(lead_import) == {"apply": 1, "waiting": 2, "already": 0}
    assert applicants(campaign)[1:] == [("山田", "applied"), ("髙﨑", "waiting"), ("鈴木", "waiting")]
    assert [row.cells[0] for row in rows_of_kind(lead_import, "waiting")] == ["髙﨑", "鈴木"]
    assert [row.cells[0] for row in rows_of_kind(lead_import, "apply")] == ["山田"]


def test_full_without_a_waiting_list():
    campaign = make_campaign(capacity=1, waiting_list=False)
    lead_import = check(campaign, THREE)
    assert problems(lead_import) == [(3, None, "campaign_full"), (4, None, "campaign_full")]
    with pytest.raises(ValidationError):
        commit(lead_import)
    commit(lead_import, skip_wrong=True)
    assert applicants(campaign) == [("山田", "applied")]
    assert Lead.objects.count() == 1


def test_who_has_applied_already_is_counted_and_updated():
    campaign = make_campaign()
    lead = make_lead("hanako@yamate.example.jp", last_name="旧姓", phone="03-1234-5678")
    make_application(campaign, lead)
    lead_import = bring_in(campaign, THREE)
    assert verdicts(lead_import) == {"apply": 2, "waiting": 0, "already": 1}
    lead.refresh_from_db()
    assert (lead.last_name, lead.phone) == (
        "山田",
        "03-1234-5678",
    )  # CSV-2: a column left out keeps the values
    assert lead.applications.count() == 1


def test_who_cancelled_may_apply_again():
    campaign = make_campaign()
    make_application(campaign, make_lead("hanako@yamate.example.jp"), state="cancelled")
    assert verdicts(bring_in(campaign, THREE)) == {"apply": 3, "waiting": 0, "already": 0}


def test_csv_2_a_known_lead_is_overwritten_and_blank_cells_clear():
    lead = make_lead(
        "kenta@yamate.example.jp", company="旧社名", registration="provisional", dm_permission="unwanted"
    )
    campaign = make_campaign()
    bring_in(
        campaign,
        THREE.replace("会社名", "会社名,DM許可")
        .replace("所\n", "所,\n")
        .replace("😀\n", "😀,\n")
        .replace("jp,\n", "jp,,\n"),
    )
    lead.refresh_from_db()
    assert (lead.last_name, lead.company, lead.dm_permission, lead.registration) == (
        "鈴木",
        "",
        "unwanted",
        "provisional",
    )
    assert Application.objects.get(lead=lead).state == "applied"


class TestFlag:
    """FLAG-3, FLAG-4, FLAG-6 for リードCSV一括申込 (csv_application)."""

    def written(self, email, **values):
        lead = make_lead("old@yamate.example.jp", email_valid=False, email_failures=3, **values)
        bring_in(make_campaign(), f"リードID,E-mailアドレス\n{lead.pk},{email}\n")
        lead.refresh_from_db()
        return lead

    def test_flag_3_a_new_address_is_valid_again(self):
        lead = self.written("new@yamate.example.jp")
        assert (lead.email, lead.email_valid, lead.email_failures) == ("new@yamate.example.jp", True, 0)

    def test_flag_4_not_of_a_provisional_lead(self):
        lead = self.written("new@yamate.example.jp", registration="provisional")
        assert (lead.email, lead.email_valid, lead.email_failures) == ("new@yamate.example.jp", False, 3)

    @pytest.mark.parametrize("registration", ["full", "provisional"])
    def test_flag_6_the_same_address_resets_nothing(self, registration):
        lead = self.written("OLD@yamate.example.jp", registration=registration)
        assert (lead.email_valid, lead.email_failures) == (False, 3)

    def test_found_by_the_address(self):
        lead = make_lead("old@yamate.example.jp", email_valid=False, email_failures=3)
        bring_in(make_campaign(), HEADER + "山田,花子,OLD@yamate.example.jp,\n")
        lead.refresh_from_db()
        assert (lead.last_name, lead.email_valid, lead.email_failures) == ("山田", False, 3)


def test_who_is_meant():
    """An ID wins over the address; of several leads with it the fully registered ones, then the newest."""
    campaign = make_campaign()
    by_id = make_lead("a@yamate.example.jp")
    make_lead("b@yamate.example.jp")
    newest = make_lead("b@yamate.example.jp")
    make_lead("b@yamate.example.jp", registration="provisional")
    make_lead("b@yamate.example.jp", deleted_at=timezone.now())
    bring_in(campaign, f"リードID,E-mailアドレス\n{by_id.pk},c@yamate.example.jp\n,b@yamate.example.jp\n")
    assert list(Application.objects.order_by("id").values_list("lead_id", flat=True)) == [by_id.pk, newest.pk]


def test_ids_alone_are_enough():
    campaign, leads = make_campaign(), [make_lead(f"{n}@x.example.jp") for n in range(2)]
    lead_import = bring_in(campaign, "リードID\n" + "".join(f"{lead.pk}\n" for lead in leads))
    assert (counts(lead_import)["unchanged"], verdicts(lead_import)["apply"]) == (2, 2)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("99999999,\n", [(2, "リードID", "lead_missing")]),
        (",no address\n", [(2, "E-mailアドレス", "email")]),
        (
            ",a@x.example.jp\n,A@x.example.jp\n",
            [(2, "リードID", "person_twice"), (3, "リードID", "person_twice")],
        ),
    ],
)
def test_wrong_rows(rows, expected):
    campaign = make_campaign()
    lead_import = check(campaign, "リードID,E-mailアドレス\n" + rows)
    assert problems(lead_import) == expected
    assert verdicts(lead_import)["apply"] == 0


def test_opt_1_wanted_is_refused_for_who_unsubscribed():
    make_lead("hanako@yamate.example.jp", unsubscribed_at=timezone.now())
    lead_import = check(make_campaign(), "E-mailアドレス,DM許可\nhanako@yamate.example.jp,希望する\n")
    assert problems(lead_import) == [(2, "DM許可", "unsubscribed")]


def test_own_columns_are_entered_typed():
    column = LeadColumn.objects.create(label="従業員数", type="number")
    bring_in(make_campaign(), 'E-mailアドレス,従業員数\na@x.example.jp,"1,200"\n')
    application = Application.objects.get()
    assert application.entered["extra"] == application.lead.extra == {column.key: 1200}


def test_answers_to_questions():
    campaign = make_campaign()
    choices = [{"key": "a1", "label": "製造", "label_en": "Manufacturing"}, {"key": "a2", "label": "小売"}]
    several = FormItem.objects.create(
        campaign=campaign, source="question", label="ご興味のある業種", type="multiple", choices=choices
    )
    number = FormItem.objects.create(campaign=campaign, source="question", label="人数", type="number")
    FormItem.objects.create(campaign=make_campaign(), source="question", label="他社の質問", type="text")
    rows = "E-mailアドレス,ご興味のある業種,人数\na@x.example.jp,小売、manufacturing,２０\nb@x.example.jp,,\n"
    bring_in(campaign, rows)
    found = Application.objects.order_by("id").values_list("answers", flat=True)
    assert list(found) == [{several.key: ["a1", "a2"], number.key: 20}, {}]
    wrong = check(campaign, "E-mailアドレス,ご興味のある業種,人数\nc@x.example.jp,漁業,多数\n")
    assert problems(wrong) == [(2, "ご興味のある業種", "choice"), (2, "人数", "number")]
    assert (
        check(campaign, "E-mailアドレス,他社の質問\nd@x.example.jp,?\n").error["code"]
        == "unknown_header_alone"
    )


def test_mails_when_chosen():
    campaign = make_campaign(capacity=1)
    with heard() as told:
        bring_in(campaign, THREE, tell=True)
    assert sorted(event for event, _lead in told) == ["received", "waiting", "waiting"]


def test_what_changed_since_the_check_is_shown_again():
    """CSV-1: nothing is written that was not shown."""
    campaign = make_campaign(capacity=3)
    lead_import = check(campaign, THREE)
    make_application(campaign)
    assert request_commit(lead_import, skip_wrong=False, user=None, now=timezone.now())
    commit_import(lead_import)
    lead_import.refresh_from_db()
    assert (lead_import.state, lead_import.changed_since) == ("checked", True)
    assert verdicts(lead_import) == {"apply": 2, "waiting": 1, "already": 0}
    assert Lead.objects.filter(last_name="山田").count() == 0
    commit(lead_import)
    assert seats(campaign).waiting == 1


def test_nothing_is_half_imported(monkeypatch):
    campaign = make_campaign()
    lead_import = check(campaign, THREE)
    monkeypatch.setattr("campaigns.csv_applications.BATCH", 1)
    monkeypatch.setattr("campaigns.csv_applications._announce", lambda *_rest, **_more: 1 / 0)
    LeadImport.objects.filter(pk=lead_import.pk).update(tell=True)
    request_commit(lead_import, skip_wrong=False, user=None, now=timezone.now())
    with pytest.raises(ZeroDivisionError):
        commit_import(lead_import)
    lead_import.refresh_from_db()
    assert lead_import.state == "failed"
    assert not Lead.objects.exists() and not Application.objects.exists()


@pytest.mark.parametrize("values", [{"state": "archived"}, None])
def test_no_such_campaign(values):
    campaign = make_campaign(**values) if values else make_campaign()
    if values is None:
        campaign.pk = 10**9
    lead_import = check(campaign, THREE)
    assert (lead_import.state, lead_import.error["code"]) == ("failed", "no_campaign")


def test_before_and_after_the_period_too():
    assert verdicts(bring_in(make_campaign(state="closed"), THREE))["apply"] == 3


class TestCampaignAdministrators:
    """SYS-1: by a file they change nobody outside of their campaign."""

    @pytest.fixture
    def kenta(self):
        return make_user("kenta", role=Role.CAMPAIGN)

    def test_by_id_only_applicants(self, kenta):
        campaign, foreign = make_campaign(members=[kenta]), make_lead("foreign@x.example.jp")
        lead_import = check(campaign, f"リードID,姓\n{foreign.pk},乗っ取り\n", user=kenta)
        assert problems(lead_import) == [(2, "リードID", "not_of_campaign")]

    def test_by_the_address_they_apply_and_keep_their_values(self, kenta):
        campaign = make_campaign(members=[kenta])
        foreign = make_lead("hanako@yamate.example.jp", last_name="既存", company="秘密の会社")
        mine = make_lead("kenta@yamate.example.jp")
        make_application(campaign, mine, state="cancelled")
        lead_import = check(campaign, THREE, user=kenta)
        assert counts(lead_import) == {"new": 1, "update": 1, "unchanged": 1, "wrong": 0}
        shown = rows_shown(
            lead_import, list(rows_of_kind(lead_import, "unchanged")), may_see=Lead.objects.filter(pk=mine.pk)
        )
        assert shown[0].lead is None and "秘密の会社" not in str(shown)
        assert "値は変わりません" in shown[0].notes[0].text
        commit(lead_import, user=kenta)
        foreign.refresh_from_db()
        assert (foreign.last_name, foreign.company, foreign.applications.count()) == ("既存", "秘密の会社", 1)


def test_the_counts_of_the_page_lead_to_their_rows():
    campaign = make_campaign(capacity=1)
    make_application(campaign, make_lead("hanako@yamate.example.jp"), state="provisional")
    lead_import = check(campaign, THREE)
    shown = {kind.key: kind.count for kind in kinds(lead_import)}
    assert (shown["apply"], shown["waiting"], shown["already"]) == (1, 1, 1)
    for key in ("apply", "waiting", "already", "new", "update"):
        assert rows_of_kind(lead_import, key).count() == shown[key]


class TestCommand:
    def file(self, tmp_path, content=THREE):
        path = tmp_path / "applicants.csv"
        path.write_text(content, encoding="utf-8")
        return str(path)

    def test_applies(self, tmp_path, capsys):
        campaign = make_campaign(capacity=2)
        call_command("import_leads", self.file(tmp_path), campaign=campaign.pk, json=True)
        answer = json.loads(capsys.readouterr().out)
        assert (answer["state"], answer["apply"], answer["waiting"], answer["already"]) == ("done", 2, 1, 0)
        assert seats(campaign).taken == 2

    def test_dry_run(self, tmp_path):
        campaign, out = make_campaign(), io.StringIO()
        call_command("import_leads", self.file(tmp_path), campaign=campaign.pk, dry_run=True, stdout=out)
        assert not Application.objects.exists() and not Lead.objects.exists()

    def test_no_such_campaign(self, tmp_path):
        with pytest.raises(CommandError):
            call_command("import_leads", self.file(tmp_path), campaign=10**9)
