"""The documentation says what the code does: tables are current, names exist, links lead somewhere."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import errors
from app.limits import Limits
from app.settings import LocalSettings, Settings
from app.web.routes import BASE, PATTERNS
from scripts.docs_tables import REGION, TABLES, command_line, filled

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [*DOCS, *sorted(ROOT.glob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
VARIABLE = re.compile(r"COREGISTER_[A-Z][A-Z0-9_]*[A-Z0-9]")
OF_TESTS = {"COREGISTER_TEST_STACK", "COREGISTER_TEST_REQUEST_MIB"}  # read by the tests alone
# joined here, so that this file does not name what it forbids
REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"), ("files", "pythonhosted", "org"), ("repo1", "maven", "org"),
        ("repo", "maven", "apache", "org"), ("registry", "npmjs", "org"), ("deb", "debian", "org"),
        ("proxy", "golang", "org"), ("static", "crates", "io"),
    )
)  # fmt: skip
MACHINE_PATH = re.compile(r"(?<![\w.~:/-])/(?:work|root|tmp)/\w")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def variables() -> set[str]:
    models = (Settings, LocalSettings, Limits)
    return {
        f"{model.model_config['env_prefix']}{name.upper()}"
        for model in models
        for name in model.model_fields
        if name != "limits"
    }


@pytest.mark.parametrize("page", DOCS, ids=relative)
def test_a_generated_table_is_what_the_code_says_now(page: Path) -> None:
    """Run scripts/docs-tables when this fails."""
    text = page.read_text("utf-8")

    assert filled(text) == text


def test_every_generated_table_stands_in_some_document() -> None:
    used = {found["name"] for page in DOCS for found in REGION.finditer(page.read_text("utf-8"))}

    assert used == set(TABLES)


def test_every_setting_and_limit_is_documented() -> None:
    text = (ROOT / "docs/settings.md").read_text("utf-8")

    assert variables() - set(VARIABLE.findall(text)) == set()


def test_every_route_is_documented() -> None:
    text = (ROOT / "docs/dicomweb.md").read_text("utf-8")

    paths = [pattern.removeprefix(BASE) for pattern in PATTERNS.values()]
    assert [path for path in paths if f"`{path}`" not in text] == []


def test_every_error_that_a_client_can_meet_is_documented() -> None:
    text = (ROOT / "docs/dicomweb.md").read_text("utf-8")
    sent = [
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type)
        and issubclass(kind, errors.CoregisterError)
        and "never sent" not in _said_of(name)
        and not issubclass(kind, errors.LocalStackError)
    ]

    assert [name for name in sent if f"| `{name}` |" not in text] == ["CoregisterError"]


def _said_of(name: str) -> str:
    lines = (errors.__doc__ or "").splitlines()
    return next(line for line in lines if re.search(rf"\b{name}\b", line))


def test_every_command_and_option_is_documented() -> None:
    text = (ROOT / "docs/commands.md").read_text("utf-8")
    missing = []
    for name, command in command_line().commands.items():
        section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        wanted = [each.opts[0] for each in command.params if not getattr(each, "hidden", False)]
        missing += [
            f"{name} {option}"
            for option in wanted
            if f"`{option}`" not in section and option.startswith("-")
        ]
        missing += [] if section else [name]

    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_a_variable_that_a_document_names_exists(page: Path) -> None:
    named = set(VARIABLE.findall(page.read_text("utf-8"))) - {"COREGISTER_LIMIT"}

    assert named - variables() - OF_TESTS == set()


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_a_link_leads_to_a_file(page: Path) -> None:
    targets = [
        found["target"].partition("#")[0] for found in LINK.finditer(page.read_text("utf-8"))
    ]
    local = [target for target in targets if target and "://" not in target]

    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_a_file_that_a_document_names_exists(page: Path) -> None:
    """Files are named from the root, or from app/ as in docs/architecture.md."""
    named = set(re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.\w+|\w+\.py)`", page.read_text("utf-8")))
    roots = (ROOT, ROOT / "app")

    assert [n for n in sorted(named) if not any((root / n).exists() for root in roots)] == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_a_command_that_a_document_shows_can_be_typed(page: Path) -> None:
    commands = command_line().commands
    for line in _shown(page):
        program, *words = shlex.split(line, comments=True)
        if program.startswith("scripts/"):
            assert os.access(ROOT / program, os.X_OK), line
            words = ["up", *words] if program == "scripts/up" else []
        elif program != "coregister":
            continue
        if words:
            assert words[0] in commands, line
            known = {option for each in commands[words[0]].params for option in each.opts}
            assert {word for word in words[1:] if word.startswith("--")} <= known | {"--help"}, line


def _shown(page: Path) -> Iterator[str]:
    for block in re.findall(r"```console\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        yield from (line[2:] for line in block.splitlines() if line.startswith("$ "))


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs/decisions"
    text = (folder / "index.md").read_text("utf-8")

    assert [record.name for record in folder.glob("0*.md") if f"({record.name})" not in text] == []


def test_no_committed_file_names_a_registry_or_a_path_of_a_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    found = []
    for name in filter(None, listed.stdout.decode().split("\0")):
        try:
            text = (ROOT / name).read_text("utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue  # no text, or removed and not yet committed
        found += [f"{name}: {host}" for host in REGISTRIES if host in text]
        found += [f"{name}: {match[0]}" for match in MACHINE_PATH.finditer(text)]

    assert found == []


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip

    assert (built.returncode, "WARNING" in built.stderr) == (0, False), built.stderr
    page = (tmp_path / "architecture" / "index.html").read_text("utf-8")
    assert "images/stow.svg" in page
    assert re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://[^"]+', page) == []
