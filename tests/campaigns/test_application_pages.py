"""申込一覧, one application, and 申込 on the lead page: for staff, each campaign for itself (SYS-1, APP-1)."""

import csv
import io
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from campaigns.form_items import ensure_default_items
from campaigns.models import Application, FormItem, Session
from leads.models import LeadColumn
from settings.models import AuditEntry, Role
from smp.lib.mode import url_in
from tests.campaigns.applying import heard
from tests.factories import make_application, make_campaign, make_lead, make_user

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture
def misaki(client):
    user = make_user()
    client.force_login(user)
    return user


@pytest.fixture
def campaign():
    campaign = make_campaign(capacity=10)
    ensure_default_items(campaign)
    return campaign


def page(client, campaign, name, *args, query="", **options):
    return client.get(url_in(campaign.pk, name, *args) + query, **options)


def post(client, campaign, name, *args, data=None, query=""):
    return client.post(url_in(campaign.pk, name, *args) + query, data or {})


class TestList:
    def test_who_applied_newest_first_with_counts(self, client, misaki, campaign):
        make_application(campaign, make_lead(last_name="山田"))
        make_application(campaign, make_lead("b@x.example.jp", last_name="鈴木"), state="waiting")
        make_application(make_campaign(), make_lead("c@x.example.jp", last_name="他社"))
        found = page(client, campaign, "applications")
        assert [one.lead.last_name for one in found.context["page_obj"]] == ["鈴木", "山田"]
        assert {name: number for name, _label, number in found.context["numbers"]} == {
            "applied": 1, "waiting": 1, "provisional": 0, "cancelled": 0, "attended": 0,
        }  # fmt: skip
        text = found.content.decode()
        assert "10席のうち1席が埋まっています" in text and "他社" not in text

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("?q=山田", ["山田"]),
            ("?q=SUZUKI@yamate.example.jp", ["鈴木"]),
            ("?q=山手製作所", ["鈴木"]),
            ("?state=applied", ["山田"]),
            ("?state=attended", ["来場"]),
            ("?state=not_attended", ["山田"]),
            ("?state=cancelled", ["鈴木"]),
            ("?way=proxy", ["来場"]),
            ("?state=nonsense", []),
            ("?q=%00", []),
            ("?sort=kana", ["鈴木", "来場", "山田"]),
        ],
    )
    def test_narrowing_down(self, client, misaki, campaign, query, expected):
        make_application(
            campaign, make_lead("a@yamate.example.jp", last_name="山田", last_name_kana="ヤマダ")
        )
        suzuki = make_lead(
            "suzuki@yamate.example.jp", last_name="鈴木", company="山手製作所", last_name_kana="スズキ"
        )
        make_application(campaign, suzuki, state="cancelled")
        came = make_lead("c@yamate.example.jp", last_name="来場", last_name_kana="タナカ")
        make_application(campaign, came, attended_at=NOW, way="proxy")
        Application.objects.filter(lead=came).update(state="applied")
        found = [
            one.lead.last_name
            for one in page(client, campaign, "applications", query=query).context["page_obj"]
        ]
        if query == "?state=applied":
            assert sorted(found) == ["山田", "来場"]
        else:
            assert found == expected

    def test_by_ticket_code_as_it_is_read_out(self, client, misaki, campaign):
        application, _other = make_application(campaign), make_application(campaign)
        typed = f"{application.code[:4]}-{application.code[4:]}".lower()
        found = page(client, campaign, "applications", query=f"?q={typed}")
        assert list(found.context["page_obj"]) == [application]

    def test_app_6_the_waiting_list_in_its_order(self, client, misaki, campaign):
        for minutes in (5, 20, 10):
            lead = make_lead(f"w{minutes}@x.example.jp", last_name=str(minutes))
            make_application(campaign, lead, state="waiting", waiting_since=NOW - timedelta(minutes=minutes))
        found = page(client, campaign, "applications", query="?state=waiting")
        assert [one.lead.last_name for one in found.context["page_obj"]] == ["20", "10", "5"]
        assert found.context["first_place"] == 1

    def test_by_session(self, client, misaki, campaign):
        morning = Session.objects.create(campaign=campaign, title="午前")
        mine = make_application(campaign)
        mine.sessions.add(morning)
        make_application(campaign)
        found = page(client, campaign, "applications", query=f"?session={morning.pk}")
        assert list(found.context["page_obj"]) == [mine]

    def test_the_same_number_of_queries_for_one_and_three(
        self, client, misaki, campaign, django_assert_num_queries
    ):
        make_application(campaign)
        page(client, campaign, "applications")
        with django_assert_num_queries(9):
            page(client, campaign, "applications")
        make_application(campaign)
        make_application(campaign, state="waiting")
        with django_assert_num_queries(9):
            page(client, campaign, "applications")

    def test_nobody_yet(self, client, misaki, campaign):
        assert "申込はまだありません" in page(client, campaign, "applications").content.decode()

    def test_only_inside_a_campaign(self, client, misaki):
        assert client.get(reverse("applications")).status_code == 404


