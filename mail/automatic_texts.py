"""The texts of the automatic mails that come with the product, used as long as nobody chose a template (NAV-2).

Plain text, a business notice, with the merge fields of mail/application_fields.py; in the language of the application.
"""

from typing import Any, NamedTuple

from mail.automatic_kinds import STAFF
from mail.mail_kinds import MailKind
from mail.models.template import Charset, MailForm, Purpose


class Words(NamedTuple):
    subject: str
    body: str


LANGUAGES = ("ja", "en")

_DATA = """
――――――――――――――――――――
■ {{ キャンペーン名 }}
{% if 開催日 %}日時 : {{ 開催日 }} {{ 開催時間 }}
{% endif %}{% if 会場名 %}会場 : {{ 会場名 }}
{% endif %}{% if 会場住所 %}所在地 : {{ 会場住所 }}
{% endif %}{% if 会場URL %}地図 : {{ 会場URL }}
{% endif %}{% if オンラインURL %}オンライン参加URL : {{ オンラインURL }}
{% endif %}{% if 選択セッション %}お申し込みのセッション :
{{ 選択セッション }}
{% endif %}{% if 申込番号 %}申込番号 : {{ 申込番号 }}
{% endif %}――――――――――――――――――――
"""
_TICKET = """{% if 受講票URL %}
当日は、下記の受講票を受付でご提示ください(スマートフォンの画面または印刷)。
受講票 : {{ 受講票URL }}
※URLの有効期限は {{ 有効期限 }} です。期限を過ぎた場合は、上記URLを開いた画面から再発行できます。
{% endif %}"""
_MY_PAGE = """
お申し込み内容の確認・変更・キャンセルは、マイページから承ります。
{{ マイページURL }}
"""
_SIGNED = """
ご不明な点がございましたら、お手数ですが下記までお問い合わせください。
※このメールは自動で送信しています。
{% if 主催者名 or 問い合わせ先 %}
--
{% if 主催者名 %}{{ 主催者名 }}
{% endif %}{% if 問い合わせ先 %}お問い合わせ : {{ 問い合わせ先 }}
{% endif %}{% endif %}"""
_GREETING = """{% if 会社名 %}{{ 会社名 }}
{% endif %}{{ 氏名|default("お客") }} 様

"""
# Nobody knows yet whose address it is: what somebody entered as a name is no text to send to it.
_TO_ANYBODY = "このメールは、手続きの画面で入力されたメールアドレスへお送りしています。\n\n"
_TO_ANYBODY_EN = "We send this mail to an address that was entered on our pages.\n\n"
_STAFF_BODY = """{{ お知らせの種類 }}の連絡です。

キャンペーン : {{ キャンペーン名 }}
開催日時 : {{ 開催日 }} {{ 開催時間 }}
申込番号 : {{ 申込番号 }}
申込状況 : {{ 申込状況 }}
お名前 : {{ 氏名 }} 様
会社名 : {{ 会社名 }}
部署・役職 : {{ 部署名 }} {{ 役職 }}
E-mail : {{ 申込者メールアドレス }}
電話番号 : {{ 電話番号 }}
{% if 選択セッション %}選択セッション :
{{ 選択セッション }}
{% endif %}{% if 申込内容 %}申込内容 :
{{ 申込内容 }}
{% endif %}{% if 変更内容 %}変更内容 :
{{ 変更内容 }}
{% endif %}
詳細(ログインが必要です) :
{{ リード詳細URL }}

※このメールは自動で送信しています。
"""

_STAFF_SUMMARY = """{{ お知らせの種類 }}が {{ 件数 }} 件ありました(一括)。

キャンペーン : {{ キャンペーン名 }}
開催日時 : {{ 開催日 }} {{ 開催時間 }}

一覧(ログインが必要です) :
{{ リード詳細URL }}

※このメールは自動で送信しています。
"""

