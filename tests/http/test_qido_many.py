"""Searching among 12,000 instances: pages beyond the 10,000 that Elasticsearch gives by default."""

import asyncio
import csv
import io
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient

from app.dicom.instance import InstanceRecord, StoredInstance
from app.index.documents import Links, instance_document, linked, series_document, study_document
from app.limits import Limits
from app.services.snapshot import series_key
from app.stores.elasticsearch import ElasticsearchIndex, Write
from tests.conftest import Stack
from tests.server import Server, values

pytestmark = pytest.mark.stack

LIMITS = Limits()
STUDIES, SERIES, INSTANCES = 12, 2, 500
ALL = STUDIES * SERIES * INSTANCES
LINKS = Links("Patient/p", "ImagingStudy/s", 1)
CT = "1.2.840.10008.5.1.4.1.1.2"


def stored(study: int, series: int, number: int) -> StoredInstance:
    """Return a small instance."""
    study_uid = f"1.2.{study}"
    series_uid, uid = f"{study_uid}.{series}", f"{study_uid}.{series}.{number}"
    text = {
        "00080016": ("UI", CT),
        "00080018": ("UI", uid),
        "00080020": ("DA", f"2024{study % 12 + 1:02d}01"),
        "00080060": ("CS", "CT"),
        "00100010": ("PN", {"Alphabetic": f"Name^{study % 5}"}),
        "00100020": ("LO", f"P{study % 5}"),
        "0020000D": ("UI", study_uid),
        "0020000E": ("UI", series_uid),
        "00200011": ("IS", series),
        "00200013": ("IS", number),
    }
    attributes = {tag: {"vr": vr, "Value": [value]} for tag, (vr, value) in text.items()}
    record = InstanceRecord(study_uid, series_uid, uid, CT, "1.2.840.10008.1.2.1", attributes)
    return StoredInstance(record, uid, 1, "0" * 64, "v", "2024-01-01T00:00:00+00:00")


def writes(study: int) -> Iterator[Write]:
    """Yield the documents of a study."""
    every = {n: [stored(study, n, k) for k in range(INSTANCES)] for n in range(SERIES)}
    together = [each for instances in every.values() for each in instances]
    uid = together[0].record.study_instance_uid
    document = study_document(
        None, together, LINKS, number_of_series=SERIES, number_of_instances=len(together),
        modalities=["CT"], limits=LIMITS,
    )  # fmt: skip
    yield Write("index", "studies", uid, document, 1)
    for instances in every.values():
        document = series_document(
            None, instances, LINKS, number_of_instances=len(instances), limits=LIMITS
        )
        key = series_key(uid, instances[0].record.series_instance_uid)
        yield Write("index", "series", key, document, 1)
        for each in instances:
            source = linked(instance_document(each, LIMITS), LINKS)
            yield Write("index", "instances", each.record.sop_instance_uid, source)


def put(server: Server, studies: list[int]) -> None:
    """Write studies straight into the index of a server."""

    async def run() -> None:
        index = ElasticsearchIndex(
            server.elasticsearch_url, prefix=server.index_prefix, timeout_seconds=120
        )
        for study in studies:
            results = await index.bulk(list(writes(study)))
            assert {result.failure for result in results} == {None}
        await index.close()

    asyncio.run(run())


