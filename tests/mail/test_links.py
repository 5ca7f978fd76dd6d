"""TRK-6: signed links of mails, read back for years."""

from mail import links
from mail.links import NOBODY, Click, MyPageLink


def token_of(url, path):
    before, found, token = url.partition(path)
    assert found, url
    assert before in {"http://127.0.0.1:8000", "https://smp.example.jp"}
    return token


def test_links_name_what_they_were_made_for(settings):
    settings.BASE_URL = "https://smp.example.jp"
    click = token_of(links.click_url(7, 9), "/l/")
    assert links.read_click(click) == Click(delivery_id=7, url_id=9)
    opened = token_of(links.open_url(7), "/o/")
    assert links.read_open(opened) == links.read_open(opened.removesuffix(".gif")) == 7
    my_page = token_of(links.my_page_url(5, 7), "/m/")
    assert links.read_my_page(my_page) == MyPageLink(lead_id=5, delivery_id=7)


def test_no_link_serves_for_another_purpose():
    click = token_of(links.click_url(7, 9), "/l/")
    my_page = token_of(links.my_page_url(7, 9), "/m/")
    opened = token_of(links.open_url(7), "/o/")
    assert links.read_click(my_page) is None
    assert links.read_my_page(click) is None
    assert links.read_open(click) is None
    assert links.read_opt_out(opened.removesuffix(".gif")) is None


def test_links_of_test_mails_name_nobody():
    assert links.read_click(token_of(links.click_url(NOBODY, 9), "/l/")) == Click(NOBODY, 9)
    assert links.read_open(token_of(links.open_url(NOBODY), "/o/")) == NOBODY
    assert links.read_my_page(token_of(links.my_page_url(NOBODY, NOBODY), "/m/")) == MyPageLink(
        NOBODY, NOBODY
    )


def test_a_link_survives_the_text_around_it():
    """Mail programs that take what follows a URL into the link (「…をご覧ください」, a bracket) still lead to its page."""
    token = token_of(links.click_url(7, 9), "/l/")
    for after in ("をご覧ください", "」", ")", ".", "%E3%82%92", "&gt;", "/", "?utm=1", ">"):
        assert links.read_click(token + after) == Click(7, 9), after
    for after in ("a", "0", "V"):
        assert links.read_click(token + after) is None


def test_a_changed_secret_keeps_the_links_of_mails_already_sent(settings):
    """TRK-6: they work for years."""
    click, opened = links.click_url(7, 9), links.open_url(7)
    former, settings.SECRET_KEY = settings.SECRET_KEY, "quite-another-secret-of-more-than-32-characters"
    assert links.read_click(token_of(click, "/l/")) is None
    settings.SECRET_KEY_FALLBACKS = [former]
    assert links.read_click(token_of(click, "/l/")) == Click(7, 9)
    assert links.read_open(token_of(opened, "/o/")) == 7
