"""The public forms of magazines: MAG-2, MAG-13, OPT-5, OPT-8, OPT-10, double opt-in and list bombing."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from leads.address import mailbox_of
from leads.models import Lead
from mail import links
from mail.bounces.receive import receive
from mail.magazines import requests
from mail.models import BlacklistedAddress, Delivery, Reader, ReaderChange, ReaderRequest
from mail.models.delivery import DeliveryKind
from tests.factories import make_lead
from tests.mail.magazine_scene import make_item, make_magazine, make_reader

pytestmark = pytest.mark.django_db
NOW = timezone.now()
LATER = timedelta(seconds=10)


def path_of(url):
    return "/" + url.split("/", 3)[3]


@pytest.fixture(autouse=True)
def empty_cache(settings):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    from django.core.cache import cache

    cache.clear()


@pytest.fixture
def browser():
    """Without cookies, as in a frame of another site; CSRF is checked where it is asked for."""
    return Client(enforce_csrf_checks=True)


@pytest.fixture
def magazine():
    return make_magazine()


@pytest.fixture
def patient(monkeypatch):
    """Nobody looks at the clock: forms may be sent at once."""
    monkeypatch.setattr("campaigns.form_protection.TOO_FAST", 0)


def stamp_of(page):
    return re.search(r'name="stamp" value="([^"]+)"', page.content.decode())[1]


def fill_in(browser, url, address, **more):
    """Form → confirmation page → sent."""
    path = path_of(url)
    page = browser.get(path)
    entered = {"email": address, "stamp": stamp_of(page), **more}
    confirmation = browser.post(path, entered | {"step": "check"})
    assert confirmation.status_code == 200, confirmation.content.decode()
    browser.cookies.clear()
    return browser.post(path, entered | {"step": "send", "stamp": stamp_of(confirmation)})


def confirm_link():
    """The link of the newest confirmation mail, as its recipient reads it."""
    return path_of(
        Delivery.objects.filter(mail_kind="reader_confirm").latest("pk").given_values["confirm_url"]
    )


# ---- registering


def test_double_opt_in_registers_who_read_the_mail(browser, magazine, patient):
    """MAG-13, OPT-10: form → note → mail → button → reader, with the evidence."""
    size = make_item(magazine, "会社の規模", "choice", choices=["1-99名", "100名以上"])
    answer = fill_in(
        browser, links.register_url(magazine.pk), "　ｙｕｉ@Yamate.example.jp ", last_name="髙﨑", first_name="結衣",
        **{f"item_{size.key}": "100名以上"},
    )  # fmt: skip
    assert answer.status_code == 302
    done = browser.get(answer["Location"]).content.decode()
    assert "まだ完了していません" in done
    assert "確認のメール" in done
    assert (Reader.objects.count(), Lead.objects.count(), Delivery.objects.count()) == (0, 0, 0)
    assert requests.handle_requests(timezone.now()) == 1
    mail = Delivery.objects.get()
    assert (mail.kind, mail.mail_kind, mail.lead, mail.state) == (
        DeliveryKind.AUTOMATIC, "reader_confirm", None, "queued",
    )  # fmt: skip
    assert Lead.objects.count() == 0
    page = browser.get(confirm_link()).content.decode()
    assert "まだ完了していません" in page
    assert Reader.objects.count() == 0  # GET never acts
    assert browser.post(confirm_link()).status_code == 302
    reader = Reader.objects.select_related("lead").get()
    assert reader.state == "deliverable"
    assert reader.values == {size.key: "100名以上"}
    lead = reader.lead
    assert (lead.email_norm, lead.last_name, lead.first_name) == ("yui@yamate.example.jp", "髙﨑", "結衣")
    assert (lead.registration, lead.dm_permission) == ("full", "unwanted")
    change = ReaderChange.objects.get()
    assert (change.what, change.way, change.evidence, change.ip) == (
        "registered",
        "form",
        "form",
        "127.0.0.1",
    )
    assert re.fullmatch(r"form [0-9a-f]{8} \(ja\)", change.source)
    assert "登録が完了しました" in browser.get(confirm_link()).content.decode()


def test_the_page_of_the_link_shows_and_registers_what_was_entered_last(browser, magazine, patient):
    """OPT-10: somebody else may have entered the address before; the person's own form brings no second mail so soon."""
    size = make_item(magazine, "会社の規模", "choice", choices=["1-99名", "100名以上"])
    url = links.register_url(magazine.pk)
    fill_in(browser, url, "yui@yamate.example.jp", last_name="<b>悪戯</b>")
    requests.handle_requests(timezone.now())
    assert "&lt;b&gt;悪戯&lt;/b&gt;" in browser.get(confirm_link()).content.decode()
    fill_in(browser, url, "Yui@yamate.example.jp", last_name="髙﨑", **{f"item_{size.key}": "100名以上"})
    fill_in(browser, url, "other@yamate.example.jp", last_name="他人")
    fill_in(browser, links.leave_url(magazine.pk), "yui@yamate.example.jp")
    requests.handle_requests(timezone.now())
    link = path_of(Delivery.objects.get(address="yui@yamate.example.jp").given_values["confirm_url"])
    page = browser.get(link).content.decode()
    assert "髙﨑" in page
    assert "100名以上" in page
    assert "悪戯" not in page
    browser.post(link)
    reader = Reader.objects.get()
    assert (reader.lead.last_name, reader.values) == ("髙﨑", {size.key: "100名以上"})