def test_csv_3_the_list_as_a_file(client, misaki, campaign):
    morning = Session.objects.create(campaign=campaign, title="午前")
    item = FormItem.objects.create(
        campaign=campaign,
        source="question",
        label="ご興味",
        type="multiple",
        choices=[{"key": "a1", "label": "製造"}],
    )
    column = LeadColumn.objects.create(label="従業員数", type="number")
    lead = make_lead(last_name='=HYPERLINK("http://evil.example")', phone="0312345678", extra={column.key: 7})
    application = make_application(campaign, lead, answers={item.key: ["a1"]})
    application.sessions.add(morning)
    make_application(campaign, state="cancelled")
    make_application(make_campaign(), make_lead("c@x.example.jp", last_name="他社"))
    response = post(client, campaign, "export_applications", query="?state=applied")
    header, row = csv.reader(io.StringIO(b"".join(response.streaming_content).decode("utf-8-sig")))
    values = dict(zip(header, row, strict=True))
    assert (values["受講票コード"], values["状態"], values["セッション"], values["ご興味"]) == (
        application.code,
        "申込",
        "午前",
        "製造",
    )
    assert (
        values["姓"].startswith("'=HYPERLINK")
        and values["電話番号"] == "0312345678"
        and values["従業員数"] == "7"
    )
    line = AuditEntry.objects.get(action="application.export")
    assert (line.user, line.detail["filter"], line.detail["applications"]) == (
        misaki,
        {"state": "applied"},
        1,
    )


class TestOne:
    def test_all_of_it(self, client, misaki, campaign):
        item = FormItem.objects.create(campaign=campaign, source="question", label="ご質問", type="text")
        lead = make_lead(last_name="山田", company="新社名")
        application = make_application(
            campaign,
            lead,
            answers={item.key: "駐車場は?"},
            entered={"last_name": "山田", "company": "旧社名"},
            ip="192.0.2.7",
        )
        text = page(client, campaign, "application", application.pk).content.decode()
        for shown in (
            "駐車場は?",
            "旧社名",
            "リード: 新社名",
            application.code,
            "192.0.2.7",
            "申込(申込フォーム)",
        ):
            assert shown in text

    def test_hostile_values_are_only_text(self, client, misaki, campaign):
        bad = "<script>alert(1)</script>髙﨑𠮷😀"
        item = FormItem.objects.create(campaign=campaign, source="question", label=bad, type="text")
        application = make_application(
            campaign,
            make_lead(last_name=bad),
            answers={item.key: bad},
            entered={"company": bad},
            user_agent=bad,
        )
        text = page(client, campaign, "application", application.pk).content.decode()
        assert (
            "<script>alert" not in text and text.count("&lt;script&gt;alert(1)&lt;/script&gt;髙﨑𠮷😀") >= 5
        )

    def test_place_on_the_waiting_list(self, client, misaki, campaign):
        first, second = (
            make_application(campaign, state="waiting", waiting_since=NOW) for _number in range(2)
        )
        assert page(client, campaign, "application", first.pk).context["place"] == 1
        assert page(client, campaign, "application", second.pk).context["place"] == 2

    def test_from_all_campaigns_it_leads_into_its_own(self, client, misaki, campaign):
        application = make_application(campaign)
        response = client.get(reverse("application", args=[application.pk]))
        assert response["Location"] == f"/c/{campaign.pk}/campaigns/applications/{application.pk}/"


