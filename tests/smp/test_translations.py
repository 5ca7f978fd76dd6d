import gettext

import pytest
from django.core.management import CommandError, call_command
from django.utils import translation

from smp import translations

CODE = """
from django.utils.translation import gettext_lazy as _, ngettext, pgettext
A = _("Sent to %(count)s leads")
B = ngettext("%(n)s lead", "%(n)s leads", 2)
C = pgettext("month", "May")
"""
TEMPLATE = """{% load i18n %}<div>
    {% translate "Don't stop" %}
  {% blocktranslate with who=user.name %}Hello {{ who }}{% endblocktranslate %}
</div>"""
GOOD = """msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\n"

msgid "Sent to %(count)s leads"
msgstr "%(count)s件に送信"

msgid "%(n)s lead"
msgid_plural "%(n)s leads"
msgstr[0] "リード%(n)s件"

msgctxt "month"
msgid "May"
msgstr "5月"

msgid "Don't stop"
msgstr "止めない"

msgid "Hello %(who)s"
msgstr "%(who)sさん、こんにちは"
"""


@pytest.fixture
def project(tmp_path):
    """A little project: one module, one template, one complete part."""
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / "words.py").write_text(CODE, encoding="utf-8")
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "page.html").write_text(TEMPLATE, encoding="utf-8")
    (tmp_path / "locale" / "ja").mkdir(parents=True)
    (tmp_path / "locale" / "ja" / "mail.po").write_text(GOOD, encoding="utf-8")
    return tmp_path


def part(project, text, name="other.po"):
    (project / "locale" / "ja" / name).write_text(text, encoding="utf-8")


def test_every_text_of_the_product_is_in_japanese():
    """SYS-4: nothing missing, empty, fuzzy, contradictory or with other placeholders."""
    assert translations.find_problems() == []


def test_complete_project_has_no_problem(project):
    assert translations.find_problems(project) == []


def test_messages_of_code_and_templates_are_found(project):
    assert [
        (message.context, message.msgid, message.plural) for message in translations.extract(project)
    ] == [
        ("", "Sent to %(count)s leads", ""),
        ("", "%(n)s lead", "%(n)s leads"),
        ("month", "May", ""),
        ("", "Don't stop", ""),
        ("", "Hello %(who)s", ""),
    ]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            'msgid "Don\'t stop"\nmsgstr "止めない"',
            "",
            'templates/page.html:2: missing in locale/ja: "Don\'t stop"',
        ),
        ('msgstr "止めない"', 'msgstr ""', 'locale/ja/mail.po:15: empty: "Don\'t stop"'),
        (
            'msgid "Don\'t stop"',
            '#, fuzzy\nmsgid "Don\'t stop"',
            'locale/ja/mail.po:15: fuzzy: "Don\'t stop"',
        ),
        (
            "%(count)s件に送信",
            "%(counts)s件に送信",
            "locale/ja/mail.po:4: placeholders differ: 'Sent to %(count)s leads' has ['%(count)'], its text ['%(counts)']",
        ),
    ],
)
def test_each_kind_of_problem_is_named_with_its_place(project, old, new, complaint):
    assert old in GOOD
    part(project, GOOD.replace(old, new), "mail.po")
    assert translations.find_problems(project) == [complaint]


def test_two_parts_may_not_contradict_each_other(project):
    header = 'msgid ""\nmsgstr "Language: ja\\n"\n\n'
    part(project, header + 'msgid "Don\'t stop"\nmsgstr "続ける"\n')
    assert translations.find_problems(project) == [
        'locale/ja/other.po:4: also in mail.po with another text: "Don\'t stop"'
    ]
    part(project, header + 'msgid "Don\'t stop"\nmsgstr "止めない"\n')
    assert translations.find_problems(project) == []


def test_parts_are_compiled_into_one_catalogue(project):
    part(project, 'msgid "Only here"\nmsgstr "ここだけ"\n')
    assert translations.compile_catalogue(project / "locale" / "ja") == 6
    with (project / "locale" / "ja" / "LC_MESSAGES" / "django.mo").open("rb") as file:
        catalogue = gettext.GNUTranslations(file)
    assert catalogue.gettext("Only here") == "ここだけ"
    assert catalogue.pgettext("month", "May") == "5月"
    assert catalogue.ngettext("%(n)s lead", "%(n)s leads", 1) == "リード%(n)s件"


def test_compiles_only_when_a_part_is_newer(project):
    folder = project / "locale" / "ja"
    assert [translations.compile_if_needed(folder), translations.compile_if_needed(folder)] == [True, False]


def test_update_adds_what_is_missing_and_prunes_what_is_unused(project):
    part(
        project,
        'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\nmsgid "Unused"\nmsgstr "不要"\n',
        "mail.po",
    )
    assert translations.add_missing("new", project=project, prune=True) == (5, 1)
    assert [problem.split(": ")[1] for problem in translations.find_problems(project)] == ["empty"] * 5


def test_check_command_fails_with_the_number_of_problems(monkeypatch, capsys):
    monkeypatch.setattr(translations, "find_problems", lambda: ["a.py:1: missing in locale/ja: 'A'"])
    with pytest.raises(CommandError, match="1 texts to mend"):
        call_command("translations", "check")


def test_language_names_are_japanese():
    with translation.override("ja"):
        assert translation.gettext("Japanese") == "日本語"
