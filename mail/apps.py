from django.apps import AppConfig


class MailConfig(AppConfig):
    name = "mail"

    def ready(self) -> None:
        from mail.delivery.retries import register_retry_settings
        from mail.registered_settings import register_mail_settings
        from mail.search_items import register_mail_items
        from smp.lib.bench import register_bench

        register_mail_settings()
        register_retry_settings()
        register_bench("resolve", "mail.bench_resolve")
        register_mail_items()