def test_nothing_entered_stands_in_the_mail(browser, magazine, patient):
    """List bombing: the mail is no vehicle for a stranger's text."""
    fill_in(
        browser,
        links.register_url(magazine.pk),
        "victim@yamate.example.jp",
        last_name="当選!",
        first_name="http://x.example",
    )
    requests.handle_requests(timezone.now())
    mail = Delivery.objects.get()
    content = str(mail.snapshot.content) + str(mail.given_values)
    assert "当選" not in content
    assert "x.example" not in content


def test_without_double_opt_in_it_counts_at_once(browser, patient):
    magazine = make_magazine(double_opt_in=False)
    answer = fill_in(browser, links.register_url(magazine.pk), "yui@yamate.example.jp")
    assert "登録を受け付けました" in browser.get(answer["Location"]).content.decode()
    requests.handle_requests(timezone.now())
    assert Reader.objects.get().state == "deliverable"
    assert Delivery.objects.count() == 0


@pytest.mark.parametrize("double", [True, False])
def test_who_left_comes_back_by_the_mail_only(browser, patient, double):
    """MAG-9: nobody is brought back by somebody else's typing, whatever the magazine's setting."""
    magazine = make_magazine(double_opt_in=double)
    reader = make_reader(magazine, "yui@yamate.example.jp")
    fill_in(browser, links.leave_url(magazine.pk), "YUI@yamate.example.jp")
    requests.handle_requests(timezone.now())
    reader.refresh_from_db()
    assert reader.state == "stopped"
    assert BlacklistedAddress.objects.get().own_act
    fill_in(browser, links.register_url(magazine.pk), "yui@yamate.example.jp")
    requests.handle_requests(timezone.now())
    reader.refresh_from_db()
    assert reader.state == "stopped"
    browser.post(confirm_link())
    reader.refresh_from_db()
    assert reader.state == "deliverable"
    assert not BlacklistedAddress.objects.exists()


def test_a_link_opened_again_brings_nobody_back(browser, magazine, patient):
    """Who left after the confirmation stays away, however often its link is opened."""
    fill_in(browser, links.register_url(magazine.pk), "yui@yamate.example.jp")
    requests.handle_requests(timezone.now())
    browser.post(confirm_link())
    fill_in(browser, links.leave_url(magazine.pk), "yui@yamate.example.jp")
    requests.handle_requests(timezone.now())
    browser.post(confirm_link())
    assert Reader.objects.get().state == "stopped"


def test_the_confirmation_link_expires(browser, magazine, patient):
    fill_in(browser, links.register_url(magazine.pk), "yui@yamate.example.jp")
    requests.handle_requests(timezone.now())
    ReaderRequest.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert browser.get(confirm_link()).status_code == 404
    assert browser.post(confirm_link()).status_code == 404
    assert Reader.objects.count() == 0


