"""Other bytes under a known UID: a new version where that is set, the old one kept; refused otherwise."""

import hashlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.agreement import Archive, assert_agreement
from tests.conftest import Stack
from tests.corpus import make_instance
from tests.http.conftest import archive_of
from tests.http.test_delete import imaging_study, path_of
from tests.server import Server, store, values

pytestmark = pytest.mark.stack

DICOM = {"Accept": "application/dicom"}


@pytest.fixture(scope="module")
def replacing(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on which other bytes become a new version; in the end its stores agree."""
    server = Server(
        tmp_path_factory.mktemp("replacing"),
        stack.elasticsearch_url,
        stack.fhir_url,
        {"COREGISTER_DUPLICATES": "replace"},
    )
    server.start()
    try:
        yield server
        assert_agreement(archive_of(server))
    finally:
        server.discard()


@pytest.fixture
def http(replacing: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=replacing.base, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def stores(replacing: Server) -> Archive:
    return archive_of(replacing)


def uids() -> dict[str, Any]:
    names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    return {name: generate_uid() for name in names}


def test_other_bytes_become_the_current_version_and_the_old_one_is_kept(
    http: httpx.Client, stores: Archive
) -> None:
    of = uids()
    files = [make_instance(**of, InstanceNumber=n, StudyDescription=f"No{n}") for n in range(3)]
    for file in files:
        assert store(http, file).status_code == 200
    path = path_of(files[0])

    assert http.get(path, headers=DICOM).content == files[2]
    listed = http.get(f"{path}/versions").json()
    assert [each["sha256"] for each in listed] == [
        hashlib.sha256(file).hexdigest() for file in reversed(files)
    ]
    assert [each["size"] for each in listed] == [len(file) for file in reversed(files)]
    assert [each["current"] for each in listed] == [True, False, False]
    assert [each["deleted"] for each in listed] == [False, False, False]
    assert sorted((each["stored_at"] for each in listed), reverse=True) == [
        each["stored_at"] for each in listed
    ]
    for each, file in zip(listed, reversed(files), strict=True):
        answer = http.get(f"{path}/versions/{each['version']}", headers=DICOM)
        assert (answer.status_code, answer.content) == (200, file)
    assert http.get(f"{path}/versions/nothing").status_code == 404
    study = of["StudyInstanceUID"]
    (row,) = http.get("/studies", params={"StudyDescription": "No2", "0020000D": study}).json()
    assert values(row, "00201208") == [1]
    assert (
        http.get("/instances", params={"InstanceNumber": "0", "0020000D": study}).status_code == 204
    )
    resource = imaging_study(stores, study)
    assert resource["numberOfInstances"] == 1
    assert [i["number"] for i in resource["series"][0]["instance"]] == [2]
    assert_agreement(stores, studies=[study])


def test_the_same_bytes_again_make_no_version(http: httpx.Client, stores: Archive) -> None:
    of = uids()
    file = make_instance(**of)
    store(http, file)
    before = imaging_study(stores, of["StudyInstanceUID"])["meta"]["versionId"]
    assert store(http, file).status_code == 200
    assert len(http.get(f"{path_of(file)}/versions").json()) == 1
    assert imaging_study(stores, of["StudyInstanceUID"])["meta"]["versionId"] == before


def test_bytes_of_a_former_version_come_back_as_a_new_one(http: httpx.Client) -> None:
    of = uids()
    first, second = (make_instance(**of, InstanceNumber=n) for n in range(2))
    for file in (first, second, first):
        assert store(http, file).status_code == 200
    assert http.get(path_of(first), headers=DICOM).content == first
    assert len(http.get(f"{path_of(first)}/versions").json()) == 3


@pytest.mark.parametrize("moved", ["SeriesInstanceUID", "StudyInstanceUID"])
def test_a_version_cannot_move_to_another_series_or_study(
    http: httpx.Client, stores: Archive, moved: str
) -> None:
    of = uids()
    file = make_instance(**of)
    store(http, file)
    answer = store(http, make_instance(**(of | {moved: generate_uid()})))
    assert answer.status_code == 409
    (failed,) = answer.json()["00081198"]["Value"]
    assert values(failed, "00081197") == [0x0111]
    assert "another series or study" in answer.text
    assert http.get(path_of(file), headers=DICOM).content == file
    assert_agreement(stores, studies=[of["StudyInstanceUID"]])


def test_two_contents_in_one_request_are_not_two_versions(http: httpx.Client) -> None:
    of = uids()
    first, second = (make_instance(**of, InstanceNumber=n) for n in range(2))
    answer = store(http, first, second)
    assert answer.status_code == 202
    assert http.get(path_of(first), headers=DICOM).content == first
    assert len(http.get(f"{path_of(first)}/versions").json()) == 1


def test_new_and_replaced_instances_of_one_request_are_counted_right(
    http: httpx.Client, stores: Archive
) -> None:
    study, series = generate_uid(), generate_uid()
    one: dict[str, Any] = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
    known = one | {"SOPInstanceUID": generate_uid()}
    store(http, make_instance(**known, InstanceNumber=1))
    assert (
        store(http, make_instance(**known, InstanceNumber=7), make_instance(**one)).status_code
        == 200
    )
    assert imaging_study(stores, study)["numberOfInstances"] == 2
    assert_agreement(stores, studies=[study])


def test_deleting_an_instance_deletes_all_its_versions(http: httpx.Client, stores: Archive) -> None:
    of = uids()
    files = [make_instance(**of, InstanceNumber=n) for n in range(3)]
    for file in files:
        store(http, file)
    path = path_of(files[0])
    names = [each["version"] for each in http.get(f"{path}/versions").json()]
    assert http.delete(path).status_code == 204
    for each in (path, f"{path}/versions", *(f"{path}/versions/{name}" for name in names)):
        assert http.get(each).status_code == 410
    former = stores.former_versions()
    assert all("deleted_at" in former[name] for name in names)
    assert store(http, files[0]).status_code == 200
    listed = http.get(f"{path}/versions").json()
    assert [each["deleted"] for each in listed] == [False, True, True, True]
    assert_agreement(stores, studies=[of["StudyInstanceUID"]])


def test_without_the_setting_an_instance_has_the_one_version(client: httpx.Client) -> None:
    of = uids()
    file = make_instance(**of)
    store(client, file)
    assert store(client, make_instance(**of, InstanceNumber=9)).status_code == 409
    (only,) = client.get(f"{path_of(file)}/versions").json()
    assert only["current"]
    answer = client.get(f"{path_of(file)}/versions/{only['version']}", headers=DICOM)
    assert answer.content == file
    unknown = path_of(file).replace(of["SOPInstanceUID"], generate_uid())
    assert client.get(f"{unknown}/versions").status_code == 404
