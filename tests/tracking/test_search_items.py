"""EXC-5, TRK-4, APP-1: opens, clicks and page views in 複合検索: people only, one campaign's hits are nobody else's."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import RequestFactory
from django.urls import reverse
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leads.models import SavedSearch
from leads.search import describe_conditions, leads_matching, validate_condition
from leads.search.editor import editor_for, raw_condition
from leads.search.registry import all_items
from mail import job_start
from mail.models import CountedUrl, Delivery, SendJob, StepMail
from tests.factories import (
    make_application,
    make_campaign,
    make_delivery,
    make_job,
    make_lead,
    make_template,
    make_user,
)
from tracking.models import MailHit, PageView, TrackedSite, Visitor

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)  # 12:00 in Tokyo

pytestmark = pytest.mark.django_db


def block(item, operator="is", **parts):
    return {"item": f"tracking.{item}", "operator": operator, "values": [{k: list(map(str, v)) for k, v in parts.items()}]}  # fmt: skip


def condition(*blocks, match="all", expression=""):
    return {"match": match, "blocks": list(blocks)} | ({"expression": expression} if expression else {})


def found(*blocks, campaign=None, expression=""):
    asked = condition(*blocks, match="expression" if expression else "all", expression=expression)
    leads = list(leads_matching(asked, now=NOW, campaign_id=campaign and campaign.pk))
    assert len(leads) == len(set(leads)), "a lead was found twice"
    return {lead.last_name for lead in leads}


def lead(name):
    return make_lead(f"{name}@example.jp", last_name=name)


def hit(lead, kind="open", *, at=NOW, verdict="person", **values):
    values.setdefault("delivery_id", 1)
    return MailHit.objects.create(
        uid=uuid.uuid4(), kind=kind, at=at, lead_id=lead.pk, verdict=verdict, **values
    )


def site(domain="www.example.jp"):
    return TrackedSite.objects.get_or_create(domain=domain, defaults={"name": domain, "key": domain[:20]})[0]


def view(lead, url="https://www.example.jp/", *, at=NOW, of=None, **values):
    visitor = Visitor.objects.create(uid=uuid.uuid4(), first_seen_at=at, last_seen_at=at)
    return PageView.objects.create(
        uid=uuid.uuid4(), site=of or site(), visitor=visitor, url=url, at=at, lead_id=lead.pk, **values
    )


def make_url(url="https://shop.example.jp/a", name="一覧", **values):
    return CountedUrl.objects.create(url=url, digest=uuid.uuid4().hex, name=name, **values)


class TestOpensAndClicks:
    def test_opened_mailing_template_or_step_mail_and_when(self):
        """EXC-5, TGT: 「開封」 by mailing, template and step mail, since when; another mail or an excluded one is none"""
        job, other = make_job(), make_job()
        step = StepMail.objects.create(name="翌日のご案内", origin="page_view", state="active")
        by_job, by_step, old, unopened = (lead(name) for name in ("job", "step", "old", "unopened"))
        delivery = make_delivery(by_job, job=job, state="sent")
        hit(by_job, job_id=job.pk, delivery_id=delivery.pk)
        of_step = Delivery.objects.create(
            lead=by_step, kind="step", state="sent", template=other.template, decided_at=NOW
        )
        hit(by_step, step_mail_id=step.pk, delivery_id=of_step.pk)
        hit(old, job_id=job.pk, at=NOW - timedelta(days=10), delivery_id=-1)
        make_delivery(unopened, job=job, state="sent")
        assert found(block("open", job=[job.pk])) == {"job", "old"}
        assert found(block("open", job=[job.pk, other.pk], days=[10])) == {"job"}
        assert found(block("open", job=[job.pk], days=[11])) == {"job", "old"}
        assert found(block("open", since=["2026-11-22"])) == {"job", "step"}
        assert found(block("open", since=["2026-11-12"])) == {"job", "step", "old"}
        assert found(block("open", since=["2026-11-23"])) == set()
        assert found(block("open", step_mail=[step.pk])) == {"step"}
        assert found(block("open", template=[job.template_id])) == {"job"}
        assert found(block("open", template=[other.template_id], step_mail=[step.pk])) == {"step"}
        assert found(block("click", job=[job.pk])) == set()

    def test_only_people_count(self):
        """TRK-4: what machines opened and clicked finds nobody, and is no "other" one either"""
        person, machine = lead("person"), lead("machine")
        for kind in ("open", "click"):
            hit(person, kind, job_id=1)
            hit(machine, kind, job_id=1, verdict="machine")
            hit(machine, kind, job_id=2, verdict="machine")
            assert found(block(kind, job=[1])) == {"person"}
            assert found(block(kind, "is_not", job=[1])) == set()
            assert found(block(kind, job=[1]), expression="NOT 1") == {"machine"}

    def test_does_not_match_is_not_the_same_as_not(self):
        """EXC-5: 「一致しない」 = has some other open; NOT = did not open this one"""
        this, other, both = lead("this"), lead("other"), lead("both")
        lead("none")
        for who, job in ((this, 1), (other, 2), (both, 1), (both, 2)):
            hit(who, job_id=job)
        assert found(block("open", "is_not", job=[1])) == {"other", "both"}
        assert found(block("open", job=[1]), expression="NOT 1") == {"other", "none"}

    def test_hits_of_no_mailing_are_some_other(self):
        """EXC-5: of single mails job and step mail are empty; never NULL, so NOT finds exactly the others"""
        single = lead("single")
        hit(single, "click", url_id=None)
        assert found(block("click", "is_not", job=[1], step_mail=[2], url=[3])) == {"single"}
        assert found(block("click", job=[1]), expression="NOT 1") == {"single"}
        assert found(block("click", "is_not", url_text=["a"])) == {"single"}

    def test_clicked_url_of_the_register_or_by_its_text(self):
        """EXC-5: one counted URL, or those whose text has it; signs of LIKE are signs"""
        a, b = make_url("https://shop.example.jp/100%_off"), make_url("https://shop.example.jp/b")
        first, second = lead("a"), lead("b")
        hit(first, "click", url_id=a.pk, job_id=1)
        hit(second, "click", url_id=b.pk, job_id=2)
        assert found(block("click", url=[a.pk])) == {"a"}
        assert found(block("click", url=[a.pk, b.pk])) == {"a", "b"}
        assert found(block("click", url=[a.pk], job=[2])) == set()
        assert found(block("click", url_text=["SHOP.example.jp"])) == {"a", "b"}
        assert found(block("click", url_text=["100%_"])) == {"a"}
        assert found(block("click", url_text=["%"])) == {"a"}
        assert found(block("click", url_text=["/b", "nothing"])) == {"b"}
        assert found(block("click", url_text=["髙﨑𠮷①㈱😀"])) == set()

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_the_same_as_plain_python(self, data, everybody):
        """EXC-5, TRK-4"""
        leads, rows = everybody
        kind = data.draw(st.sampled_from(["open", "click"]))
        parts = {
            "job": data.draw(st.lists(st.sampled_from([1, 2]), unique=True)),
            "step_mail": data.draw(st.lists(st.sampled_from([1, 2]), unique=True)),
            "days": data.draw(st.lists(st.sampled_from([1, 2, 5]), max_size=1)),
        }
        parts = {name: values for name, values in parts.items() if values} or {"days": [2]}

        def fits(row):
            return (
                (not parts.get("job") or row.job_id in parts["job"])
                and (not parts.get("step_mail") or row.step_mail_id in parts["step_mail"])
                and (not parts.get("days") or (NOW.date() - row.at.date()).days < parts["days"][0])
            )

        people = [row for row in rows if row.kind == kind and row.verdict == "person"]
        yes = {leads[row.lead_id] for row in people if fits(row)}
        other = {leads[row.lead_id] for row in people if not fits(row)}
        assert found(block(kind, **parts)) == yes
        assert found(block(kind, "is_not", **parts)) == other
        assert found(block(kind, **parts), expression="NOT 1") == set(leads.values()) - yes


@pytest.fixture
def everybody():
    """Leads with nothing, one hit, or two of different kinds, jobs, ages and verdicts."""
    kinds = [None] + [
        (kind, job, age, verdict)
        for kind in ("open", "click")
        for job in (1, None)
        for age in (0, 3)
        for verdict in ("person", "machine")
    ]
    leads, rows = {}, []
    for number in range(60):
        who = lead(str(number))
        leads[who.pk] = who.last_name
        for place, one in enumerate((kinds[number % 17], kinds[number // 5 % 17])):
            if one:
                kind, job, age, verdict = one
                step = None if job else 1 + place
                rows.append(
                    hit(who, kind, at=NOW - timedelta(days=age), verdict=verdict, job_id=job and job + place, step_mail_id=step)
                )  # fmt: skip
    return leads, rows


class TestPageViews:
    def test_page_site_days_and_times(self):
        """EXC-5, WEB-1: of a page or pages below, of a site, since when, at least so often"""
        once, often, elsewhere, before = (lead(n) for n in ("once", "often", "elsewhere", "before"))
        seminar = "https://www.example.jp/seminar/2026?utm=1"
        other = site("shop.example.jp")
        view(once, seminar)
        for hours in range(3):
            view(often, "http://www.example.jp/seminar/", at=NOW - timedelta(hours=hours))
        view(often, "https://www.example.jp/other")
        view(elsewhere, "https://shop.example.jp/seminar/2026", of=other)
        view(before, seminar, at=NOW - timedelta(days=40))
        below = ["www.example.jp/seminar/*"]
        assert found(block("view", url=below)) == {"once", "often", "before"}
        assert found(block("view", url=["https://www.example.jp/*"], days=[30])) == {"once", "often"}
        assert found(block("view", url=[*below, "shop.example.jp/*"], since=["2026-11-22"])) == {
            "once", "often", "elsewhere",
        }  # fmt: skip
        assert found(block("view", url=["www.example.jp/seminar/2026?utm=1"])) == {"once", "before"}
        assert found(block("view", site=[other.pk])) == {"elsewhere"}
        assert found(block("view", url=below, times=[2])) == {"often"}
        assert found(block("view", url=below, times=[4])) == set()
        assert found(block("view", times=[4])) == {"often"}
        assert found(block("view", url=below, times=[1])) == {"once", "often", "before"}
        assert found(block("view", url=below), expression="NOT 1") == {"elsewhere"}

    def test_people_who_are_known(self):
        """TRK-4: views of machines, and of visitors who are nobody's yet, find nobody"""
        known = lead("known")
        view(known, verdict="machine")
        unknown = view(known)
        PageView.objects.filter(pk=unknown.pk).update(lead_id=None)
        assert found(block("view", times=[1])) == set()
        PageView.objects.filter(pk=unknown.pk).update(lead_id=known.pk)
        assert found(block("view", times=[1])) == {"known"}

    @pytest.mark.parametrize(
        "pattern", ["*", "*.example.jp/x", "ftp://example.jp/", "a b", "http://[::1", "x" * 1001]
    )
    def test_a_pattern_that_is_none_is_refused(self, pattern):
        """STEP-3: as where step mails are set up"""
        with pytest.raises(ValidationError):
            validate_condition(condition(block("view", url=[pattern])))


