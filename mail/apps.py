from django.apps import AppConfig


class MailConfig(AppConfig):
    name = "mail"

    def ready(self) -> None:
        from mail.search_items import register_mail_items

        register_mail_items()