def test_a_reader_is_told_by_mail_that_they_read_it_already(browser, magazine, patient):
    make_reader(magazine, "yui@yamate.example.jp")
    fill_in(browser, links.register_url(magazine.pk), "yui@yamate.example.jp")
    requests.handle_requests(timezone.now())
    mail = Delivery.objects.get()
    assert mail.mail_kind == "reader_known"
    assert mail.given_values["leave_url"] == links.leave_url(magazine.pk)


def test_own_registration_lifts_the_stop_of_all_mails(browser, magazine, patient):
    """MAG-12: otherwise the registration would be for nothing. The page says so before it."""
    make_lead("yui@yamate.example.jp", unsubscribed_at=NOW, dm_permission="unwanted")
    fill_in(browser, links.register_url(magazine.pk), "yui@yamate.example.jp")
    requests.handle_requests(timezone.now())
    assert "すべてのお知らせの停止" in browser.get(confirm_link()).content.decode()
    browser.post(confirm_link())
    lead = Lead.objects.get()
    assert lead.unsubscribed_at is None
    assert lead.dm_permission == "unwanted"


# ---- the same for everybody


def people(magazine):
    make_reader(magazine, "reads@yamate.example.jp")
    make_reader(magazine, "stopped@yamate.example.jp", state="stopped")
    make_reader(magazine, "failed@yamate.example.jp", state="error_stopped")
    make_lead("all@yamate.example.jp", unsubscribed_at=NOW)
    make_lead("lead@yamate.example.jp")
    return [f"{name}@yamate.example.jp" for name in ("reads", "stopped", "failed", "all", "lead", "nobody")]


@pytest.mark.parametrize("url", [links.register_url, links.leave_url])
@pytest.mark.parametrize("double", [True, False])
def test_known_and_unknown_addresses_get_the_same_answer(
    magazine, patient, url, double, django_assert_max_num_queries
):
    """The page only notes: same status, same place, same words, same work for each."""
    magazine.double_opt_in = double
    magazine.save()
    answers, queries = set(), set()
    for address in people(magazine):
        client = Client()
        path = path_of(url(magazine.pk))
        stamp = stamp_of(client.get(path))
        entered = {"email": address, "stamp": stamp}
        page = client.post(path, entered | {"step": "check"}).content.decode()
        with django_assert_max_num_queries(4) as counted:
            answer = client.post(path, entered | {"step": "send"})
        queries.add(re.sub(r"\d+", "n", str([q["sql"].split(" ")[:3] for q in counted.captured_queries])))
        done = client.get(answer["Location"])
        answers.add(
            (
                answer.status_code,
                answer["Location"],
                page.replace(address, "").replace(stamp, ""),
                done.content,
            )
        )
    assert len(answers) == 1
    assert len(queries) == 1
    assert ReaderRequest.objects.filter(handled_at=None).count() == 6


# ---- protection


def test_a_form_on_another_site_leads_to_the_confirmation_page(browser, magazine):
    """A cross-site POST has no stamp of ours: it shows the confirmation page and registers nobody."""
    path = path_of(links.register_url(magazine.pk))
    for step in ({}, {"step": "send"}, {"step": "send", "stamp": "forged"}):
        page = browser.post(
            path, {"email": "yui@yamate.example.jp", **step}, headers={"Origin": "https://evil.example"}
        )
        assert page.status_code == 200
        assert "まだ完了していません" in page.content.decode()
        assert 'value="yui@yamate.example.jp"' in page.content.decode()
    assert ReaderRequest.objects.count() == 0


def test_the_stamp_of_one_form_serves_no_other(browser, magazine, patient):
    other = make_magazine("別のマガジン")
    stamp = stamp_of(browser.get(path_of(links.register_url(magazine.pk))))
    for url in (links.register_url(other.pk), links.leave_url(magazine.pk)):
        browser.post(path_of(url), {"email": "yui@yamate.example.jp", "stamp": stamp, "step": "send"})
    assert ReaderRequest.objects.count() == 0


