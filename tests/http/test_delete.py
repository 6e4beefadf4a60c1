"""DELETE: at once gone from QIDO, WADO and FHIR, told as gone for a while, and stored again at any time."""

import time
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import httpx
import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.agreement import Archive, assert_agreement
from tests.corpus import make_instance
from tests.http.conftest import archive_of
from tests.server import Server, store, values

pytestmark = pytest.mark.stack

SR = "1.2.840.10008.5.1.4.1.1.88.11"
NO_PIXELS: dict[str, Any] = {"PixelData": None, "Rows": None, "Columns": None}


def imaging_study(archive: Archive, study: str) -> dict[str, Any]:
    resource = archive.imaging_study(study)
    assert resource is not None
    return resource


def path_of(data: bytes) -> str:
    dataset = pydicom.dcmread(BytesIO(data))
    return (
        f"/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
        f"/instances/{dataset.SOPInstanceUID}"
    )


def reads(path: str) -> Iterator[str]:
    """Yield everything that can be read of a study, series or instance."""
    yield from (path, f"{path}/metadata", f"{path}/rendered", f"{path}/thumbnail")
    yield from (f"{path}/bulkdata", f"{path}/pixeldata")
    if "/instances/" in path:
        yield from (f"{path}/frames/1", f"{path}/bulkdata/7FE00010", f"{path}/frames/1/rendered")
        yield from (f"{path}/versions",)


def statuses(client: httpx.Client, path: str) -> dict[str, int]:
    return {each: client.get(each).status_code for each in reads(path)}


def assert_gone(client: httpx.Client, path: str) -> None:
    found = statuses(client, path)
    assert found == dict.fromkeys(found, 410)


def assert_agrees(archive: Archive, study: str) -> None:
    assert_agreement(archive, studies=[study])


def test_a_deleted_instance_is_gone_everywhere_and_its_study_counts_less(
    client: httpx.Client, archive: Archive
) -> None:
    study, series = generate_uid(), generate_uid()
    files = [
        make_instance(StudyInstanceUID=study, SeriesInstanceUID=series, InstanceNumber=n)
        for n in range(3)
    ]
    store(client, *files)
    before = imaging_study(archive, study)
    path = path_of(files[0])
    answer = client.delete(path)

    assert (answer.status_code, answer.content) == (204, b"")
    after = imaging_study(archive, study)
    assert after["numberOfInstances"] == 2
    assert after["series"][0]["numberOfInstances"] == 2
    assert len(after["series"][0]["instance"]) == 2
    assert after["status"] == "available"
    assert after["identifier"] == before["identifier"]
    assert_gone(client, path)
    (row,) = client.get("/studies", params={"StudyInstanceUID": study}).json()
    assert values(row, "00201208") == [2]
    (row,) = client.get(f"/studies/{study}/series").json()
    assert values(row, "00201209") == [2]
    uid = path.rpartition("/")[2]
    assert client.get("/instances", params={"SOPInstanceUID": uid}).status_code == 204
    assert len(client.get(f"/studies/{study}/metadata").json()) == 2
    assert client.delete(path).status_code == 410
    assert_agrees(archive, study)


def test_a_deleted_series_takes_its_modality_with_it(
    client: httpx.Client, archive: Archive
) -> None:
    study, series = generate_uid(), [generate_uid(), generate_uid()]
    for uid, modality in zip(series, ("CT", "PT"), strict=True):
        files = [
            make_instance(StudyInstanceUID=study, SeriesInstanceUID=uid, Modality=modality)
            for _ in range(2)
        ]
        assert store(client, *files).status_code == 200
    assert client.delete(f"/studies/{study}/series/{series[1]}").status_code == 204

    resource = imaging_study(archive, study)
    assert [m["code"] for m in resource["modality"]] == ["CT"]
    assert [s["uid"] for s in resource["series"]] == [series[0]]
    assert (resource["numberOfSeries"], resource["numberOfInstances"]) == (1, 2)
    (row,) = client.get("/studies", params={"StudyInstanceUID": study}).json()
    assert values(row, "00080061") == ["CT"]
    assert values(row, "00201206") == [1]
    assert client.get(f"/studies/{study}/series").json()[0]["0020000E"]["Value"] == [series[0]]
    assert_gone(client, f"/studies/{study}/series/{series[1]}")
    assert_agrees(archive, study)