_JA: dict[str, Words] = {
    "received": Words(
        "【{{ キャンペーン名 }}】お申し込みを受け付けました",
        _GREETING
        + "このたびは「{{ キャンペーン名 }}」にお申し込みいただき、誠にありがとうございます。\n以下の内容で受け付けました。\n"
        + _DATA + _TICKET
        + "{% if 申込内容 %}\n■ お申し込み内容\n{{ 申込内容 }}\n{% endif %}"
        + _MY_PAGE + "\n当日のご参加を心よりお待ちしております。\n" + _SIGNED,
    ),
    "confirm": Words(
        "【{{ キャンペーン名 }}】お申し込みの確認のお願い",
        _TO_ANYBODY
        + "「{{ キャンペーン名 }}」にお申し込みいただき、ありがとうございます。\n\n"
        "まだお申し込みは完了していません。\n下記のURLを開き、メールアドレスの確認を完了してください。\n\n{{ 確認URL }}\n\n"
        "確認が完了しますと、受付完了のメールをお送りします。\n"
        "お心当たりのない場合は、このメールを破棄してください。お申し込みは完了しません。\n" + _SIGNED,
    ),
    "waiting": Words(
        "【{{ キャンペーン名 }}】キャンセル待ちで承りました",
        _GREETING
        + "「{{ キャンペーン名 }}」にお申し込みいただき、ありがとうございます。\n\n"
        "満席のため、キャンセル待ちとして承りました。\n"
        "お席をご用意できましたら、あらためてメールでご案内します。この時点では、お席は確保されていません。\n"
        + _DATA + _MY_PAGE + _SIGNED,
    ),
    "moved_up": Words(
        "【{{ キャンペーン名 }}】お席をご用意できました",
        _GREETING
        + "キャンセル待ちで承っておりました「{{ キャンペーン名 }}」につきまして、お席をご用意できましたのでお知らせします。\n"
        + _DATA + _TICKET
        + "\nご都合がつかなくなった場合は、お手数ですがマイページからキャンセルのお手続きをお願いいたします。\n{{ マイページURL }}\n"
        + _SIGNED,
    ),
    "changed": Words(
        "【{{ キャンペーン名 }}】お申し込み内容を変更しました",
        _GREETING
        + "「{{ キャンペーン名 }}」のお申し込み内容を変更しましたので、お知らせします。\n"
        "{% if 変更内容 %}\n■ 変更内容\n{{ 変更内容 }}\n{% endif %}"
        + _DATA + _TICKET + _MY_PAGE + _SIGNED,
    ),
    "cancelled": Words(
        "【{{ キャンペーン名 }}】お申し込みのキャンセルを承りました",
        _GREETING
        + "「{{ キャンペーン名 }}」のお申し込みのキャンセルを承りました。\n"
        + _DATA
        + "\nお心当たりのない場合は、下記のお問い合わせ先までご連絡ください。\nまたの機会のご参加をお待ちしております。\n" + _SIGNED,
    ),
    "reminder": Words(
        "【{{ キャンペーン名 }}】開催が近づいてまいりました",
        _GREETING
        + "お申し込みいただいている「{{ キャンペーン名 }}」の開催が近づいてまいりましたので、ご案内します。\n"
        + _DATA + _TICKET
        + "\nご都合がつかなくなった場合は、お手数ですがマイページからキャンセルのお手続きをお願いいたします。\n{{ マイページURL }}\n"
        "\n当日お目にかかれますことを楽しみにしております。\n" + _SIGNED,
    ),
    "ticket_reissued": Words(
        "受講票アクセスURL再発行のお知らせ",
        _GREETING
        + "「{{ キャンペーン名 }}」の受講票のURLを再発行しましたので、お知らせします。\n以前のURLは有効期限が過ぎています。\n\n"
        "受講票 : {{ 受講票URL }}\n有効期限 : {{ 有効期限 }}\n" + _DATA + _SIGNED,
    ),
    "my_page_login": Words(
        "マイページのログインURLのお知らせ",
        _GREETING
        + "マイページのログインURLをお送りします。下記のURLを開いてログインしてください。\n\n{{ ログインURL }}\n\n"
        "URLは一度だけ、短い時間に限り使用できます。ほかの方には転送しないでください。\n"
        "お心当たりのない場合は、このメールを破棄してください。\n" + _SIGNED,
    ),
    "my_page_password": Words(
        "マイページのパスワード再設定のお知らせ",
        _GREETING
        + "マイページのパスワード再設定を受け付けました。下記のURLから新しいパスワードを設定してください。\n\n{{ パスワード設定URL }}\n\n"
        "URLは一度だけ、短い時間に限り使用できます。ほかの方には転送しないでください。\n"
        "お心当たりのない場合は、このメールを破棄してください。パスワードは変更されません。\n" + _SIGNED,
    ),
    "my_page_changed": Words(
        "ご登録内容を変更しました",
        _GREETING
        + "マイページでご登録内容が変更されましたので、お知らせします。\n"
        "{% if 変更内容 %}\n■ 変更内容\n{{ 変更内容 }}\n{% endif %}\n"
        "お心当たりのない場合は、下記までご連絡ください。\n\nマイページ : {{ マイページURL }}\n" + _SIGNED,
    ),
    "address_confirm": Words(
        "新しいメールアドレスの確認のお願い",
        _TO_ANYBODY
        + "マイページで、このメールアドレスへの変更を受け付けました。\n"
        "下記のURLを開くと、変更が完了します。それまでは、以前のメールアドレスのままです。\n\n{{ 確認URL }}\n\n"
        "お心当たりのない場合は、このメールを破棄してください。変更は行われません。\n" + _SIGNED,
    ),
    "address_changed": Words(
        "メールアドレスが変更されました",
        _GREETING
        + "マイページで、ご登録のメールアドレスが変更されましたので、以前のメールアドレスにお知らせします。\n"
        "今後のご連絡は、新しいメールアドレスにお送りします。\n\n"
        "お心当たりのない場合は、至急、下記までご連絡ください。\n" + _SIGNED,
    ),
    "staff_summary": Words("[{{ お知らせの種類 }}] {{ キャンペーン名 }} / {{ 件数 }}件", _STAFF_SUMMARY),
    "staff": Words("[{{ お知らせの種類 }}] {{ キャンペーン名 }} / {{ 氏名 }} 様", _STAFF_BODY),
}  # fmt: skip

