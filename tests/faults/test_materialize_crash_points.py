"""A crash at each call of `$materialize`: each object is old or new, never both, and doing it again ends it."""

import hashlib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path

import httpx
import pydicom
import pytest
from pydicom.uid import generate_uid

from app.services.tombstones import Target
from tests.agreement import Archive, assert_agreement
from tests.conftest import Stack
from tests.corpus import make_instance
from tests.faults import dying
from tests.faults.dying import DIED, WELL, Act, Materialize, Plan
from tests.faults.test_crash_points import until_closed
from tests.server import drop_indices

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

MOST_CALLS = 60
NAME = "Corrected^Anna"


@dataclass(frozen=True, slots=True)
class Study:
    """Two instances that say another name than FHIR does."""

    uid: str
    files: dict[str, bytes]  # by SOP Instance UID

    @classmethod
    def new(cls, fhir_url: str) -> "Study":
        uid, series, identifier = generate_uid(), generate_uid(), uuid.uuid4().hex
        patient = {
            "resourceType": "Patient",
            "id": f"m{identifier}",
            "identifier": [{"system": "urn:coregister:patient-id", "value": identifier}],
            "name": [{"family": "Corrected", "given": ["Anna"]}],
        }
        httpx.put(f"{fhir_url}/Patient/m{identifier}", json=patient, timeout=60).raise_for_status()
        sops = [str(generate_uid()) for _ in range(2)]
        return cls(
            uid,
            {
                sop: make_instance(
                    StudyInstanceUID=uid, SeriesInstanceUID=series, SOPInstanceUID=sop,
                    PatientID=identifier,
                )
                for sop in sops
            },
        )  # fmt: skip


@dataclass(slots=True)
class Site:
    """Stores on which one process after the other is started."""

    archive: Archive
    context: ForkServerContext

    def live(self, acts: Sequence[Act]) -> tuple[bool, list[bool]]:
        """Start a Coregister; return whether it died, and what the requests were answered."""
        settings = {
            "elasticsearch_url": self.archive.elasticsearch_url,
            "index_prefix": self.archive.prefix,
            "fhir_url": self.archive.fhir_url,
            "blobs": self.archive.blobs.as_uri(),
            "warm_up": False,
            "subscriptions": "off",
        }
        ours, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(target=dying.run, args=(settings, acts, theirs))
        process.start()
        theirs.close()
        told = dict(until_closed(ours))
        process.join()
        assert process.exitcode in (0, DIED)
        answers = [well for key, each in told.items() if isinstance(key, tuple) for well in each]
        return process.exitcode == DIED, answers

    def objects(self, study: Study) -> dict[str, list[bytes]]:
        """Return every stored object of each instance, the current one last."""
        documents = self.archive.documents("instances", ["blob_key"])
        found = {}
        for sop in study.files:
            current = self.archive.blobs / documents[sop]["blob_key"]
            others = [path for path in current.parent.iterdir() if path != current]
            found[sop] = [path.read_bytes() for path in (*others, current)]
        return found


@pytest.fixture
def site(stack: Stack, tmp_path: Path) -> Iterator[Site]:
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.dying"])
    prefix = f"t{uuid.uuid4().hex[:10]}"
    yield Site(Archive(stack.elasticsearch_url, prefix, stack.fhir_url, tmp_path / "b"), context)
    drop_indices(stack.elasticsearch_url, prefix)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_leaves_each_object_old_or_new(site: Site, stack: Stack, after: bool) -> None:
    ended = False
    for call in range(MOST_CALLS):
        study = Study.new(stack.fhir_url)
        request = Materialize(Target(study.uid))
        died, _ = site.live(
            [([list(study.files.values())], WELL), ([request], Plan(call, after=after))]
        )

        site.live([([], WELL)])  # which clears up
        check(site, study, done=False)
        assert site.live([([request], WELL)]) == (False, [True])
        check(site, study, done=True)
        if not died:
            ended = True
            break
    assert ended
    assert call > 5  # it was struck at as many calls


def check(site: Site, study: Study, *, done: bool) -> None:
    """See that the stores agree, and that each object is as sent, or corrected once."""
    for sop, objects in site.objects(study).items():
        current = objects[-1]
        if current == study.files[sop]:
            assert not done
            assert objects == [current]
            continue
        assert [hashlib.sha256(each).digest() for each in objects[:-1]] == [
            hashlib.sha256(study.files[sop]).digest()
        ]
        dataset = pydicom.dcmread(BytesIO(current))
        assert dataset.PatientName == NAME
        assert len(dataset.OriginalAttributesSequence) == 1
    assert_agreement(site.archive, studies=[study.uid], orphan_blobs=True)