class TestCancelling:
    def test_asks_first_then_acts_once(self, client, misaki, campaign):
        application = make_application(campaign)
        assert page(client, campaign, "application_cancel", application.pk).status_code == 200
        application.refresh_from_db()
        assert application.state == "applied"
        with heard() as told:
            post(client, campaign, "application_cancel", application.pk)
            post(client, campaign, "application_cancel", application.pk)
        application.refresh_from_db()
        assert (application.state, application.cancelled_by, told) == ("cancelled", "staff", [])
        assert AuditEntry.objects.get(action="application.cancel").user == misaki
        assert (
            "佐藤 美咲" not in page(client, campaign, "application", application.pk).context["story"][0].who
        )

    def test_with_a_mail_when_chosen(self, client, misaki, campaign):
        application = make_application(campaign)
        with heard() as told:
            post(client, campaign, "application_cancel", application.pk, data={"tell": "on"})
        assert told == [("cancelled", application.lead_id)]

    def test_says_that_somebody_moves_up(self, client, misaki, campaign):
        application = make_application(campaign)
        make_application(campaign, state="waiting")
        assert page(client, campaign, "application_cancel", application.pk).context["next_waits"]


class TestMovingUp:
    def test_by_hand(self, client, misaki, campaign):
        application = make_application(campaign, state="waiting")
        assert "この人に席を渡す" in page(client, campaign, "application", application.pk).content.decode()
        with heard() as told:
            post(client, campaign, "application_move_up", application.pk)
        application.refresh_from_db()
        assert (application.state, told) == ("applied", [("moved_up", application.lead_id)])
        assert AuditEntry.objects.get(action="application.move_up").user == misaki

    def test_without_a_seat(self, client, misaki):
        campaign = make_campaign(capacity=0)
        application = make_application(campaign, state="waiting")
        assert (
            "この人に席を渡す" not in page(client, campaign, "application", application.pk).content.decode()
        )
        post(client, campaign, "application_move_up", application.pk)
        application.refresh_from_db()
        assert application.state == "waiting"


