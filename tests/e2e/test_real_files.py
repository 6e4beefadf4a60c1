"""Every file that packages bring: stored, found, retrieved as it was, rendered.

What came of each transfer syntax and character set is a table in docs/dicomweb/files.md. The tests make it:
where the page says something else it is written anew, and the test fails so that somebody looks.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID

from tests.e2e.npm_client import TEST_FILES, npm_client
from tests.e2e.real_files import RealFile, as_sent, installed_folders, real_files
from tests.server import Server, store

pytestmark = [pytest.mark.stack]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "dicomweb" / "files.md"
REGION = re.compile(r"(<!-- measured:(?P<name>[\w-]+) -->\n).*?(<!-- /measured -->)", re.DOTALL)
AT_ONCE = 4
TRUNCATED = {"MR_truncated.dcm", "rtplan_truncated.dcm"}
WITHOUT_TRANSFER_SYNTAX = {"meta_missing_tsyntax.dcm"}
# what they call pixel data is none: made to be parsed, not to be looked at
NO_IMAGES = {
    "JPEG2000-embedded-sequence-delimiter.dcm",
    "badVR.dcm",
    "nested_priv_SQ.dcm",
}
ANYTHING = 'multipart/related; type="application/dicom"; transfer-syntax=*'
# image, report and document: what a rendering is there for (PS3.18 §8.7.4)
SHOWN = ("PixelData", "ContentSequence", "EncapsulatedDocument")
YES, NOTHING = "✓", "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one file."""

    file: RealFile
    data_set: Dataset
    refused: str  # why, or nothing
    found: bool = False
    same: bool = False
    name: bool | None = None  # found by its PatientName, and shown as pydicom reads it
    rendered: str | None = None  # nothing to show: None; shown: empty; else what went wrong

    @property
    def transfer_syntax(self) -> str:
        """The UID and the name of its transfer syntax."""
        uid = self.data_set.file_meta.get("TransferSyntaxUID")
        return NOTHING if uid is None else f"`{uid}` {UID(uid).name}"

    @property
    def character_set(self) -> str:
        """Its specific character set, or what stands for none."""
        value = self.data_set.get("SpecificCharacterSet")
        terms = [value] if isinstance(value, str) else list(value or [])
        return "`" + "\\".join(terms) + "`" if any(terms) else "none (ISO_IR 6)"