@pytest.mark.parametrize(("item", "parts"), [
    ("open", {"days": [0]}), ("open", {"days": [-1]}), ("open", {"days": [36501]}), ("open", {"days": ["x"]}), ("open", {"days": [1, 2]}),
    ("open", {"days": [2**62]}), ("view", {"times": [0]}), ("view", {"times": [10**7]}), ("view", {"times": ["1.5"]}),
    ("open", {"since": ["yesterday"]}), ("open", {"since": ["2026-11-01", "2026-11-02"]}), ("open", {"since": ["1899-12-31"]}),
    ("open", {"job": ["x"]}), ("click", {"url": ["1 OR 1"]}), ("open", {"url": [1]}), ("open", {}), ("view", {"job": [1]}),
])  # fmt: skip
def test_values_that_make_no_sense_are_refused(item, parts):
    """EXC-5: with the block named; better no mail than a wrong one"""
    with pytest.raises(ValidationError) as refused:
        validate_condition(condition(block(item, **parts)))
    assert refused.value.error_list[0].params == {"block": 1}


def test_the_largest_days_are_no_trouble():
    """EXC-5: a hundred years back"""
    hit(lead("one"))
    assert found(block("open", days=[36500])) == {"one"}


class TestOneCampaign:
    def test_only_its_own_hits_and_only_its_applicants(self):
        """APP-1: an open of another campaign's mail, or of a mail of all campaigns, is none here"""
        x, y = make_campaign("X"), make_campaign("Y")
        names = ("x", "y", "blue", "both", "stranger")
        leads = {name: lead(name) for name in names}
        for name in ("x", "y", "blue", "both"):
            make_application(x, leads[name])
        hit(leads["x"], campaign_id=x.pk)
        hit(leads["y"], campaign_id=y.pk)
        hit(leads["blue"])
        hit(leads["both"], campaign_id=x.pk)
        hit(leads["both"], campaign_id=y.pk)
        hit(leads["stranger"], campaign_id=x.pk)
        recent = block("open", days=[1])
        assert found(recent, campaign=x) == {"x", "both"}
        assert found(recent, campaign=x, expression="NOT 1") == {"y", "blue"}
        assert found(recent, campaign=y) == set()
        assert found(recent) == set(names)
        assert found(block("open", "is_not", days=[1]), campaign=x) == set()

    def test_ids_of_somewhere_else_are_refused_like_words(self):
        """APP-1: so that nothing can be learned by trying ids"""
        x, y = make_campaign("X"), make_campaign("Y")
        mine, theirs = (
            {
                "job": make_job(campaign=c, state="finished").pk,
                "template": make_template(campaign=c).pk,
                "step_mail": StepMail.objects.create(name="s", campaign=c, origin="application", state="active").pk,
                "url": make_url(campaign=c).pk,
            }
            for c in (x, y)
        )  # fmt: skip
        blue = make_url()
        for part, value in mine.items():
            this = condition(block("click", **{part: [value]}))
            assert validate_condition(this, campaign_id=x.pk) == this
            for wrong in (theirs[part], 999_999_999, blue.pk if part == "url" else "word"):
                with pytest.raises(ValidationError) as refused:
                    validate_condition(condition(block("click", **{part: [wrong]})), campaign_id=x.pk)
                assert refused.value.error_list[0].code == "unknown_choice"

    def test_page_views_are_asked_for_among_all_campaigns_only(self):
        """APP-1: they belong to no campaign"""
        x = make_campaign()
        keys = {key for key in all_items(x.pk) if key.startswith("tracking.")}
        assert keys == {"tracking.open", "tracking.click"}
        assert {key for key in all_items() if key.startswith("tracking.")} == {*keys, "tracking.view"}
        with pytest.raises(ValidationError):
            validate_condition(condition(block("view", times=[1])), campaign_id=x.pk)


