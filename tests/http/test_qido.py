"""QIDO-RS over HTTP: required keys, default attributes, any tag as a key, paging (PS3.18 §10.6)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.corpus import element, item, with_elements
from tests.http.conftest import archive_of
from tests.server import Server, store, values

pytestmark = pytest.mark.stack

# PS3.18 Table 10.6.3-3 to 10.6.3-5: what a row has without being asked
OF_STUDY = {
    "00080020", "00080030", "00080050", "00080056", "00080061", "00080090", "00081190", "00100010",
    "00100020", "00100030", "00100040", "0020000D", "00200010", "00201206", "00201208",
}  # fmt: skip
OF_SERIES = {"00080060", "0008103E", "0020000E", "00200011", "00201209", "00081190"}
OF_INSTANCE = {
    "00080016", "00080018", "00080056", "00081190", "00200013", "00280010", "00280011", "00280100",
}  # fmt: skip


@dataclass(frozen=True)
class Shelf:
    """Three studies of one run, told apart by a word in their descriptions."""

    word: str
    studies: list[str]
    series: list[list[str]]
    instances: list[list[str]]  # by study


@pytest.fixture(scope="module")
def shelf(server: Server) -> Iterator[Shelf]:
    word = f"shelf{generate_uid()[-9:]}"
    made = Shelf(word, [], [], [])
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
        for n in range(3):
            files = list(study_files(made, n))
            assert store(http, *files).status_code == 200
    yield made
    for study in made.studies:
        assert archive_of(server).imaging_study(study) is not None


def study_files(shelf: Shelf, n: int) -> Iterator[bytes]:
    """Yield a study of n+1 series of 2 instances, and note its UIDs."""
    study = generate_uid()
    series: list[str] = [generate_uid() for _ in range(n + 1)]
    shelf.studies.append(study)
    shelf.series.append(series)
    shelf.instances.append([])
    private = (
        element(0x00290010, b"LO", b"SHELF MAKER ")
        + element(0x00291001, b"LO", f"secret-{n} ".encode())
        + element(0x00291010, b"SQ", item(element(0x00080100, b"SH", f"NEST{n} ".encode())))
    )
    for number, uid in enumerate(series):
        for k in range(2):
            sop = generate_uid()
            shelf.instances[n].append(sop)
            yield with_elements(
                private,
                StudyInstanceUID=study,
                SeriesInstanceUID=uid,
                SOPInstanceUID=sop,
                StudyDate=f"2024010{n + 1}",
                StudyTime=f"{10 + n}1500",
                AccessionNumber=f"{shelf.word[:10]}{n}",
                StudyID=f"ID{n}",
                StudyDescription=f"{shelf.word} {'abc'[n]}",
                PatientName=f"Name{n}^Given^^Dr",
                PatientID=f"{shelf.word}-{n}",
                ReferringPhysicianName="Referrer^Some",
                Modality=["CT", "MR", "PT"][number],
                SeriesNumber=str(number + 1),
                SeriesDescription=f"series {number}",
                InstanceNumber=str(k + 1),
                ContrastBolusAgent=f"agent-{n}" if k else None,
                AnatomicRegionSequence=[
                    {"CodeValue": f"T-{n}", "CodingSchemeDesignator": "SRT"},
                    {"CodeValue": "T-X", "CodingSchemeDesignator": "SCT"},
                ],
            )


def rows(client: httpx.Client, path: str, **params: Any) -> list[dict[str, Any]]:
    answer = client.get(path, params={name.replace("__", "."): v for name, v in params.items()})
    if answer.status_code == 204:
        assert answer.headers["X-Total-Count"] == "0"
        return []
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    assert int(answer.headers["X-Total-Count"]) >= len(found)
    return found


def found(client: httpx.Client, shelf: Shelf, **params: Any) -> list[int]:
    """Return which studies of the shelf match, by number."""
    uids = {values(row, "0020000D")[0] for row in rows(client, "/studies", **params)}
    return [n for n, study in enumerate(shelf.studies) if study in uids]


@pytest.mark.parametrize("name", ["StudyDate", "00080020"])
def test_the_required_keys_of_a_study_match(client: httpx.Client, shelf: Shelf, name: str) -> None:
    """PS3.18 Table 10.6.1-5: by keyword and by tag."""
    mine = {"StudyDescription": f"{shelf.word}*"}
    assert found(client, shelf, **mine) == [0, 1, 2]
    assert found(client, shelf, **mine, **{name: "20240102"}) == [1]
    assert found(client, shelf, **mine, **{name: "20240102-"}) == [1, 2]
    assert found(client, shelf, **mine, **{name: "-20240101"}) == [0]
    assert found(client, shelf, **mine, **{name: "20240101-20240102"}) == [0, 1]
    assert found(client, shelf, **mine, StudyTime="1100-1159") == [1]
    assert found(client, shelf, AccessionNumber=f"{shelf.word[:10]}2") == [2]
    assert found(client, shelf, **mine, ModalitiesInStudy="PT") == [2]
    assert found(client, shelf, **mine, ModalitiesInStudy="MR") == [1, 2]
    assert found(client, shelf, **mine, ReferringPhysicianName="referrer*") == [0, 1, 2]
    assert found(client, shelf, **mine, PatientName="NAME1*") == [1]
    assert found(client, shelf, **mine, PatientName="Name?^Given^^Dr") == [0, 1, 2]
    assert found(client, shelf, PatientID=f"{shelf.word}-0") == [0]
    assert found(client, shelf, StudyInstanceUID=",".join(shelf.studies[:2])) == [0, 1]
    assert found(client, shelf, **mine, StudyID="ID2") == [2]
    assert found(client, shelf, **mine, StudyID="ID9") == []


def test_the_required_keys_of_series_and_instances_match(
    client: httpx.Client, shelf: Shelf
) -> None:
    """PS3.18 Table 10.6.1-5, the lower levels."""
    study, series, instances = shelf.studies[2], shelf.series[2], shelf.instances[2]
    base = f"/studies/{study}"
    assert len(rows(client, f"{base}/series")) == 3
    assert len(rows(client, f"{base}/series", Modality="MR")) == 1
    assert len(rows(client, f"{base}/series", SeriesNumber="3")) == 1
    assert len(rows(client, f"{base}/series", SeriesInstanceUID=series[0])) == 1
    assert len(rows(client, f"{base}/instances")) == 6
    assert len(rows(client, f"{base}/instances", InstanceNumber="2")) == 3
    assert len(rows(client, f"{base}/instances", SOPClassUID="1.2.840.10008.5.1.4.1.1.2")) == 6
    assert len(rows(client, f"{base}/series/{series[1]}/instances")) == 2
    assert len(rows(client, "/instances", SOPInstanceUID=instances[0])) == 1
    assert len(rows(client, "/instances", StudyInstanceUID=study, Modality="PT")) == 2
    assert len(rows(client, "/series", StudyInstanceUID=study)) == 3
    assert rows(client, f"/studies/{generate_uid()}/series") == []


def test_rows_have_their_default_attributes(client: httpx.Client, shelf: Shelf) -> None:
    """PS3.18 Table 10.6.3-3 to 10.6.3-5; rows below a level that the URL leaves open have its too."""
    study, series = shelf.studies[1], shelf.series[1][0]
    (row,) = rows(client, "/studies", StudyInstanceUID=study)
    assert row.keys() >= OF_STUDY
    assert values(row, "00081190") == [f"{str(client.base_url).rstrip('/')}/studies/{study}"]
    assert values(row, "00080061") == ["CT", "MR"]
    assert values(row, "00201206") == [2]
    assert values(row, "00201208") == [4]
    for path, wanted, left_out in (
        (f"/studies/{study}/series", OF_SERIES, {"00201208"}),
        ("/series", OF_SERIES | OF_STUDY, set()),
        (f"/studies/{study}/series/{series}/instances", OF_INSTANCE, {"00100010", "0008103E"}),
        (f"/studies/{study}/instances", OF_INSTANCE | {"00080060", "0020000E"}, {"00100010"}),
        ("/instances", OF_INSTANCE | OF_SERIES | OF_STUDY, set()),
    ):
        for row in rows(client, path, limit=2, **under(path, study)):
            assert row.keys() >= wanted, path
            assert not row.keys() & left_out, path


def under(path: str, study: str) -> dict[str, str]:
    return {} if path.startswith("/studies/") else {"StudyInstanceUID": study}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ContrastBolusAgent", "agent-{}"),
        ("AnatomicRegionSequence.CodeValue", "T-{}"),
        ("00082218.00080100", "T-{}"),
        ("00290010=SHELF MAKER&00291001", "secret-{}"),
        ("00290010=SHELF MAKER&00291010.00080100", "NEST{}"),
    ],
)
def test_any_tag_is_a_key_at_every_level(
    client: httpx.Client, shelf: Shelf, name: str, value: str
) -> None:
    """P4: standard, nested and private tags, without a study UID, registered nowhere."""
    for n in range(3):
        asked = f"{name}={value.format(n)}&StudyDescription={shelf.word}*"
        (row,) = client.get(f"/studies?{asked}").json()
        assert values(row, "0020000D") == [shelf.studies[n]]
        assert len(client.get(f"/series?{asked}").json()) == n + 1
        of_instances = 1 if name == "ContrastBolusAgent" else 2
        assert len(client.get(f"/instances?{asked}").json()) == (n + 1) * of_instances
    nobody = f"{name}={value.format('none')}&StudyDescription={shelf.word}*"
    assert client.get(f"/studies?{nobody}").status_code == 204


def test_keys_of_a_sequence_match_within_one_item(client: httpx.Client, shelf: Shelf) -> None:
    mine = f"StudyDescription={shelf.word}*&AnatomicRegionSequence.CodeValue=T-1"
    within = "AnatomicRegionSequence.CodingSchemeDesignator"
    assert len(client.get(f"/studies?{mine}&{within}=SRT").json()) == 1
    assert client.get(f"/studies?{mine}&{within}=SCT").status_code == 204


def test_pages_follow_one_another_without_gap(client: httpx.Client, shelf: Shelf) -> None:
    mine = {"StudyInstanceUID": shelf.studies[2]}
    whole = rows(client, "/instances", **mine)
    paged: list[dict[str, Any]] = []
    for offset in range(0, 8, 2):
        answer = client.get("/instances", params={**mine, "limit": 2, "offset": offset})
        assert answer.headers["X-Total-Count"] == "6"
        if offset < 4:
            left = 6 - offset - 2
            text = f"There are {left} additional results that can be requested"
            assert text in answer.headers["Warning"]
        else:
            assert "Warning" not in answer.headers
        if answer.status_code == 200:
            paged += answer.json()
    assert paged == whole
    assert len(whole) == 6
    assert client.get("/instances", params={**mine, "offset": 6}).status_code == 204


def test_include_field_adds_and_only_adds(client: httpx.Client, shelf: Shelf) -> None:
    base = f"/studies/{shelf.studies[0]}/instances"
    plain = rows(client, base)[1]
    more = rows(client, base, includefield="ContrastBolusAgent,00282110")[1]
    assert more.keys() - plain.keys() == {"00180010"}
    everything = rows(client, base, includefield="all")[1]
    assert {"00180010", "00291001", "00082218", "00200032"} <= everything.keys()
    several = client.get(f"{base}?includefield=StudyDate&includefield=00180010").json()[1]
    assert {"00080020", "00180010"} <= several.keys()


def test_unknown_parameters_are_ignored_with_a_warning(client: httpx.Client, shelf: Shelf) -> None:
    """PS3.18 §10.6.1.2 lets a server ignore what it does not support, and say so."""
    answer = client.get("/studies", params={"StudyInstanceUID": shelf.studies[0], "_pretty": "1"})
    assert answer.status_code == 200
    assert "_pretty" in answer.headers["Warning"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("StudyDate=yesterday", "00080020"),
        ("limit=-17", "limit"),
        ("limit=many", "limit"),
        ("offset=1.5", "offset"),
        ("NoSuchKeyword=value", "NoSuchKeyword"),
        ("StudyDate=20240101&StudyDate=20240102", "00080020"),
        ("PatientName.CodeValue=somebody", "00100010.00080100"),
        ("00291001=somebody", "00291001"),
        ("fuzzymatching=perhaps", "fuzzymatching"),
    ],
)
def test_a_query_that_cannot_be_meant_is_a_bad_request(
    client: httpx.Client, query: str, named: str
) -> None:
    """A slip must not silently change the answer; the value is not told back."""
    answer = client.get(f"/studies?{query}")
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    detail = answer.json()["detail"]
    assert named in detail
    assert query.split("&", maxsplit=1)[0].partition("=")[2] not in detail


@pytest.mark.parametrize("accept", ["text/html", "application/dicom", "image/jpeg"])
def test_a_search_has_no_other_forms(client: httpx.Client, accept: str) -> None:
    answer = client.get("/studies", headers={"Accept": accept})
    assert answer.status_code == 406
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("accept", ["application/json", "application/dicom+json", "*/*"])
def test_json_by_any_name_is_acceptable(client: httpx.Client, shelf: Shelf, accept: str) -> None:
    path = f"/studies?StudyInstanceUID={shelf.studies[0]}"
    assert client.get(path, headers={"Accept": accept}).status_code == 200
    assert client.get(f"{path}&accept=application/json").status_code == 200