def test_robots_are_stopped_and_people_keep_what_they_entered(browser, magazine):
    """The trap, a form that is sent too fast, and one that was open too long."""
    path = path_of(links.register_url(magazine.pk))
    entered = {
        "email": "yui@yamate.example.jp",
        "last_name": "髙﨑",
        "stamp": stamp_of(browser.get(path)),
        "step": "send",
    }
    for more in ({"homepage": "http://x.example"}, {}):
        page = browser.post(path, entered | more).content.decode()
        assert 'value="髙﨑"' in page
    assert ReaderRequest.objects.count() == 0


def test_one_mail_in_some_hours_and_few_a_day(patient):
    """List bombing: per address and magazine, and over all magazines."""
    now = timezone.now()

    def ask(magazine, address="victim@yamate.example.jp", at=now):
        requests.ask(magazine, address, {}, way="form", language="ja", source="", ip=None, now=at)
        requests.handle_requests(at)
        return Delivery.objects.count()

    magazines = [make_magazine(f"マガジン{number}") for number in range(6)]
    assert ask(magazines[0]) == 1
    assert ask(magazines[0], "　ＶＩＣＴＩＭ@yamate.example.jp") == 1
    assert ask(magazines[0], at=now + requests.ONE_MAIL_IN + LATER) == 2
    assert [ask(one, at=now + requests.ONE_MAIL_IN + LATER) for one in magazines[1:]] == [3, 4, 4, 4, 4]
    assert ask(magazines[5], "other@yamate.example.jp", at=now + requests.ONE_MAIL_IN + LATER) == 5


def test_one_mailbox_gets_few_mails_however_its_address_is_spelt(magazine):
    """List bombing: +anything and Gmail's dots are new addresses, but the same person's mailbox."""
    now = timezone.now()
    for address in (
        *(f"victim+{number}@yamate.example.jp" for number in range(6)),
        *(
            "a.b@gmail.com",
            "ab@gmail.com",
            "a.b.@gmail.com",
            "AB+x@googlemail.com",
            "a.b+y@gmail.com",
            "ab+z@gmail.com",
        ),
        "+@yamate.example.jp",
    ):
        requests.ask(magazine, address, {}, way="form", language="ja", source="", ip=None, now=now)
    requests.handle_requests(now)
    got = list(Delivery.objects.values_list("address", flat=True))
    assert [sum(end in address for address in got) for end in ("victim", "mail.com")] == [4, 4]
    assert "+@yamate.example.jp" in got


def test_who_reported_such_a_mail_as_spam_gets_no_more_of_them(magazine):
    """Whoever enters the address again, for whichever magazine; for 30 days."""
    now = timezone.now()
    other = make_magazine("別のマガジン")

    def ask(magazine, at):
        requests.ask(
            magazine, "victim@yamate.example.jp", {}, way="form", language="ja", source="", ip=None, now=at
        )
        requests.handle_requests(at)
        return Delivery.objects.count()

    assert ask(magazine, now) == 1
    mail = Delivery.objects.get()
    Delivery.objects.update(state="sent", sent_at=now)
    to = links.envelope_sender(mail.pk)
    report = (
        f"From: fbl@isp.example.jp\r\nTo: {to}\r\n"
        "Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nspam\r\n"
        "--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nUser-Agent: x\r\nVersion: 1\r\n\r\n"
        f"--b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: {links.message_id(mail.pk)}\r\n\r\n--b--\r\n"
    )
    assert receive(report.encode(), recipient=to, sender="fbl@isp.example.jp").kind == "complaint"
    assert ask(other, now + LATER) == 1
    assert ask(other, now + timedelta(days=31)) == 2


@pytest.mark.parametrize(
    ("norm", "mailbox"),
    [
        ("a+b+c@example.jp", "a@example.jp"),
        ("a.b@example.jp", "a.b@example.jp"),
        ("a.b@gmail.com", "ab@gmail.com"),
        ("a@日本語.jp", "a@xn--wgv71a119e.jp"),
        ("a@。", "a@。"),
        ("", ""),
    ],
)
def test_the_mailbox_behind_an_address(norm, mailbox):
    assert mailbox_of(norm) == mailbox