def test_conditions_are_said_in_words_with_names_also_of_what_is_gone(django_assert_num_queries):
    """EXC-5: one query for each kind of name, however many conditions"""
    job, url = make_job(started_at=NOW), make_url(campaign=make_campaign("秋のセミナー"))
    step = StepMail.objects.create(name="翌日のご案内", origin="page_view", state="active")
    said = condition(
        block("open", job=[job.pk, 999_999], step_mail=[step.pk], days=[7]),
        block("click", url=[url.pk, 999_998], url_text=["shop"], since=["2026-11-01"]),
        block("view", url=["www.example.jp/seminar/*"], site=[site().pk], times=[3]),
    )
    for conditions in ([said], [said, said, said]):
        with django_assert_num_queries(4):
            text = describe_conditions(conditions)[-1]
    assert f"#{job.pk}" in text and "(削除済み #999999)" in text and "翌日のご案内" in text
    assert "一覧" in text and "秋のセミナー" in text and "(削除済み #999998)" in text and "2026-11-01" in text
    assert "「開封」" in text and "過去N日以内=7" in text
    assert "www.example.jp/seminar/*" in text and "閲覧回数(N回以上)=3" in text
    x = make_campaign()
    assert "(削除済み" not in describe_conditions([condition(block("open", days=[1]))], inside=x.pk)[0]


