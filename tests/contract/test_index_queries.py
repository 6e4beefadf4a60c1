"""What Elasticsearch finds for a query is what comparing value by value finds."""

import random
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol
from uuid import uuid4

import orjson
import pytest
import pytest_asyncio

from app.dicom.attribute_matching import Universal
from app.dicom.instance import StoredInstance
from app.dicom.match_keys import Key
from app.dicom.qido_grammar import Level, Query, Scope, parse_query
from app.dicom.temporal import parse_date
from app.index.documents import (
    Links,
    instance_document,
    linked,
    read_metadata,
    series_document,
    study_document,
)
from app.index.levels import COMPUTED, level_of, tags_of
from app.index.mappings import index_mappings
from app.index.query import plan
from app.index.steps import Found, Request
from app.limits import Limits
from app.stores.elasticsearch import ElasticsearchIndex, Write
from tests.unit.index.oracle import matches
from tests.unit.index.random_archive import Archive, archive, element, latest, parameters

pytestmark = [
    pytest.mark.stack,
    pytest.mark.asyncio(loop_scope="module"),
]

LINKS = Links("Patient/p", "ImagingStudy/s", 1)
LIMITS = Limits()
QUERIES = 300
_UID = {Level.STUDY: "0020000D", Level.SERIES: "0020000E", Level.INSTANCE: "00080018"}


class Stack(Protocol):
    elasticsearch_url: str


def modalities(instances: list[StoredInstance]) -> list[str]:
    return [stored.record.attributes["00080060"]["Value"][0] for stored in instances]


def writes(made: Archive) -> list[Write]:
    """Return the documents of an archive."""
    found: list[Write] = []
    for study, series in made.studies.items():
        every = [stored for instances in series.values() for stored in instances]
        document = study_document(
            None,
            every,
            LINKS,
            number_of_series=len(series),
            number_of_instances=len(every),
            modalities=modalities(every),
            limits=LIMITS,
        )
        found.append(Write("index", "studies", study, document, 1))
        for uid, instances in series.items():
            document = series_document(
                None, instances, LINKS, number_of_instances=len(instances), limits=LIMITS
            )
            found.append(Write("index", "series", uid, document, 1))
        found += [
            Write(
                "create",
                "instances",
                stored.record.sop_instance_uid,
                linked(instance_document(stored, LIMITS), LINKS),
            )
            for stored in every
        ]
    return found


@pytest.fixture(scope="module")
def made() -> Archive:
    return archive(random.Random(7), 60)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def index(stack: Stack, made: Archive) -> AsyncIterator[ElasticsearchIndex]:
    """Yield an index that holds the archive."""
    store = ElasticsearchIndex(stack.elasticsearch_url, prefix=f"contract-{uuid4().hex[:8]}")
    await store.drop()
    await store.ensure(index_mappings(), shards=1, replicas=0)
    results = await store.bulk(writes(made))
    assert {result.failure for result in results} == {None}
    yield store
    await store.drop()
    await store.close()


async def search(index: ElasticsearchIndex, query: Query) -> Found:
    searching = plan(query, LIMITS)
    step = searching.first()
    while isinstance(step, Request):
        step = searching.next(*await index.search_with(step.index, step.body, step.beside))
    return step


def expected(made: Archive, query: Query) -> set[str]:
    """Return the UIDs that a query should find, by looking at everything."""
    keys = [key for key in query.keys if not isinstance(key.matching, Universal)]
    computed = [key for key in keys if key.path[0] in COMPUTED]
    plain = [key for key in keys if key.path[0] not in COMPUTED]
    order = [Level.STUDY, Level.SERIES, Level.INSTANCE]
    lowest = max((level_of(key.path[0]) for key in plain), key=order.index, default=Level.STUDY)
    compared = max(lowest, query.level, key=order.index)
    found: set[str] = set()
    for study, series in made.studies.items():
        every = [stored for instances in series.values() for stored in instances]
        counts_of_study = {
            "00080061": element("CS", *sorted(set(modalities(every)))),
            "00201206": element("IS", len(series)),
            "00201208": element("IS", len(every)),
        }
        if query.level is Level.STUDY and compared is Level.STUDY:
            one = latest(every, tags_of(Level.STUDY))
            if matches({**one, **counts_of_study}, [*plain, *_at(computed, Level.STUDY)]) and (
                _some_series(series, _at(computed, Level.SERIES))
            ):
                found.add(study)
            continue
        if not matches(counts_of_study, _at(computed, Level.STUDY)):
            continue
        counted = _at(computed, Level.SERIES)
        apart = query.level is Level.STUDY and compared is Level.INSTANCE
        if apart and not _some_series(series, counted):
            continue
        for instances in series.values():
            counts_of_series = {"00201209": element("IS", len(instances))}
            if not apart and not matches(counts_of_series, counted):
                continue
            if compared is Level.SERIES:
                candidates: list[Mapping[str, Any]] = [latest(instances, tags_of(Level.SERIES))]
            else:
                candidates = [stored.record.attributes for stored in instances]
            found |= {
                candidate[_UID[query.level]]["Value"][0]
                for candidate in candidates
                if matches(candidate, plain)
            }
    return found