def test_floods_from_one_place_and_for_one_address_are_stopped(magazine, patient, monkeypatch):
    monkeypatch.setattr("mail.magazines.form_protection.SENDS_BY_IP", (3, 600))
    path = path_of(links.register_url(magazine.pk))

    def send(address, ip="192.0.2.1"):
        client = Client(REMOTE_ADDR=ip)
        return client.post(
            path, {"email": address, "stamp": stamp_of(client.get(path)), "step": "send"}
        ).status_code

    assert [send(f"a{number}@yamate.example.jp") for number in range(4)] == [302, 302, 302, 429]
    assert [send("b@yamate.example.jp", ip=f"198.51.100.{number}") for number in range(12)][9:] == [
        302,
        429,
        429,
    ]


@pytest.mark.parametrize("double", [True, False])
def test_a_name_no_lead_can_have_is_refused_on_the_form(browser, patient, double):
    """A text field posted with a line break would be noted, and fail when the link is opened, or in the tick."""
    path = path_of(links.register_url(make_magazine(double_opt_in=double).pk))
    for name in ("last_name", "first_name"):
        entered = {"email": "yui@yamate.example.jp", "stamp": stamp_of(browser.get(path)), "step": "send"}
        page = browser.post(path, entered | {name: "髙﨑\r\nBcc: x@evil.example"})
        assert page.status_code == 200
        assert "改行または見えない制御文字" in page.content.decode()
    assert ReaderRequest.objects.count() == 0


def test_nobody_is_kept_from_leaving_by_strangers_who_enter_the_address(browser, magazine, patient):
    """MAG-2: registrations and departures typed elsewhere do not use up anybody's departure."""

    def send(url, ip):
        client = Client(REMOTE_ADDR=ip)
        path = path_of(url)
        entered = {"email": "yui@yamate.example.jp", "stamp": stamp_of(client.get(path)), "step": "send"}
        return client.post(path, entered).status_code

    for url in (links.register_url(magazine.pk), links.leave_url(magazine.pk)):
        for number in range(11):
            send(url, f"198.51.100.{number}")
    assert send(links.register_url(magazine.pk), "192.0.2.1") == 429
    assert send(links.leave_url(magazine.pk), "192.0.2.1") == 302


def test_requests_nobody_confirmed_are_forgotten(magazine):
    """After 30 days."""
    now = timezone.now()
    for days in (29, 31):
        requests.ask(
            magazine, f"a{days}@yamate.example.jp", {}, way="form", language="ja", source="", ip=None,
            now=now - timedelta(days=days),
        )  # fmt: skip
    assert requests.forget_old(now) == 1
    assert ReaderRequest.objects.get().address == "a29@yamate.example.jp"


def test_an_odd_request_keeps_nobody_back(magazine, monkeypatch, caplog):
    now = timezone.now()
    for name in ("first", "second"):
        requests.ask(
            magazine, f"{name}@yamate.example.jp", {}, way="form", language="ja", source="", ip=None, now=now
        )
    real = requests.write_confirmation

    def sometimes(request, *, now):
        if request.address.startswith("first"):
            raise RuntimeError("odd")
        return real(request, now=now)

    monkeypatch.setattr(requests, "write_confirmation", sometimes)
    requests.handle_requests(now)
    assert [mail.address for mail in Delivery.objects.all()] == ["second@yamate.example.jp"]
    assert not ReaderRequest.objects.filter(handled_at=None).exists()
    assert "failed" in caplog.text


# ---- the pages


def test_a_closed_form_is_kind(browser, patient):
    magazine = make_magazine(registration_open=False)
    path = path_of(links.register_url(magazine.pk))
    assert "登録を受け付けていません" in browser.get(path).content.decode()
    assert "登録を受け付けていません" in browser.post(path, {"email": "a@b.example.jp"}).content.decode()
    assert browser.get(path_of(links.leave_url(magazine.pk))).status_code == 200
    assert ReaderRequest.objects.count() == 0


