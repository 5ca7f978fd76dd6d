from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MailConfig(AppConfig):
    name = "mail"

    def ready(self) -> None:
        from mail import (
            audit_labels,
            automatic_start,
            campaign_copy,
            finder,
            home_cards,
            lead_merge,
            magazine_pages,
        )
        from mail.alerts import register_alert_settings
        from mail.delivery.brake import register_brake_settings
        from mail.delivery.retries import register_retry_settings
        from mail.lead_panel import register_why_panel
        from mail.magazines import lead_merge as reader_merge
        from mail.magazines.failures import count_failures
        from mail.magazines.filters import register as register_filter_items
        from mail.magazines.merge_values import reader_fields
        from mail.magazines.search_items import register as register_magazine_items
        from mail.merge_fields import register_magazine_fields
        from mail.registered_settings import duplicates_reminder, register_mail_settings
        from mail.search_items import register_mail_items
        from mail.signals import delivery_failed
        from mail.step_settings import register_step_settings
        from smp.lib.bench import register_bench
        from smp.lib.mode import BOTH
        from smp.lib.navigation import Page, Tab, register_notice, register_page, register_tab

        magazine_pages.register()
        delivery_failed.connect(count_failures, dispatch_uid="mail.magazines.failures")
        register_filter_items()
        register_magazine_items()
        register_magazine_fields(reader_fields)
        lead_merge.register()
        reader_merge.register()
        campaign_copy.register()
        automatic_start.register()
        audit_labels.register()
        home_cards.register()
        finder.register()
        register_mail_settings()
        register_step_settings()
        register_retry_settings()
        register_brake_settings()
        register_alert_settings()
        register_bench("resolve", "mail.bench.resolve")
        register_bench("deliver", "mail.bench.deliver")
        register_mail_items()
        register_tab(Tab("mail", _("Mail"), 30))
        send, look = _("Send"), _("Look")
        wizard = (
            "wizard_condition", "wizard_leads", "wizard_links", "wizard_confirm", "wizard_expected", "wizard_done",
        )  # fmt: skip
        job = (
            "job", "job_stop", "job_delete", "job_leads", "job_matching", "job_changed", "job_content",
            "job_resend_unknown", "job_retry_failed", "job_report", "job_report_mails", "job_rates",
        )  # fmt: skip
        register_page(
            Page(
                "mail",
                _("Send wizard"),
                "wizard",
                send,
                "may_edit",
                url_names=wizard,
                position=10,
                modes=BOTH,
            )
        )
        register_page(
            Page(
                "mail",
                _("Wizard history"),
                "jobs",
                look,
                aliases=("送信履歴",),
                url_names=job,
                position=20,
                modes=BOTH,
            )
        )
        step = (
            "step_mail", "step_mail_new", "step_mail_settings", "step_mail_clicks", "step_mail_timing", "step_mail_confirm",
            "step_mail_waits", "step_mail_delete", "step_report", "step_report_mails",
        )  # fmt: skip
        register_page(
            Page(
                "mail",
                _("Step mail"),
                "step_mails",
                send,
                aliases=("トリガー送信", "トラッキングトリガー", "シナリオ", "ステップ配信", "自動配信"),
                url_names=step,
                position=12,
                modes=BOTH,
            )
        )
        register_notice("mail", duplicates_reminder)
        register_page(
            Page("settings", _("Sending speed"), "speed", position=40,
                 aliases=("送信速度", "流量制御", "送信元IP", "ウォームアップ", "スロットリング", "Throttling"),
                 url_names=("speed_rule", "speed_own_rule", "speed_rule_add", "speed_rule_delete", "speed_source",
                            "speed_source_add", "speed_source_delete"))
        )  # fmt: skip
        delivery = ("delivery", "delivery_hits", "single_mail", "single_mail_confirm", "single_mail_done")
        register_page(
            Page(
                "mail",
                _("Individual mail history"),
                "deliveries",
                look,
                url_names=delivery,
                position=30,
                modes=BOTH,
            )
        )
        old_names = ("不達通知", "バウンス", "bounces")
        register_page(
            Page(
                "mail",
                _("Bounces and replies received"),
                "returned_mails",
                look,
                aliases=old_names,
                position=40,
                modes=BOTH,
            )
        )
        register_page(
            Page("settings", _("Sending domains"), "sending_domains", level="may_edit", position=30,
                 aliases=("SPF", "DKIM", "DMARC", "PTR", "送信ドメイン認証", "電子署名"),
                 url_names=("sending_domain", "sending_domain_new", "sending_domain_delete", "dkim_key_activate",
                            "dkim_key_revoke"))
        )  # fmt: skip
        register_why_panel()
        prepare = _("Prepare")
        template = ("template", "template_new", "template_edit", "template_test_send", "templates_of_all")
        old_name = ("メールテンプレート一覧",)
        register_page(
            Page(
                "mail",
                _("Templates"),
                "templates",
                prepare,
                aliases=old_name,
                url_names=template,
                position=70,
                modes=BOTH,
            )
        )
        register_page(
            Page(
                "mail",
                _("Mail settings"),
                "mail_settings",
                prepare,
                url_names=("mail_settings_edit", "mail_settings_test"),
                position=71,
                modes=BOTH,
            )
        )
        register_page(
            Page(
                "mail",
                _("Counted URLs"),
                "counted_urls",
                prepare,
                aliases=(
                    "クリックカウント",
                    "クリックカウントURL",
                    "クリックカウントURL指定",
                    "ターゲットURL",
                    "URL一覧",
                    "クリック測定",
                ),
                url_names=("counted_url_new", "counted_url_edit"),
                position=73,
                modes=BOTH,
            )
        )