_DATA_EN = """
----------------------------------------
{{ campaign_name }}
{% if campaign_date %}Date: {{ campaign_date }} {{ campaign_time }}
{% endif %}{% if venue_name %}Venue: {{ venue_name }}
{% endif %}{% if venue_address %}Address: {{ venue_address }}
{% endif %}{% if venue_url %}Map: {{ venue_url }}
{% endif %}{% if online_url %}Join online: {{ online_url }}
{% endif %}{% if chosen_sessions %}Your sessions:
{{ chosen_sessions }}
{% endif %}{% if application_number %}Application number: {{ application_number }}
{% endif %}----------------------------------------
"""
_TICKET_EN = """{% if ticket_url %}
Please show this ticket at the reception (on your phone or printed):
{{ ticket_url }}
The URL is valid until {{ ticket_valid_until }} (Japan time). After that, open it to get a fresh one.
{% endif %}"""
_MY_PAGE_EN = "\nTo look at, change or cancel your application, open my page:\n{{ my_page_url }}\n"
_SIGNED_EN = """
If you have any questions, please contact us.
This mail was sent automatically.
{% if organiser or contact %}
--
{% if organiser %}{{ organiser }}
{% endif %}{% if contact %}Contact: {{ contact }}
{% endif %}{% endif %}"""
_GREETING_EN = 'Dear {{ full_name|default("customer") }},\n\n'
_ONCE_EN = "The link works once and for a short time only. Please do not forward it.\n"
_IGNORE_EN = "If you did not ask for this, please ignore this mail.\n"