def test_without_confirmation_page_the_form_sends_at_once(browser, patient):
    """確認画面 off; a form on another site still leads to it."""
    magazine = make_magazine(confirm_page=False)
    path = path_of(links.leave_url(magazine.pk))
    page = browser.get(path)
    assert 'value="send"' in page.content.decode()
    answer = browser.post(path, {"email": "a@yamate.example.jp", "stamp": stamp_of(page), "step": "send"})
    assert answer.status_code == 302
    other = browser.post(path, {"email": "a@yamate.example.jp", "step": "send"})
    assert "まだ完了していません" in other.content.decode()
    assert ReaderRequest.objects.count() == 1


def test_forged_and_archived_addresses_lead_nowhere(browser, magazine):
    tokens = ["1.0000000000000000", "nothing", "0", links.magazine_token(magazine.pk + 1)]
    magazine.archived_at = NOW
    magazine.save()
    for token in [*tokens, links.magazine_token(magazine.pk)]:
        for tail in ("", "done/", "leave/", "leave/done/", "style.css"):
            assert browser.get(f"/mm/{token}/{tail}").status_code == 404, (token, tail)
        assert browser.post(f"/mm/{token}/", {"email": "a@b.example.jp"}).status_code == 404
        assert browser.post(f"/mm/c/{token}").status_code == 404
        assert browser.get(f"/ur/{token}").status_code == 404


def test_only_the_embedded_form_may_be_framed(browser, magazine):
    """?embed=1, on the pages that are the same for everybody; never on anybody's own."""
    reader = make_reader(magazine)
    asked = requests.ask(
        magazine, "a@yamate.example.jp", {}, way="form", language="ja", source="", ip=None, now=timezone.now()
    )
    requests.handle_requests(timezone.now())
    public = [
        links.register_url(magazine.pk),
        links.leave_url(magazine.pk),
        links.register_url(magazine.pk) + "done/",
    ]
    own = [links.reader_opt_out_url(magazine.pk, reader.lead_id), links.confirm_reader_url(asked.pk)]
    for url in public + own:
        plain = browser.get(path_of(url))
        assert plain["X-Frame-Options"] == "SAMEORIGIN"
        assert "frame-ancestors 'self'" in plain["Content-Security-Policy"]
        framed = browser.get(path_of(url) + "?embed=1")
        assert framed.status_code == 200
        assert ("X-Frame-Options" in framed) == (url in own)
        assert ("frame-ancestors *" in framed["Content-Security-Policy"]) == (url in public)
    page = browser.get(path_of(public[0]) + "?embed=1").content.decode()
    assert 'action="/mm/' in page
    assert "embed=1" in page
    assert "Set-Cookie" not in browser.get(path_of(public[0]) + "?embed=1")


def test_pages_say_noindex_and_speak_english(browser, magazine):
    for url in (
        links.register_url(magazine.pk),
        links.leave_url(magazine.pk),
        links.reader_opt_out_url(magazine.pk, 0),
    ):
        page = browser.get(path_of(url) + "?lang=en").content.decode()
        assert '<meta name="robots" content="noindex">' in page
        assert not re.search("[ぁ-ん]", page.replace("日本語", "").replace(magazine.name, ""))


@pytest.mark.parametrize(
    "address", ["", "nobody", "a@b", "x" * 2000, "a@yamate.example.jp\0", "<b>@x.jp", "😀@example.jp"]
)
def test_what_is_no_address_is_refused(browser, magazine, patient, address):
    path = path_of(links.register_url(magazine.pk))
    page = browser.post(path, {"email": address, "stamp": stamp_of(browser.get(path)), "step": "send"})
    assert page.status_code == 200
    assert "<b>@" not in page.content.decode()
    assert ReaderRequest.objects.count() == 0


def test_too_much_text_is_refused(browser, magazine):
    page = browser.post(
        path_of(links.register_url(magazine.pk)), {"email": "a@b.example.jp", "last_name": "あ" * 40_000}
    )
    assert page.status_code == 413
