"""Passwords in tests: hashed as in the product, but once. There one takes 0.3 s, and most tests log somebody in."""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class QuickHasher(PBKDF2PasswordHasher):
    iterations = 1