@pytest.fixture(scope="module")
def outcomes(server: Server, tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """Every file, tried."""
    of_npm = npm_client(tmp_path_factory.mktemp("npm")) / TEST_FILES
    folders = [*installed_folders(), ("dicomweb-client", of_npm)]
    with (
        httpx.Client(base_url=server.base, timeout=120, trust_env=False) as http,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        return list(pool.map(lambda file: _tried(file, http), real_files(folders)))


def test_there_are_many(outcomes: list[Outcome]) -> None:
    assert len(outcomes) > 190
    assert len({each.transfer_syntax for each in outcomes}) > 12
    assert len({each.character_set for each in outcomes}) > 10


def test_what_is_stored_is_found_and_comes_back_as_it_was(outcomes: list[Outcome]) -> None:
    kept = [each for each in outcomes if not each.refused]

    assert [each.file.name for each in kept if not (each.found and each.same)] == []


def test_only_what_is_no_object_is_refused(outcomes: list[Outcome]) -> None:
    refused = {each.file.name for each in outcomes if each.refused}

    assert {name for name in refused if not name.startswith("DICOMDIR")} == (
        TRUNCATED | WITHOUT_TRANSFER_SYNTAX
    )


def test_names_are_found_and_read_in_every_character_set(outcomes: list[Outcome]) -> None:
    assert [each.file.name for each in outcomes if each.name is False] == []
    assert sum(each.name is True for each in outcomes) > 100


def test_everything_with_something_to_show_is_rendered(outcomes: list[Outcome]) -> None:
    wrong = {each.file.name: each.rendered for each in outcomes if each.rendered}

    assert {name: why for name, why in wrong.items() if not why.startswith("406 ")} == {}
    assert set(wrong) == NO_IMAGES


@pytest.mark.parametrize("name", ["transfer-syntaxes", "character-sets", "refused", "not-rendered"])
def test_page_says_what_came_of_it(outcomes: list[Outcome], name: str) -> None:
    text = PAGE.read_text("utf-8")
    table = TABLES[name](outcomes)
    now = REGION.sub(
        lambda found: f"{found[1]}\n{table}\n{found[3]}" if found["name"] == name else found[0],
        text,
    )
    if now != text:
        PAGE.write_text(now, "utf-8")

    assert now == text, f"{PAGE.name} was out of date; it is written anew: look at it"


def _tried(file: RealFile, http: httpx.Client) -> Outcome:
    data = as_sent(file.path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what pydicom thinks of its own test files
        data_set = dcmread(io.BytesIO(data), force=True)
        answer = store(http, data)
        if answer.status_code not in (httpx.codes.OK, httpx.codes.ACCEPTED):
            assert answer.status_code == httpx.codes.CONFLICT, answer.text
            return Outcome(file, data_set, refused=_reason(answer))
        place = (
            f"/studies/{data_set.StudyInstanceUID}/series/{data_set.SeriesInstanceUID}"
            f"/instances/{data_set.SOPInstanceUID}"
        )
        found = http.get("/instances", params={"SOPInstanceUID": data_set.SOPInstanceUID})
        got = http.get(place, headers={"Accept": ANYTHING})
        return Outcome(
            file, data_set, refused="",
            found=found.status_code == httpx.codes.OK and len(found.json()) == 1,
            same=got.status_code == httpx.codes.OK and _only_part(got) == data,
            name=_name(http, data_set), rendered=_rendering(http, place, data_set),
        )  # fmt: skip


def _reason(answer: httpx.Response) -> str:
    """Return the failure reason of the one instance, and its words."""
    said = answer.json()
    (failure,) = said.get("00081198", said.get("0008119A"))["Value"]
    (attribute,) = failure["00741048"]["Value"]
    return f"{failure['00081197']['Value'][0]:04X}H {attribute['00000902']['Value'][0]}"


def _only_part(answer: httpx.Response) -> bytes:
    boundary = answer.headers["Content-Type"].partition("boundary=")[2].strip('"')
    body = answer.content.partition(f"--{boundary}\r\n".encode())[2].partition(b"\r\n\r\n")[2]
    return body.rpartition(f"\r\n--{boundary}--".encode())[0]


def _name(http: httpx.Client, data_set: Dataset) -> bool | None:
    """Tell whether the study is found by its patient's name, which comes back as pydicom reads it."""
    name = str(data_set.get("PatientName", ""))
    if not name.strip("^ ") or re.search(r"[*?\\\ufffd]", name):
        return None
    query = f"PatientName={quote(name)}&StudyInstanceUID={data_set.StudyInstanceUID}"
    answer = http.get(f"/studies?{query}")
    if answer.status_code != httpx.codes.OK:
        return False
    ((row,),) = ([each["00100010"]["Value"] for each in answer.json()],)
    groups = [row[0].get(key, "") for key in ("Alphabetic", "Ideographic", "Phonetic")]
    return "=".join(groups).rstrip("=") == name.rstrip("=")


def _rendering(http: httpx.Client, place: str, data_set: Dataset) -> str | None:
    if not any(keyword in data_set for keyword in SHOWN):
        return None
    answer = http.get(f"{place}/rendered")
    if answer.status_code == httpx.codes.OK:
        return "" if answer.content else "empty"
    return f"{answer.status_code} {answer.json().get('detail', '')}"


def _by_transfer_syntax(outcomes: Iterable[Outcome]) -> str:
    kept = [each for each in outcomes if not each.refused]
    return _table(
        ("Transfer syntax", "Files", "Stored", "Found", "Byte for byte", "Rendered"),
        (
            (key, str(len(group)), YES, *_marks(group), _share(group, _shown))
            for key, group in _groups(kept, lambda each: each.transfer_syntax)
        ),
    )


def _by_character_set(outcomes: Iterable[Outcome]) -> str:
    kept = [each for each in outcomes if not each.refused]
    return _table(
        ("Specific Character Set", "Files", "Found", "Byte for byte", "Found by name"),
        (
            (key, str(len(group)), *_marks(group), _share(group, lambda each: each.name))
            for key, group in _groups(kept, lambda each: each.character_set)
        ),
    )


def _refused(outcomes: Iterable[Outcome]) -> str:
    return _table(
        ("File", "Refused with"),
        sorted({(f"`{each.file.name}`", each.refused) for each in outcomes if each.refused}),
    )


def _not_rendered(outcomes: Iterable[Outcome]) -> str:
    return _table(
        ("File", "Answered with"),
        sorted({(f"`{each.file.name}`", each.rendered) for each in outcomes if each.rendered}),
    )


def _shown(outcome: Outcome) -> bool | None:
    return None if outcome.rendered is None else not outcome.rendered


def _marks(group: Sequence[Outcome]) -> Iterator[str]:
    yield _share(group, lambda each: each.found)
    yield _share(group, lambda each: each.same)


def _share(group: Sequence[Outcome], holds: Callable[[Outcome], bool | None]) -> str:
    """Return a mark, or how many of how many; what does not apply does not count."""
    said = [holds(each) for each in group]
    told = [each for each in said if each is not None]
    if not told:
        return NOTHING
    number = "" if len(told) == len(said) else f" ({len(told)})"
    return f"{YES}{number}" if all(told) else f"{sum(told)} of {len(told)}"


def _groups(
    outcomes: Iterable[Outcome], key: Callable[[Outcome], str]
) -> list[tuple[str, list[Outcome]]]:
    groups: dict[str, list[Outcome]] = {}
    for each in outcomes:
        groups.setdefault(key(each), []).append(each)
    return sorted(groups.items())


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


TABLES: dict[str, Callable[[Iterable[Outcome]], str]] = {
    "transfer-syntaxes": _by_transfer_syntax,
    "character-sets": _by_character_set,
    "refused": _refused,
    "not-rendered": _not_rendered,
}