def test_the_page_offers_the_parts_and_reads_them_back(client):
    """EXC-5: a date or a number is one field, references are boxes"""
    client.force_login(make_user())
    job = make_job(state="finished", finished_at=NOW)
    post = {
        "blocks": "1", "match": "all", "item-0": "tracking.open", "operator-0": "is", "values-0-job": str(job.pk),
        "values-0-since": "2026-11-01", "values-0-days": "30", "action": "refresh",
    }  # fmt: skip
    page = client.post(reverse("compound_search"), post).content.decode()
    assert 'type="date" name="values-0-since" value="2026-11-01"' in page
    assert f'name="values-0-job" value="{job.pk}" checked' in page
    assert "機械によるものは含みません" in page
    data = RequestFactory().post("/", post).POST
    read = raw_condition(data)
    assert validate_condition(read)["blocks"] == [
        block("open", job=[job.pk], since=["2026-11-01"], days=[30])
    ]
    drawn = {one.name: one.kind for one in editor_for(read).blocks[0].inputs}
    assert drawn["values-0-since"] == "date" and drawn["values-0-days"] == "text"
    wrong = client.post(reverse("compound_search"), post | {"values-0-since": "昨日", "action": "count"})
    assert "昨日" in wrong.content.decode() and "は日付ではありません" in wrong.content.decode()


