"""The Japanese catalogue: `locale/ja/*.po`, one part for each area, compiled into one `.mo` without the gettext tools.

`compile_catalogue` needs polib only and no Django settings: the tests' plugin, the demo and the image call it.
`find_problems` extracts every msgid from code and templates with Babel, which is a development dependency.
"""

import io
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polib
from django.utils.translation.template import templatize

PROJECT = Path(__file__).resolve().parent.parent
PARTS = PROJECT / "locale" / "ja"
CATALOGUE = PARTS / "LC_MESSAGES" / "django.mo"
CODE = ("smp", "settings", "leads", "campaigns", "mail", "tracking")
HEADER = {
    "Content-Type": "text/plain; charset=UTF-8",
    "Content-Transfer-Encoding": "8bit",
    "Language": "ja",
    "Plural-Forms": "nplurals=1; plural=0;",
}
# Function name → the places of context, msgid and plural among its arguments, as Babel writes them.
KEYWORDS: dict[str, tuple[int | tuple[int, str], ...] | None] = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "npgettext_lazy": ((1, "c"), 2, 3),
}
PLACEHOLDER = re.compile(r"%\((\w+)\)|%[sd]|(?<!\{)\{(\w*)\}(?!\})")

Key = tuple[str, str]  # (context or "", msgid)


@dataclass(frozen=True)
class Message:
    """One msgid of the code: where it stands, and its plural form if it has one."""

    context: str
    msgid: str
    plural: str
    place: str  # "leads/models.py:12"

    @property
    def key(self) -> Key:
        return self.context, self.msgid


def parts(folder: Path = PARTS) -> list[Path]:
    return sorted(folder.glob("*.po"))


def read_parts(folder: Path = PARTS) -> dict[Path, list[polib.POEntry]]:
    """The live entries of each part. OSError (polib) names file and line of a syntax error."""
    return {
        path: [entry for entry in polib.pofile(str(path), encoding="utf-8") if not entry.obsolete]
        for path in parts(folder)
    }


def compile_catalogue(folder: Path = PARTS) -> int:
    """Writes LC_MESSAGES/django.mo from all parts; returns the number of texts. Safe to run twice at once."""
    catalogue = polib.POFile()
    catalogue.metadata = HEADER
    seen: set[Key] = set()
    for entries in read_parts(folder).values():
        for entry in entries:
            key = (entry.msgctxt or "", entry.msgid)
            if key not in seen:
                seen.add(key)
                catalogue.append(entry)
    target = folder / "LC_MESSAGES" / "django.mo"
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, suffix=".tmp")
    os.close(handle)
    catalogue.save_as_mofile(temporary)
    os.chmod(temporary, 0o644)
    os.replace(temporary, target)  # readers see the old file or the new one, never half of it
    return len(seen)


def compile_if_needed(folder: Path = PARTS) -> bool:
    """Compiles when a part, or the set of parts, changed since the last time; returns whether it did."""
    target = folder / "LC_MESSAGES" / "django.mo"
    newest = max((path.stat().st_mtime for path in [folder, *parts(folder)]), default=0.0)
    if target.exists() and target.stat().st_mtime >= newest:
        return False
    compile_catalogue(folder)
    return True


def extract(project: Path = PROJECT) -> list[Message]:
    """Every msgid of Python code and templates, in the order of the files."""
    messages = []
    for app in CODE:
        for path in sorted((project / app).rglob("*.py")):
            if "migrations" not in path.parts:
                messages += _messages(path.read_text(encoding="utf-8"), str(path.relative_to(project)))
    for folder in ("templates", *CODE):
        for path in sorted((project / folder).rglob("*")):
            if path.suffix in {".html", ".txt"} and "templates" in path.parts:
                text = templatize(path.read_text(encoding="utf-8"))
                # templatize leaves the indentation of HTML, which Python's tokenizer takes for its own.
                flat = "\n".join(line.lstrip() for line in text.splitlines())
                messages += _messages(flat, str(path.relative_to(project)))
    return messages