@pytest.fixture(scope="module")
def archive(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Coregister of its own: its index has what its other stores lack."""
    running = Server(tmp_path_factory.mktemp("many"), stack.elasticsearch_url, stack.fhir_url)
    running.start()
    put(running, list(range(STUDIES)))
    yield running
    running.stop()
    running.discard()


@pytest.fixture
def http(archive: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=archive.base, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def whole(archive: Server) -> list[str]:
    """The UIDs of all instances, in the order that the index promises."""
    found = []
    with httpx.Client(base_url=archive.base, timeout=60, trust_env=False) as client:
        for study in sorted(range(STUDIES), key=lambda n: -(n % 12)):
            for series in range(SERIES):
                path = f"/studies/1.2.{study}/series/1.2.{study}.{series}/instances"
                found += uids(client.get(path))
    return found


def uids(answer: httpx.Response) -> list[str]:
    rows: list[dict[str, Any]] = answer.json() if answer.status_code == 200 else []
    return [values(row, "00080018")[0] for row in rows]


def test_pages_by_offset_are_the_whole(http: httpx.Client, whole: list[str]) -> None:
    """PS3.18 §8.3.4.4: each once, in one order, and nothing behind the last."""
    pages = []
    for offset in range(0, ALL + 3000, 3000):
        answer = http.get("/instances", params={"limit": 3000, "offset": offset})
        assert answer.headers["X-Total-Count"] == str(ALL)
        left = ALL - offset - 3000
        assert (f"There are {left} additional" in answer.headers.get("Warning", "")) == (left > 0)
        pages.append(uids(answer))

    assert [uid for page in pages for uid in page] == whole
    assert len(set(whole)) == ALL
    assert answer.status_code == 204


@pytest.mark.parametrize("offset", [9_999, 10_000, 10_001, 11_995, ALL - 1, ALL, ALL + 1])
def test_any_offset_is_exact(http: httpx.Client, whole: list[str], offset: int) -> None:
    found = http.get("/instances", params={"limit": 5, "offset": offset})

    assert uids(found) == whole[offset : offset + 5]


def followed(client: httpx.Client, path: str, **params: Any) -> list[str]:
    answer = client.get(path, params=params)
    found = uids(answer)
    while "next" in answer.links:
        answer = client.get(answer.links["next"]["url"])
        found += uids(answer)
    return found


def test_pages_by_cursor_are_the_whole(http: httpx.Client, whole: list[str]) -> None:
    assert followed(http, "/instances", limit=5000) == whole
    newest = followed(http, "/instances", limit=5000, orderby="-PatientName,InstanceNumber")
    assert sorted(newest) == sorted(whole)
    assert len(newest) == ALL


def test_cursor_misses_nothing_while_others_write(
    archive: Server, http: httpx.Client, whole: list[str]
) -> None:
    """What was there all the time comes once, in order; what came meanwhile, at most once."""
    writer = threading.Thread(target=put, args=(archive, [100, 101]))
    writer.start()
    found = followed(http, "/instances", limit=500)
    writer.join()

    there = set(whole)
    assert [uid for uid in found if uid in there] == whole
    assert len(found) == len(set(found))
    assert int(http.get("/instances", params={"limit": 1}).headers["X-Total-Count"]) == ALL + 2000


def test_client_that_asks_for_what_remains_gets_everything(archive: Server) -> None:
    """The Python dicomweb-client pages by offset until a page is empty."""
    client = DICOMwebClient(archive.base)
    rows = client.search_for_instances(
        search_filters={"PatientID": "P1"}, limit=700, get_remaining=True
    )

    found = [values(row, "00080018")[0] for row in rows]
    assert len(found) == len(set(found)) == 3 * SERIES * INSTANCES + 1000


def test_table_of_many_rows_comes_in_pieces(http: httpx.Client) -> None:
    pieces = 0
    text = b""
    headers = {"Accept": "text/csv"}
    with http.stream("GET", "/instances", params={"limit": 5000}, headers=headers) as answer:
        assert "content-length" not in answer.headers
        for piece in answer.iter_raw():
            text += piece
            pieces += 1

    assert len(list(csv.DictReader(io.StringIO(text.decode(), newline="")))) == 5000
    assert pieces > 5


def test_counts_and_facets_are_exact(http: httpx.Client) -> None:
    mine = {"StudyInstanceUID": ",".join(f"1.2.{n}" for n in range(STUDIES))}
    facets = http.get("/instances/facets", params={**mine, "by": "PatientID,Modality"}).json()
    of_studies = http.get("/studies/facets", params={**mine, "by": "SeriesNumber"}).json()

    assert http.get("/instances/count", params=mine).json() == {"count": ALL}
    assert facets["facets"][1]["values"] == [{"value": "CT", "count": ALL}]
    assert sum(each["count"] for each in facets["facets"][0]["values"]) == ALL
    assert of_studies["facets"][0]["values"] == [
        {"value": 0, "count": STUDIES},
        {"value": 1, "count": STUDIES},
    ]


def test_facet_of_what_is_no_column_says_when_there_is_too_much(http: httpx.Client) -> None:
    few = http.get("/studies/1.2.3/instances/facets", params={"by": "InstanceCreationDate"})
    many = http.get("/instances/facets", params={"by": "InstanceCreationDate"})

    assert few.json()["facets"][0]["missing"] == SERIES * INSTANCES
    assert many.status_code == 400
    assert "00080012" in many.json()["detail"]