def test_each_item_is_asked_of_the_leads_own_rows():
    """EXC-5: one statement without joins, so that it can stand in the statement that decides a mailing"""
    for asked in (
        block("open", job=[1], template=[2], days=[3]),
        block("click", url=[1], url_text=["100%s"], since=["2026-11-01"]),
        block("view", url=["www.example.jp/100%25/*"], site=[1], times=[2]),
    ):
        sql, values = leads_matching(condition(asked), now=NOW).values("pk").query.sql_with_params()
        assert "EXISTS" in sql and " JOIN " not in sql
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {sql}", values)


def test_who_did_not_open_is_mailed_again(client):
    """TGT-2, TRK-4: 未開封者への再送, through the wizard: was sent mailing J and NOT opened it; what only a machine opened
    was not opened, and who opens before the start is left out"""
    client.force_login(make_user())
    template = make_template()
    job = make_job(template, state="finished", finished_at=timezone.now())
    leads = {name: lead(name) for name in ("opened", "machine", "silent", "failed", "soon", "other")}
    for name, who in leads.items():
        if name != "other":
            make_delivery(who, job=job, state="error" if name == "failed" else "sent", sent_at=timezone.now())
    hit(leads["opened"], job_id=job.pk)
    hit(leads["machine"], job_id=job.pk, verdict="machine", evidence=["apple_privacy"])
    sent = {"item": "mail.job", "operator": "is", "values": [str(job.pk)]}
    post = {
        "blocks": "2", "match": "expression", "expression": "1 AND NOT 2", "name": "未開封者", "action": "save_shared",
        "item-0": "mail.job", "operator-0": "is", "values-0": [str(job.pk)],
        "item-1": "tracking.open", "operator-1": "is", "values-1-job": [str(job.pk)],
    }  # fmt: skip
    assert client.post(reverse("compound_search"), post).status_code == 302
    search = SavedSearch.objects.get(name="未開封者")
    assert search.condition["blocks"] == [sent, block("open", job=[job.pk])]
    page_one = {
        "token": str(uuid.uuid4()), "rule": "by_search", "dm_permissions": ["wanted"], "include_sent": "yes", "timing": "now",
        "search": search.pk, "template": template.pk,
    }  # fmt: skip
    assert client.post(reverse("wizard"), page_one).status_code == 302
    again = SendJob.objects.latest("pk")
    client.post(reverse("wizard_confirm", args=[again.pk]))
    hit(leads["soon"], job_id=job.pk)
    assert job_start.run(again.pk, now=timezone.now())
    addressed = Delivery.objects.filter(job=again).exclude(state="excluded")
    assert {mail.lead.last_name for mail in addressed} == {"machine", "silent"}
