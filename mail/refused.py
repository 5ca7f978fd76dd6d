"""What the rules refuse, for every kind of mailing."""


class Refused(Exception):
    """Something the rules do not allow; `message` is a sentence for the user, in the user's language."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