def _at(keys: list[Key], level: Level) -> list[Key]:
    return [key for key in keys if COMPUTED[key.path[0]] is level]


def _some_series(series: Mapping[str, list[StoredInstance]], keys: list[Key]) -> bool:
    return any(matches({"00201209": element("IS", len(each))}, keys) for each in series.values())


async def test_random_queries_agree_with_comparing_every_value(
    index: ElasticsearchIndex, made: Archive
) -> None:
    """PS3.4 §C.2.2.2: every kind of matching, at every level, on one archive."""
    rng = random.Random(11)
    hits = 0
    for _ in range(QUERIES):
        level = rng.choice(list(Level))
        asked = parameters(rng, made)
        query = parse_query(level, Scope(), asked, LIMITS)

        found = await search(index, query)

        uids = [orjson.loads(read_metadata(s))[_UID[level]]["Value"][0] for s in found.sources]
        assert set(uids) == expected(made, query), (level, asked)
        assert len(uids) == len(set(uids)) == found.total
        hits += 0 < found.total < len(made.studies)
    assert hits > QUERIES / 4  # most queries told something apart


async def uids_of(index: ElasticsearchIndex, level: Level, **options: int) -> list[str]:
    asked = [(name, str(value)) for name, value in options.items()]
    found = await search(index, parse_query(level, Scope(), asked, LIMITS))
    return [orjson.loads(read_metadata(s))[_UID[level]]["Value"][0] for s in found.sources]


@pytest.mark.parametrize("level", list(Level))
async def test_pages_together_are_the_whole_in_one_order(
    index: ElasticsearchIndex, made: Archive, level: Level
) -> None:
    """PS3.18 §8.3.4.4: nothing twice, nothing left out."""
    whole = await uids_of(index, level)
    pages = [await uids_of(index, level, limit=7, offset=n) for n in range(0, len(whole) + 7, 7)]

    assert [uid for page in pages for uid in page] == whole
    assert pages[-1] == []
    expected_count = {
        Level.STUDY: len(made.studies),
        Level.SERIES: sum(map(len, made.studies.values())),
        Level.INSTANCE: len(list(made.instances())),
    }
    assert len(set(whole)) == len(whole) == expected_count[level]


async def test_pages_beyond_the_window_go_on_in_the_same_order(
    index: ElasticsearchIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = await uids_of(index, Level.INSTANCE)
    monkeypatch.setattr("app.index.paging.WINDOW", 10)
    monkeypatch.setattr("app.index.paging.NEAR", 2)

    for offset in (0, 3, 9, 10, 11, 25, 57, len(whole) - 1, len(whole)):
        page = await uids_of(index, Level.INSTANCE, limit=7, offset=offset)
        assert page == whole[offset : offset + 7]


async def test_uids_of_more_than_one_response_are_joined(
    index: ElasticsearchIndex, made: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.index.query.PAGE", 7)
    query = parse_query(Level.STUDY, Scope(), [("InstanceNumber", "0-")], LIMITS)

    assert (await search(index, query)).total == len(made.studies)


async def test_studies_come_newest_first(index: ElasticsearchIndex) -> None:
    found = await search(index, parse_query(Level.STUDY, Scope(), [], LIMITS))
    rows = [orjson.loads(read_metadata(source)) for source in found.sources]
    dates = [row.get("00080020", {}).get("Value", [""])[0] for row in rows]
    valid = [date for date in dates if parse_date(date) is not None]

    assert valid == sorted(valid, reverse=True)
    assert len(set(valid)) > 2
    assert dates[: len(valid)] == valid  # those without a date come last


async def test_key_with_values_that_were_too_long_is_warned_of(index: ElasticsearchIndex) -> None:
    cut = parse_query(Level.STUDY, Scope(), [("ImageComments", "*long*")], LIMITS)
    whole = parse_query(Level.STUDY, Scope(), [("SliceThickness", "1")], LIMITS)

    (warning,) = (await search(index, cut)).warnings

    assert "00204000" in warning
    assert (await search(index, whole)).warnings == ()
