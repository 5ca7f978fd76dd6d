"""`manage.py create_admin USERNAME [--name 名前]`: the first 特権管理者 of an installation; later ones are made in 設定."""

import getpass
import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from settings.models import Role, User
from settings.users import save_user


class Command(BaseCommand):
    help = "Makes a privileged administrator; the password is asked for, or read from SMP_NEW_PASSWORD or a pipe."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--name", default="", help="as the screens show it (default: the username)")
        parser.add_argument("--email", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        if User.objects.filter(username__iexact=options["username"]).exists():
            raise CommandError(f"There is a user {options['username']} already.")
        password = self.password()
        if not password:
            raise CommandError("A password is needed.")
        user = User(username=options["username"])
        values = {
            "username": options["username"],
            "name": options["name"] or options["username"],
            "email": options["email"],
            "role": Role.PRIVILEGED,
            "password": password,
        }
        try:
            User.username_validator(options["username"])
            save_user(user, values, by=None)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(f"{user.username} can log in now.")

    def password(self) -> str:
        if given := os.environ.get("SMP_NEW_PASSWORD"):
            return given
        if not sys.stdin.isatty():
            return sys.stdin.readline().rstrip("\n")
        first = getpass.getpass("Password: ")
        if first != getpass.getpass("Again: "):
            raise CommandError("The two passwords differ.")
        return first
