"""What `bench deliver` sends: N leads, a personalised multipart of about 20 KB, a running job with N due deliveries."""

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from mail import sending_domains
from mail.delivery.speed_rules import RELAY
from mail.message import take_snapshot
from mail.models import DkimKey, MailTemplate, SendJob
from mail.models.send_job import JobState, RecipientRule
from mail.models.sending_domain import KeyState
from mail.models.template import Charset, MailForm, Purpose
from settings.models import DomainRule, Tls

DOMAIN = "seminar.example.jp"
FROM = f"info@{DOMAIN}"

_SECTION = """      <tr><td style="padding:12px 16px;border-bottom:1px solid #e5e7eb;font-size:14px;line-height:1.8;color:#1f2937;">
        <a href="https://seminar.example.jp/sessions/{n}" style="color:#1d4ed8;">第{n}部 製造業におけるデータ活用の進め方と現場の事例</a><br>
        生産技術・品質保証・設備保全のご担当者様に向けて、現場で使えるデータの集め方と見せ方をご紹介します。</td></tr>
"""
_HTML = f"""<!DOCTYPE html>
<html lang="ja">
<head><meta charset="utf-8"><title>{{{{ 姓 }}}}様へ</title></head>
<body style="margin:0;background:#f3f4f6;">
  <table role="presentation" width="600" style="margin:0 auto;background:#ffffff;">
    <tbody>
      <tr><td>{{% if 会社名 %}}{{{{ 会社名 }}}}<br>{{% endif %}}{{{{ 部署名 }}}} {{{{ 氏名 }}}} 様</td></tr>
{"".join(_SECTION.format(n=n) for n in range(1, 25))}\
      <tr><td>{{{{ 会社名|default("御社") }}}}のご参加をお待ちしております。
        <a href="https://seminar.example.jp/apply?lead={{{{ リードID }}}}">お申し込み</a></td></tr>
      <tr><td>送信者: 株式会社エスエムピー セミナー事務局<br>配信停止は<a href="{{{{ 配信停止URL }}}}">こちら</a></td></tr>
    </tbody>
  </table>
</body>
</html>
"""
_TOPICS = "".join(
    f"第{n}部 製造業におけるデータ活用の進め方と現場の事例\nhttps://seminar.example.jp/sessions/{n}\n"
    for n in range(1, 25)
)
_TEXT = f"""{{{{ 会社名 }}}}
{{{{ 部署名 }}}} {{{{ 氏名 }}}} 様

いつもお世話になっております。
{_TOPICS}
--
送信者: 株式会社エスエムピー セミナー事務局
住所: 東京都千代田区丸の内1-1-1
配信停止はこちら: {{{{ 配信停止URL }}}}
"""

_LEADS = """
INSERT INTO leads_lead (kind, last_name, first_name, last_name_kana, first_name_kana, email, email_norm, email_malformed,
    email_since, company, department, job_title, postal_code, prefecture, address, phone, note, language, registration,
    dm_permission, email_valid, email_failures, extra, created_at, updated_at)
SELECT 'visitor', (ARRAY['佐藤', '鈴木', '髙橋', '田中', '伊藤', '渡邉', '山﨑', '中村', '小林', '𠮷田'])[n %% 10 + 1],
    '良夫' || n, 'セイ', 'メイ', address, address, false, now(), '株式会社山手製作所' || n %% 997,
    '生産技術部', '課長', '100-0005', '東京都', '千代田区丸の内1-1-1', '03-0000-0000', '', 'ja', 'full', 'wanted', true, 0,
    '{}', now(), now()
FROM generate_series(1, %s) n, LATERAL (SELECT 'yoshio.' || n || '@company' || n %% 499 || '.example.jp') a(address)
"""
_DELIVERIES = """
INSERT INTO mail_delivery (job_id, lead_id, kind, template_id, state, reason, decided_at, address, dm_permission,
    email_valid, registration, next_at, attempts, subject, enhanced_status, reply, remote_host, failed_address)
SELECT %s, id, 'wizard', %s, 'queued', '', now(), email, dm_permission, email_valid, registration, now(), 0, '', '', '',
    '', ''
FROM leads_lead ORDER BY id LIMIT %s
"""


@dataclass(frozen=True)
class Scene:
    template: MailTemplate
    job: SendJob


def set_up(messages: int, *, sign: bool, connections: int, now: datetime) -> Scene:
    """In an empty scratch database."""
    DomainRule.objects.create(
        key=RELAY, name=RELAY, connections=connections, mails_per_connection=1000, tls=Tls.NEVER
    )
    if sign:
        _signing_domain(now)
    template = MailTemplate.objects.create(
        name="bench", subject="{{ 姓 }}様へ 製造業DXセミナーのご案内", form=MailForm.MULTIPART, charset=Charset.UTF_8,
        purpose=Purpose.ADVERTISING, from_address=FROM, from_name="SMPセミナー事務局", to="{{ メールアドレス }}",
        reply_to=f"seminar@{DOMAIN}", text_body=_TEXT, html_body=_HTML,
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_LEADS, [messages])
    job = running_job(template, messages, now=now)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE leads_lead, mail_delivery")
    return Scene(template, job)


def running_job(template: MailTemplate, messages: int, *, now: datetime) -> SendJob:
    """A job as `mail.job_start.run` leaves it: decided, with `messages` due deliveries."""
    job = SendJob.objects.create(
        rule=RecipientRule.BY_SEARCH, state=JobState.SENDING, template=template, snapshot=take_snapshot(template),
        purpose=template.purpose, condition={"match": "all", "blocks": []}, started_at=now, decided_at=now,
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_DELIVERIES, [job.pk, template.pk, messages])
    return job


def _signing_domain(now: datetime) -> None:
    domain = sending_domains.add_domain(DOMAIN, user=None, now=now)
    # Its first key. Not by `activate_key`: that would ask DNS for a record that nobody published.
    DkimKey.objects.filter(domain=domain).update(state=KeyState.ACTIVE, activated_at=now)
    sending_domains.forget()