def test_a_deleted_study_is_retired_in_fhir_and_keeps_what_others_wrote(
    client: httpx.Client, archive: Archive, fhir: httpx.Client
) -> None:
    study = generate_uid()
    files = [make_instance(StudyInstanceUID=study) for _ in range(3)]
    store(client, *files)
    resource = imaging_study(archive, study)
    resource["note"] = [{"text": "seen by the tumour board"}]
    fhir.put(f"/ImagingStudy/{resource['id']}", json=resource).raise_for_status()
    assert client.delete(f"/studies/{study}").status_code == 204

    after = imaging_study(archive, study)
    assert after["status"] == "entered-in-error"
    assert (after["numberOfSeries"], after["numberOfInstances"]) == (0, 0)
    assert {"series", "endpoint", "modality"} & after.keys() == set()
    assert after["note"] == [{"text": "seen by the tumour board"}]
    assert after["subject"] == resource["subject"]
    assert client.get("/studies", params={"StudyInstanceUID": study}).status_code == 204
    assert client.get(f"/studies/{study}/series").status_code == 204
    assert client.get(f"/studies/{study}/instances").status_code == 204
    assert_gone(client, f"/studies/{study}")
    for file in files:
        assert_gone(client, path_of(file))
    assert_agrees(archive, study)


def test_what_never_was_is_not_found(client: httpx.Client) -> None:
    study, other = generate_uid(), generate_uid()
    file = make_instance(StudyInstanceUID=study)
    store(client, file)
    path = path_of(file)
    wrong = path.replace(f"/studies/{study}", f"/studies/{other}")
    for each in (f"/studies/{other}", f"/studies/{study}/series/{other}", wrong):
        assert client.delete(each).status_code == 404
        assert client.get(each).status_code == 404
    assert client.delete("/studies/1.x").status_code == 400
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("again", ["the same bytes", "other bytes"])
def test_what_was_deleted_can_be_stored_again_at_once(
    client: httpx.Client, archive: Archive, again: str
) -> None:
    study, sop, series = generate_uid(), generate_uid(), generate_uid()
    uids: dict[str, Any] = {
        "StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": sop,
    }  # fmt: skip
    file = make_instance(**uids)
    store(client, file)
    before = imaging_study(archive, study)
    assert client.delete(f"/studies/{study}").status_code == 204
    new = file if again == "the same bytes" else make_instance(**uids, StudyDescription="Second")
    assert store(client, new).status_code == 200

    after = imaging_study(archive, study)
    assert after["status"] == "available"
    assert after["numberOfInstances"] == 1
    assert after["endpoint"] == before["endpoint"]
    assert int(after["meta"]["versionId"]) > int(before["meta"]["versionId"])
    answer = client.get(path_of(new), headers={"Accept": "application/dicom"})
    assert (answer.status_code, answer.content) == (200, new)
    versions = client.get(f"{path_of(new)}/versions").json()
    assert [(v["current"], v["deleted"]) for v in versions] == [(True, False), (False, True)]
    assert client.get(f"{path_of(new)}/versions/{versions[1]['version']}").status_code == 410
    assert_agrees(archive, study)
    assert client.delete(path_of(new)).status_code == 204
    assert_gone(client, path_of(new))


def test_a_study_stored_again_for_another_patient_is_that_patients(
    client: httpx.Client, archive: Archive, fhir: httpx.Client
) -> None:
    """Deleting and storing again is how a mix-up is put right."""
    study = generate_uid()
    store(client, make_instance(StudyInstanceUID=study, PatientID=f"wrong-{study[-9:]}"))
    client.delete(f"/studies/{study}")
    right = make_instance(StudyInstanceUID=study, PatientID=f"right-{study[-9:]}")
    assert store(client, right).status_code == 200

    patient = fhir.get("/" + imaging_study(archive, study)["subject"]["reference"]).json()
    assert patient["identifier"][0]["value"] == f"right-{study[-9:]}"
    assert_agrees(archive, study)


def test_a_study_forgets_what_only_a_deleted_instance_said(
    client: httpx.Client, archive: Archive
) -> None:
    study, series = generate_uid(), generate_uid()
    uids: dict[str, Any] = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
    first = make_instance(**uids, ReferringPhysicianName="Right^Name", StudyDescription=None)
    wrong = make_instance(
        **uids,
        ReferringPhysicianName="Wrong^Name",
        StudyDescription="Wrong",
        SeriesDescription="Wrong",
        SOPClassUID=SR,
        **NO_PIXELS,
    )
    store(client, first)
    store(client, wrong)
    (row,) = client.get(
        "/studies", params={"ReferringPhysicianName": "Wrong*", "0020000D": study}
    ).json()
    assert values(row, "00081030") == ["Wrong"]
    assert client.delete(path_of(wrong)).status_code == 204

    for key, value in (("ReferringPhysicianName", "Wrong*"), ("StudyDescription", "Wrong")):
        assert client.get("/studies", params={key: value, "0020000D": study}).status_code == 204
    params = {"ReferringPhysicianName": "Right*", "0020000D": study, "includefield": "00080062"}
    (row,) = client.get("/studies", params=params).json()
    assert values(row, "00081030") == []
    assert SR not in values(row, "00080062")
    wrong_series = {"SeriesDescription": "Wrong"}
    assert client.get(f"/studies/{study}/series", params=wrong_series).status_code == 204
    assert_agrees(archive, study)


