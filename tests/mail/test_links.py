"""TRK-6: signed links of mails, read back for years."""

from mail import links
from mail.bounces.address import is_ours
from mail.links import NOBODY, Click, MyPageLink, ReaderLink


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


def test_links_of_magazines_name_the_magazine_and_the_reader():
    """OPT-7, MAG-13."""
    reader = token_of(links.reader_opt_out_url(3, 5), "/ur/")
    assert links.read_reader_opt_out(reader) == links.read_reader_opt_out(reader.upper()) == ReaderLink(3, 5)
    assert links.read_reader_opt_out(token_of(links.reader_opt_out_url(3, NOBODY), "/ur/")) == ReaderLink(
        3, NOBODY
    )
    register, leave = token_of(links.register_url(3), "/mm/"), token_of(links.leave_url(3), "/mm/")
    assert links.read_magazine(register.rstrip("/")) == links.read_magazine(leave.split("/")[0]) == 3
    confirm = token_of(links.confirm_reader_url(9), "/mm/c/")
    assert links.read_confirm_reader(confirm) == links.read_confirm_reader(confirm.upper()) == 9
    address = links.empty_mail_address(3)
    assert links.read_empty_mail(address) == links.read_empty_mail(f"<{address.upper()}>") == 3
    assert is_ours(address)


def test_links_of_magazines_are_not_forged():
    """No id is taken without its signature, nor one for another purpose or another magazine."""
    reader = token_of(links.reader_opt_out_url(3, 5), "/ur/")
    other = token_of(links.reader_opt_out_url(4, 5), "/ur/")
    first, lead, mac = reader.split(".")
    for forged in (
        f"{other.split('.')[0]}.{lead}.{mac}", f"{first}.{lead}.{'0' * 16}", f"{lead}.{mac}", "", ".", "3", "3.5",
        "\0", "髙﨑.𠮷.😀", "0" * 5000,
    ):  # fmt: skip
        assert links.read_reader_opt_out(forged) is None, forged
        assert links.read_magazine(forged) is None, forged
        assert links.read_confirm_reader(forged) is None, forged
    address = links.empty_mail_address(3)
    bounce = links.envelope_sender(3)
    for wrong in (
        address.replace("@", "@x."),
        address[1:],
        bounce,
        "m" + bounce[1:],
        "m.@" + address.split("@")[1],
        "",
    ):
        assert links.read_empty_mail(wrong) is None, wrong
        assert wrong == bounce or not is_ours(wrong)
    assert links.read_envelope_sender(address) is None


def test_what_belongs_to_one_reader_is_personal():
    assert links.is_personal(links.reader_opt_out_url(3, 5))
    assert links.is_personal(links.confirm_reader_url(9))
    assert not links.is_personal(links.register_url(3))
    assert not links.is_personal(links.leave_url(3))