_EN: dict[str, Words] = {
    "received": Words(
        "[{{ campaign_name }}] Your application was received",
        _GREETING_EN + "Thank you for applying for “{{ campaign_name }}”. We have received your application.\n"
        + _DATA_EN + _TICKET_EN
        + "{% if application_answers %}\nYour answers:\n{{ application_answers }}\n{% endif %}"
        + _MY_PAGE_EN + "\nWe look forward to seeing you.\n" + _SIGNED_EN,
    ),
    "confirm": Words(
        "[{{ campaign_name }}] Please confirm your application",
        _TO_ANYBODY_EN + "Thank you for applying for “{{ campaign_name }}”.\n\n"
        "Your application is not complete yet. Please open this URL to confirm your address:\n\n{{ confirm_url }}\n\n"
        "You will then get a mail that your application was received.\n" + _IGNORE_EN + _SIGNED_EN,
    ),
    "waiting": Words(
        "[{{ campaign_name }}] You are on the waiting list",
        _GREETING_EN + "Thank you for applying for “{{ campaign_name }}”.\n\n"
        "All seats are taken, so we have put you on the waiting list. You do not have a seat yet; we will write to you as "
        "soon as there is one.\n" + _DATA_EN + _MY_PAGE_EN + _SIGNED_EN,
    ),
    "moved_up": Words(
        "[{{ campaign_name }}] There is a seat for you",
        _GREETING_EN + "You were on the waiting list of “{{ campaign_name }}”. We are glad to tell you that you now have a seat.\n"
        + _DATA_EN + _TICKET_EN
        + "\nIf you cannot come any more, please cancel on my page:\n{{ my_page_url }}\n" + _SIGNED_EN,
    ),
    "changed": Words(
        "[{{ campaign_name }}] Your application was changed",
        _GREETING_EN + "Your application for “{{ campaign_name }}” was changed.\n"
        "{% if changes %}\nWhat was changed:\n{{ changes }}\n{% endif %}" + _DATA_EN + _TICKET_EN + _MY_PAGE_EN + _SIGNED_EN,
    ),
    "cancelled": Words(
        "[{{ campaign_name }}] Your application was cancelled",
        _GREETING_EN + "Your application for “{{ campaign_name }}” was cancelled.\n" + _DATA_EN
        + "\nIf you did not ask for this, please contact us. We hope to see you another time.\n" + _SIGNED_EN,
    ),
    "reminder": Words(
        "[{{ campaign_name }}] It will soon begin",
        _GREETING_EN + "This is to remind you of “{{ campaign_name }}”, for which you applied.\n"
        + _DATA_EN + _TICKET_EN
        + "\nIf you cannot come any more, please cancel on my page:\n{{ my_page_url }}\n"
        "\nWe look forward to seeing you.\n" + _SIGNED_EN,
    ),
    "ticket_reissued": Words(
        "Your ticket URL was reissued",
        _GREETING_EN + "Here is a fresh URL of your ticket for “{{ campaign_name }}”; the earlier one has expired.\n\n"
        "Ticket: {{ ticket_url }}\nValid until: {{ ticket_valid_until }} (Japan time)\n" + _DATA_EN + _SIGNED_EN,
    ),
    "my_page_login": Words(
        "Your login link for my page",
        _GREETING_EN + "Please open this URL to log in to my page:\n\n{{ login_url }}\n\n" + _ONCE_EN + _IGNORE_EN + _SIGNED_EN,
    ),
    "my_page_password": Words(
        "Set a new password for my page",
        _GREETING_EN + "Please open this URL to set a new password for my page:\n\n{{ password_url }}\n\n"
        + _ONCE_EN + _IGNORE_EN + "Your password then stays as it is.\n" + _SIGNED_EN,
    ),
    "my_page_changed": Words(
        "Your data was changed",
        _GREETING_EN + "Your data was changed on my page.\n"
        "{% if changes %}\nWhat was changed:\n{{ changes }}\n{% endif %}\n"
        "If this was not you, please contact us.\n\nMy page: {{ my_page_url }}\n" + _SIGNED_EN,
    ),
    "address_confirm": Words(
        "Please confirm your new e-mail address",
        _TO_ANYBODY_EN + "On my page somebody asked to use this e-mail address from now on. Please open this URL to confirm it; "
        "until then the earlier address is used:\n\n{{ confirm_url }}\n\n" + _IGNORE_EN + _SIGNED_EN,
    ),
    "address_changed": Words(
        "Your e-mail address was changed",
        _GREETING_EN + "Your e-mail address was changed on my page. We tell this to the earlier address; from now on we write "
        "to the new one.\n\nIf this was not you, please contact us at once.\n" + _SIGNED_EN,
    ),
}  # fmt: skip


def words_of(kind: MailKind, language: str, *, summary: bool = False) -> Words:
    """The text of the product for a kind. Staff read Japanese. `summary`: of many at once, to staff."""
    if kind.key.endswith(STAFF):
        return _JA["staff_summary" if summary else "staff"]
    return (_EN if language == "en" else _JA)[kind.key]


def standard_content(
    kind: MailKind, language: str, sender: dict[str, str], *, summary: bool = False
) -> dict[str, Any]:
    """The mail of the product as a snapshot's content (mail/message.py). `sender`: the address fields to use."""
    words = words_of(kind, language, summary=summary)
    return {
        "name": f"{kind.key} ({language})",
        "subject": words.subject,
        "form": MailForm.TEXT.value,
        "purpose": Purpose.NOTICE.value,
        "charset": Charset.UTF_8.value,
        "to": "{{ メールアドレス }}",
        "text_body": words.body,
        "html_body": "",
        "attachments": [],
    } | sender