class TestChanging:
    def values(self, **changed):
        return {
            "last_name": "山田", "first_name": "花子", "company": "山手製作所", "email": "hanako@yamate.example.jp",
            "dm_permission": "wanted",
        } | changed  # fmt: skip

    @pytest.fixture
    def application(self, campaign):
        lead = make_lead(
            "hanako@yamate.example.jp", last_name="山田", first_name="花子", company="旧社名", phone="03-1"
        )
        return make_application(campaign, lead)

    def test_filled_with_what_is_there(self, client, misaki, campaign, application):
        item = FormItem.objects.create(
            campaign=campaign,
            source="question",
            label="性別",
            type="choice",
            choices=[{"key": "a1", "label": "一"}],
        )
        Application.objects.filter(pk=application.pk).update(answers={item.key: ["a1"]})
        form = page(client, campaign, "application_change", application.pk).context["form"]
        assert form["company"].initial == "旧社名"
        assert form[f"question_{item.pk}"].initial == "a1"

    def test_saved(self, client, misaki, campaign, application):
        item = FormItem.objects.create(campaign=campaign, source="question", label="ご質問", type="text")
        data = self.values(phone="") | {f"question_{item.pk}": "駐車場は?"}
        with heard() as told:
            response = post(client, campaign, "application_change", application.pk, data=data)
        application.refresh_from_db()
        assert response["Location"].endswith(f"/applications/{application.pk}/")
        assert application.answers == {item.key: "駐車場は?"}
        assert (application.lead.company, application.lead.phone, told) == ("山手製作所", "", [])
        steps = page(client, campaign, "application", application.pk).context["story"]
        assert ("会社名", "旧社名", "山手製作所") in steps[-1].changes and steps[-1].who == "佐藤 美咲"

    def test_with_a_mail_when_chosen(self, client, misaki, campaign, application):
        with heard() as told:
            post(client, campaign, "application_change", application.pk, data=self.values(tell="on"))
        assert [event for event, _lead in told] == ["changed"]

    def test_mistakes_are_said(self, client, misaki, campaign, application):
        response = post(
            client, campaign, "application_change", application.pk, data=self.values(email="none")
        )
        assert response.status_code == 422 and response.context["form"].errors["email"]

    def test_the_session_one_has_is_not_full_for_oneself(self, client, misaki, campaign, application):
        campaign.session_choice = "one"
        campaign.save()
        morning = Session.objects.create(campaign=campaign, title="午前", capacity=1)
        application.sessions.add(morning)
        response = post(
            client, campaign, "application_change", application.pk, data=self.values(sessions=morning.pk)
        )
        assert response.status_code == 302

    def test_a_cancelled_one_is_closed(self, client, misaki, campaign):
        application = make_application(campaign, state="cancelled")
        assert page(client, campaign, "application_change", application.pk).status_code == 302


class TestWhoMay:
    NAMES = ("application", "application_change", "application_cancel")

    def test_another_campaigns_application_is_not_found(self, client, misaki, campaign):
        foreign = make_application(make_campaign())
        for name in self.NAMES:
            assert page(client, campaign, name, foreign.pk).status_code == 404
        for name in (*self.NAMES[1:], "application_move_up"):
            assert post(client, campaign, name, foreign.pk).status_code == 404
        foreign.refresh_from_db()
        assert foreign.state == "applied"

    def test_sys_1_a_campaign_administrator_sees_only_theirs(self, client):
        kenta = make_user("kenta", role=Role.CAMPAIGN)
        client.force_login(kenta)
        mine, other = make_campaign(members=[kenta]), make_campaign()
        application = make_application(other)
        assert page(client, mine, "applications").status_code == 200
        assert page(client, other, "applications").status_code == 403
        assert page(client, mine, "application", application.pk).status_code == 404
        assert client.get(reverse("application", args=[application.pk])).status_code == 403

    def test_sys_1_viewers_change_nothing(self, client, campaign):
        client.force_login(make_user("yui", role=Role.VIEWER))
        application = make_application(campaign)
        assert page(client, campaign, "application", application.pk).status_code == 200
        for name in (*self.NAMES[1:], "application_move_up"):
            assert post(client, campaign, name, application.pk).status_code == 403


class TestLeadPanel:
    def test_in_blue_all_of_them(self, client, misaki, campaign):
        lead = make_lead()
        mine, other = make_application(campaign, lead), make_application(make_campaign("別のセミナー"), lead)
        text = client.get(reverse("lead", args=[lead.pk])).content.decode()
        for application in (mine, other):
            assert f"/c/{application.campaign_id}/campaigns/applications/{application.pk}/" in text
        assert "別のセミナー" in text

    def test_the_same_number_of_queries_for_one_and_three(
        self, client, misaki, campaign, django_assert_max_num_queries
    ):
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        lead = make_lead()
        make_application(campaign, lead)
        url = reverse("lead", args=[lead.pk])
        client.get(url)
        with CaptureQueriesContext(
            connection,
        ) as one:
            client.get(url)
        for _number in range(2):
            make_application(make_campaign(), lead)
        with CaptureQueriesContext(connection) as three:
            client.get(url)
        assert len(one) == len(three)
