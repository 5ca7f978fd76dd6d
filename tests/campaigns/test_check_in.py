"""TKT-4: who may come in, and what the screen says."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from campaigns.check_in import CheckedIn, Result, Turnout, check_in, count, undo
from campaigns.models import Application, ApplicationSession, CheckIn, Session
from campaigns.ticket_code import ALPHABET, check_character, random_code
from settings.models import AuditEntry
from tests.factories import make_application, make_campaign, make_lead, make_user

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)


@pytest.fixture
def campaign():
    return make_campaign()


@pytest.fixture
def application(campaign):
    return make_application(campaign, make_lead(company="山手精密㈱"))


def scan(campaign, text, *, scan=None, at=NOW, now=NOW, session=None, user=None):
    return check_in(campaign, text, scan=scan or uuid4(), at=at, user=user, now=now, session=session)


def unused_code():
    while Application.objects.filter(code=(code := random_code())).exists():
        pass
    return code


def test_the_words_are_those_that_staff_know():
    """TKT-4"""
    assert {result.value: str(result.label) for result in Result} == {
        "ok": "受付しました",
        "already": "既に受付済みです",
        "unknown": "ユーザー未登録です",
        "not_applied": "事前登録がされていません",
        "malformed": "IDの形式が正しくありません",
        "empty": "必ず入力してください",
        "no_session": "選択したサブキャンペーンは存在しません",
    }


def test_once_in_and_then_already(campaign, application):
    """TKT-4"""
    misaki = make_user()
    first = scan(campaign, application.code, user=misaki)
    assert (first.result, first.application) == (Result.OK, application)
    second = scan(campaign, application.code, now=NOW + timedelta(minutes=5), at=NOW + timedelta(minutes=5))
    assert (second.result, second.application, second.check_in) == (
        Result.ALREADY,
        application,
        first.check_in,
    )
    application.refresh_from_db()
    assert application.attended_at == NOW
    row = CheckIn.objects.get()
    assert (row.at, row.received_at, row.user, row.session) == (NOW, NOW, misaki, None)


def test_however_the_code_is_typed(campaign, application):
    """TKT-4"""
    code = application.code
    wide = "".join(chr(ord(character) + 0xFEE0) for character in code)
    for typed in (code, code.lower(), f"{code[:4]}-{code[4:]}", f" {code[:4]} {code[4:]}\r\n", wide,
                  f"{wide[:4]}－{wide[4:]}", f"{code[:4]}ー{code[4:]}", f"{wide[:4]}　{wide[4:]}".lower()):  # fmt: skip
        assert scan(campaign, typed).application == application, typed


def test_by_the_id_of_the_lead(campaign, application):
    """TKT-4"""
    assert scan(campaign, f"l{application.lead_id}").result == Result.OK
    assert scan(campaign, f"Ｌ{application.lead_id}").result == Result.ALREADY
    assert scan(campaign, "L999999999999999999") == CheckedIn(Result.UNKNOWN)
    assert scan(campaign, f"L{make_lead('other@example.jp').pk}") == CheckedIn(Result.NOT_APPLIED)


@pytest.mark.parametrize("text", ["", "  ", "\r\n\t", "　"])
def test_nothing_was_entered(campaign, text):
    """TKT-4"""
    assert scan(campaign, text) == CheckedIn(Result.EMPTY)


@pytest.mark.parametrize(
    "text",
    ["A", "12345678", "ABCDEFG", "ABCDEFGHJ", "髙﨑𠮷①㈱😀", "ABC\0DEFGH", "https://smp.example/t/1.aaaa.1", "L", "L-1", "L1.5",
     "L" + "1" * 30, "x" * 100_000, "ABCDEFG\0", "'; DROP TABLE", "\ud800"],
)  # fmt: skip
def test_what_cannot_be_an_id(campaign, application, text):
    """TKT-4"""
    assert scan(campaign, text) == CheckedIn(Result.MALFORMED)


def test_one_wrong_character_is_noticed(campaign, application):
    """TKT-4: the check character"""
    code = application.code
    for place in range(len(code)):
        for other in ALPHABET:
            if other != code[place]:
                assert scan(campaign, code[:place] + other + code[place + 1 :]).result == Result.MALFORMED


def test_a_code_nobody_has(campaign, application):
    """TKT-4"""
    assert scan(campaign, unused_code()) == CheckedIn(Result.UNKNOWN)


@pytest.mark.parametrize("state", ["cancelled", "waiting", "provisional"])
def test_without_a_seat(campaign, state):
    """TKT-4"""
    application = make_application(campaign, state=state)
    for text in (application.code, f"L{application.lead_id}"):
        assert scan(campaign, text) == CheckedIn(Result.NOT_APPLIED, application)
    assert not CheckIn.objects.exists()


def test_somebody_of_another_campaign_is_not_named(campaign):
    """TKT-4, APP-1"""
    other = make_application(make_campaign("担当外"))
    assert scan(campaign, other.code) == CheckedIn(Result.NOT_APPLIED)
    assert scan(campaign, f"L{other.lead_id}") == CheckedIn(Result.NOT_APPLIED)
    assert not CheckIn.objects.exists()


def test_the_old_ticket_of_who_applied_again(campaign):
    """TKT-4: also when the two were leads that were merged"""
    lead = make_lead()
    old = make_application(campaign, lead, state="cancelled")
    new = make_application(campaign, lead)
    assert scan(campaign, old.code).application == new
    twin = make_lead("twin@example.jp", merged_into=lead, deleted_at=NOW)
    merged = make_application(campaign, twin, state="cancelled", cancelled_by="merged")
    assert scan(campaign, merged.code).application == new


def test_sent_twice_is_one(campaign, application):
    """TKT-4: the phone did not hear the answer"""
    number = uuid4()
    for _again in range(3):
        done = scan(campaign, application.code, scan=number)
        assert (done.result, done.application) == (Result.OK, application)
    assert CheckIn.objects.count() == 1
    # The same number for somebody else is no scan of ours.
    other = make_application(make_campaign("担当外"))
    assert scan(other.campaign, other.code, scan=number) == CheckedIn(Result.MALFORMED)
    assert CheckIn.objects.count() == 1


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (timedelta(hours=-3), timedelta(hours=-3)),
        (timedelta(days=-2), timedelta(days=-2)),
        (timedelta(days=-2, seconds=-1), timedelta()),
        (timedelta(seconds=1), timedelta()),
        (timedelta(days=3000), timedelta()),
    ],
)
def test_the_clock_of_a_phone_is_believed_within_bounds(campaign, application, said, kept):
    """TKT-4"""
    scan(campaign, application.code, at=NOW + said)
    row = CheckIn.objects.get()
    assert (row.at, row.received_at) == (NOW + kept, NOW)


def test_taken_back_and_done_again(campaign, application):
    """TKT-4, SYS-2"""
    made = scan(campaign, application.code).check_in
    assert undo(made, user=make_user(), now=NOW)
    assert not undo(made, user=None, now=NOW)
    application.refresh_from_db()
    assert application.attended_at is None
    assert AuditEntry.objects.filter(action="check_in.undo", target_id=str(application.pk)).count() == 1
    assert scan(campaign, application.code, at=NOW, now=NOW + timedelta(hours=1)).result == Result.OK
    assert CheckIn.objects.filter(undone_at=None).count() == 1


def test_each_session_has_a_door_of_its_own(campaign):
    """TKT-4"""
    campaign.session_choice = "several"
    campaign.save()
    keynote, workshop = (
        Session.objects.create(campaign=campaign, title=title) for title in ("基調講演", "ワークショップ")
    )
    application = make_application(campaign)
    ApplicationSession.objects.create(application=application, session=keynote)
    assert scan(campaign, application.code).result == Result.OK
    assert scan(campaign, application.code, session=keynote).result == Result.OK
    assert scan(campaign, application.code, session=keynote).result == Result.ALREADY
    assert scan(campaign, application.code, session=workshop) == CheckedIn(Result.NOT_APPLIED, application)
    foreign = Session.objects.create(campaign=make_campaign("別"), title="別")
    assert scan(campaign, application.code, session=foreign) == CheckedIn(Result.NO_SESSION)
    assert count(campaign, keynote) == Turnout(1, 1) and count(campaign, workshop) == Turnout(0, 0)
    application.refresh_from_db()
    assert application.attended_at == NOW
    undo(CheckIn.objects.get(session=None), user=None, now=NOW)
    application.refresh_from_db()
    assert application.attended_at == NOW  # the keynote's stands


def test_who_came_of_those_with_a_seat(campaign):
    """TKT-4"""
    for state in ("applied", "applied", "applied", "cancelled", "waiting"):
        make_application(campaign, state=state)
    make_application(make_campaign("別"))
    assert count(campaign) == Turnout(0, 3)
    scan(campaign, Application.objects.filter(campaign=campaign, state="applied").first().code)
    assert count(campaign) == Turnout(1, 3)


def test_check_characters_hold_for_all_codes():
    """TKT-4"""
    for _number in range(200):
        code = random_code()
        assert check_character(code[:-1]) == code[-1]
