from django.apps import AppConfig


class SmpConfig(AppConfig):
    name = "smp"