def _messages(source: str, place: str) -> Iterator[Message]:
    from babel.messages.extract import (
        extract as babel_extract,
    )  # development only, see the module's docstring

    file = io.BytesIO(source.encode())
    for line, found, _comments, context in babel_extract(
        "python", file, keywords=KEYWORDS, options={"encoding": "utf-8"}
    ):
        msgid, plural = (
            (found[-2], found[-1]) if isinstance(found, tuple) and len(found) >= 2 else (found, "")
        )
        if isinstance(found, tuple) and context:
            msgid, plural = found[0], found[1] if len(found) > 1 else ""
        if isinstance(msgid, tuple):
            msgid = msgid[0]
        if msgid:
            yield Message(context or "", str(msgid), str(plural or ""), f"{place}:{line}")


def missing(messages: list[Message], folder: Path = PARTS) -> list[Message]:
    """Each msgid of the code that no part knows, once."""
    known = {
        (entry.msgctxt or "", entry.msgid) for entries in read_parts(folder).values() for entry in entries
    }
    found: dict[Key, Message] = {}
    for message in messages:
        if message.key not in known:
            found.setdefault(message.key, message)
    return list(found.values())


def find_problems(project: Path = PROJECT) -> list[str]:
    """One line for each text that is missing, empty, fuzzy, contradictory, or whose placeholders differ."""
    folder = project / "locale" / "ja"
    messages = extract(project)
    used = {message.key for message in messages}
    problems = [
        f"{message.place}: missing in locale/ja: {message.msgid!r}" for message in missing(messages, folder)
    ]
    first: dict[Key, tuple[Path, polib.POEntry]] = {}
    for path, entries in read_parts(folder).items():
        for entry in entries:
            place = f"locale/ja/{path.name}:{entry.linenum}"
            key = (entry.msgctxt or "", entry.msgid)
            texts = list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]
            if key in first and (first[key][1].msgstr, first[key][1].msgstr_plural) != (
                entry.msgstr,
                entry.msgstr_plural,
            ):
                problems.append(f"{place}: also in {first[key][0].name} with another text: {entry.msgid!r}")
            first.setdefault(key, (path, entry))
            if key not in used:
                continue
            if entry.fuzzy:
                problems.append(f"{place}: fuzzy: {entry.msgid!r}")
            elif not texts or not all(text.strip() for text in texts):
                problems.append(f"{place}: empty: {entry.msgid!r}")
            else:
                wanted = placeholders(entry.msgid_plural or entry.msgid)
                problems += [
                    f"{place}: placeholders differ: {entry.msgid!r} has {sorted(wanted)}, its text {sorted(placeholders(text))}"
                    for text in texts
                    if placeholders(text) != wanted
                ]
    plurals = {key for key, (_path, entry) in first.items() if entry.msgid_plural}
    problems += [
        f"{message.place}: has a plural form, its entry in locale/ja has none: {message.msgid!r}"
        for message in messages
        if message.plural and message.key in first and message.key not in plurals
    ]
    return problems


def placeholders(text: str) -> set[str]:
    return {match.group(0) for match in PLACEHOLDER.finditer(text.replace("%%", ""))}


def add_missing(part: str, *, project: Path = PROJECT, prune: bool = False) -> tuple[int, int]:
    """Adds msgids no part knows to `locale/ja/<part>.po`, empty; with `prune` drops unused ones of all parts."""
    folder = project / "locale" / "ja"
    messages = extract(project)
    new = missing(messages, folder)
    path = folder / f"{part}.po"
    if new:
        catalogue = polib.pofile(str(path), encoding="utf-8") if path.exists() else polib.POFile()
        catalogue.metadata = catalogue.metadata or HEADER
        catalogue.wrapwidth = 110
        for message in new:
            entry = polib.POEntry(msgid=message.msgid, msgctxt=message.context or None)
            if message.plural:
                entry.msgid_plural, entry.msgstr_plural = message.plural, {0: ""}
            catalogue.append(entry)
        catalogue.save(str(path))
    dropped = 0
    if prune:
        used = {message.key for message in messages}
        for each in parts(folder):
            catalogue = polib.pofile(str(each), encoding="utf-8", wrapwidth=110)
            unused = [entry for entry in catalogue if (entry.msgctxt or "", entry.msgid) not in used]
            for entry in unused:
                catalogue.remove(entry)
            if unused:
                dropped += len(unused)
                catalogue.save()
    return len(new), dropped