def test_deleting_from_a_large_study_leaves_it_listed_in_the_end(
    client: httpx.Client, archive: Archive
) -> None:
    """Above the size that lists with every commit, the list follows once the study is at rest."""
    study, series = generate_uid(), generate_uid()
    files = [
        make_instance(
            StudyInstanceUID=study,
            SeriesInstanceUID=series,
            InstanceNumber=n,
            SOPClassUID=SR,
            **NO_PIXELS,
        )
        for n in range(120)
    ]
    store(client, *files)
    for file in files[:3]:
        assert client.delete(path_of(file)).status_code == 204
        assert imaging_study(archive, study)["numberOfInstances"] == 119 - files.index(file)
    assert_agreement(archive, studies=[study])


def test_a_series_uid_of_two_studies_is_deleted_in_one_of_them(
    client: httpx.Client, archive: Archive
) -> None:
    series, studies = generate_uid(), [generate_uid(), generate_uid()]
    for study in studies:
        store(client, make_instance(StudyInstanceUID=study, SeriesInstanceUID=series))
    assert client.delete(f"/studies/{studies[0]}/series/{series}").status_code == 204

    assert client.get(f"/studies/{studies[0]}/series/{series}").status_code == 410
    assert client.get(f"/studies/{studies[1]}/series/{series}").status_code == 200
    for study in studies:
        assert_agrees(archive, study)


# ---- settings


@pytest.fixture(scope="module")
def special(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Server]]:
    """Start servers with settings of their own."""
    stack = request.getfixturevalue("stack")
    started: list[Server] = []

    def start(**settings: str) -> Server:
        server = Server(
            tmp_path_factory.mktemp("special"), stack.elasticsearch_url, stack.fhir_url, settings
        )
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.discard()


@pytest.fixture(scope="module")
def removing(special: Callable[..., Server]) -> Server:
    """A server that removes emptied studies and forgets at once."""
    return special(
        COREGISTER_EMPTIED_STUDY="removed",
        COREGISTER_LIMIT_TOMBSTONE_SECONDS="0",
        COREGISTER_LIMIT_DELETED_BYTES_SECONDS="0",
    )


def test_an_emptied_study_is_removed_where_that_is_set_and_comes_back(
    removing: Server, fhir: httpx.Client
) -> None:
    study = generate_uid()
    file = make_instance(StudyInstanceUID=study)
    archive = archive_of(removing)
    with httpx.Client(base_url=removing.base, timeout=60, trust_env=False) as http:
        for _ in range(3):
            assert store(http, file).status_code == 200
            identity = imaging_study(archive, study)["id"]
            assert http.delete(f"/studies/{study}").status_code == 204
            assert fhir.get(f"/ImagingStudy/{identity}").status_code == 410
            assert http.get(f"/studies/{study}").status_code == 404  # no tombstone lives
            assert_agrees(archive, study)
        assert store(http, file).status_code == 200
        assert imaging_study(archive, study)["status"] == "available"
        assert_agrees(archive, study)


def test_a_study_in_which_others_have_a_part_is_never_removed(
    removing: Server, fhir: httpx.Client
) -> None:
    archive = archive_of(removing)
    with httpx.Client(base_url=removing.base, timeout=60, trust_env=False) as http:
        for change in (
            {"note": [{"text": "ours"}]},
            {"meta": {"source": "https://ris.example.org"}, "description": "theirs"},
            {"extension": [{"url": "https://ris.example.org/x", "valueString": "y"}]},
        ):
            study = generate_uid()
            store(http, make_instance(StudyInstanceUID=study))
            resource = imaging_study(archive, study) | change
            fhir.put(f"/ImagingStudy/{resource['id']}", json=resource).raise_for_status()
            assert http.delete(f"/studies/{study}").status_code == 204
            assert imaging_study(archive, study)["status"] == "entered-in-error"
            assert_agrees(archive, study)


def test_the_status_of_an_emptied_study_is_a_setting(special: Callable[..., Server]) -> None:
    server = special(COREGISTER_EMPTIED_STUDY="cancelled")
    study = generate_uid()
    with httpx.Client(base_url=server.base, timeout=60, trust_env=False) as http:
        store(http, make_instance(StudyInstanceUID=study))
        assert http.delete(f"/studies/{study}").status_code == 204
    assert imaging_study(archive_of(server), study)["status"] == "cancelled"


def test_objects_and_tombstones_go_when_their_time_is_over(removing: Server) -> None:
    """The recovery timer removes them, also of deletions before a restart."""
    study = generate_uid()
    archive = archive_of(removing)
    with httpx.Client(base_url=removing.base, timeout=60, trust_env=False) as http:
        file, kept = (make_instance(StudyInstanceUID=study) for _ in range(2))
        store(http, file, kept)
        assert http.delete(path_of(file)).status_code == 204
        removing.kill()
        removing.start()
        wait_until_swept(archive)
        assert http.get(path_of(kept)).status_code == 200
    assert_agreement(archive, studies=[study])


def wait_until_swept(archive: Archive) -> None:
    deadline = time.monotonic() + 60
    while archive.documents("versions"):
        assert time.monotonic() < deadline
        time.sleep(0.5)
