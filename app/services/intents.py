"""The durable note of what is about to be stored or deleted, so that a crash can be cleared up.

An intent to store is written when the blobs are being made durable and removed when the index has the
instances; one to delete is written first of all and removed when the index has them no more. One that is left
behind belongs to a worker that died; `app.services.recover` finishes or undoes it.
"""

import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from dataclasses import replace as dataclass_replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import psutil

from app.dicom.instance import InstanceRecord, StoredInstance
from app.fhir.provenance import Deed, Requester, TracedInstance
from app.services.requester import requester

INTENTS = "intents"


@dataclass(frozen=True, slots=True)
class Worker:
    """One Coregister process, told apart from a later one with the same process id."""

    host: str
    pid: int
    started: float  # seconds since the epoch

    @classmethod
    def current(cls) -> "Worker":
        """Return this process."""
        pid = os.getpid()
        return cls(socket.gethostname(), pid, psutil.Process(pid).create_time())

    def gone(self, here: "Worker") -> bool:
        """Tell whether the process is known to be dead; unknown (another host) is False."""
        if self.host != here.host:
            return False
        try:
            return psutil.Process(self.pid).create_time() != self.started
        except psutil.NoSuchProcess:
            return True


@dataclass(frozen=True, slots=True)
class IntendedInstance:
    """An instance that an intent is about."""

    sop_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    blob_key: str
    size: int
    sha256: str
    version: str
    stored_at: str
    replaces: str | None = None  # the version that was current when this one came in

    @classmethod
    def of(cls, stored: StoredInstance, replaces: str | None = None) -> "IntendedInstance":
        """Return what has to be remembered of an instance whose blob is on its way."""
        return cls(
            sop_instance_uid=stored.record.sop_instance_uid,
            series_instance_uid=stored.record.series_instance_uid,
            sop_class_uid=stored.record.sop_class_uid,
            transfer_syntax_uid=stored.record.transfer_syntax_uid,
            blob_key=stored.blob_key,
            size=stored.size,
            sha256=stored.sha256,
            version=stored.version,
            stored_at=stored.stored_at,
            replaces=replaces,
        )

    def to_stored(self, study_instance_uid: str) -> StoredInstance:
        """Return the instance without its attributes; they are read from the blob again."""
        return StoredInstance(
            record=InstanceRecord(
                study_instance_uid=study_instance_uid,
                series_instance_uid=self.series_instance_uid,
                sop_instance_uid=self.sop_instance_uid,
                sop_class_uid=self.sop_class_uid,
                transfer_syntax_uid=self.transfer_syntax_uid,
                attributes={},
            ),
            blob_key=self.blob_key,
            size=self.size,
            sha256=self.sha256,
            version=self.version,
            stored_at=self.stored_at,
        )


@dataclass(frozen=True, slots=True)
class RemovedInstance:
    """A version of an instance that is to be deleted."""

    sop_instance_uid: str
    series_instance_uid: str
    version: str


@dataclass(frozen=True, slots=True)
class Intent:
    """The instances of one study that one request is about to store, or those it is about to delete.

    Or neither: documents of a study that are about to show what `corrects` says, a version of a Patient.
    """

    id: str
    study_instance_uid: str
    worker: Worker
    lease_until: str  # RFC 3339, UTC: after it, anybody may take over
    instances: tuple[IntendedInstance, ...]
    replace: bool = False  # other bytes of a known instance become its new version
    restates: bool = False  # its instances say themselves now what was shown of them
    removed: tuple[RemovedInstance, ...] = ()
    corrects: str | None = None
    requester: Requester = field(default_factory=requester)
    deed: Deed | None = None  # it is carried out: only the Provenance of this is outstanding

    def settled(self, deed: Deed) -> "Intent":
        """Return what has to be remembered of it once it is carried out."""
        return dataclass_replace(self, instances=(), removed=(), deed=deed)

    @property
    def sop_instance_uids(self) -> list[str]:
        """Return the UIDs of the instances that it is about."""
        stored = [each.sop_instance_uid for each in self.instances]
        return stored + [each.sop_instance_uid for each in self.removed]

    @property
    def replaces(self) -> bool:
        """Tell whether it is about an instance that was known with other bytes."""
        return any(each.replaces is not None for each in self.instances)

    def over(self, now: datetime) -> bool:
        """Tell whether anybody may take over."""
        return datetime.fromisoformat(self.lease_until) < now

    def abandoned(self, here: Worker, now: datetime) -> bool:
        """Tell whether its worker will not finish it any more."""
        return self.worker.gone(here) or self.over(now)


def new_intent(
    intent_id: str,
    study_instance_uid: str,
    instances: Sequence[StoredInstance],
    *,
    worker: Worker,
    lease_seconds: float,
    replace: bool = False,
    restates: bool = False,
    replaces: Mapping[str, str] = MappingProxyType({}),
) -> Intent:
    """Return the intent to store these instances; `replaces` is SOP Instance UID → current version."""
    return Intent(
        id=intent_id,
        study_instance_uid=study_instance_uid,
        worker=worker,
        lease_until=_lease(lease_seconds),
        instances=tuple(
            IntendedInstance.of(stored, replaces.get(stored.record.sop_instance_uid))
            for stored in instances
        ),
        replace=replace,
        restates=restates,
    )


def new_removal(
    study_instance_uid: str,
    removed: Sequence[RemovedInstance],
    *,
    worker: Worker,
    lease_seconds: float,
) -> Intent:
    """Return the intent to delete these instances."""
    return Intent(
        id=uuid.uuid4().hex,
        study_instance_uid=study_instance_uid,
        worker=worker,
        lease_until=_lease(lease_seconds),
        instances=(),
        removed=tuple(removed),
    )


def new_correction(
    study_instance_uid: str, patient: str, *, worker: Worker, lease_seconds: float
) -> Intent:
    """Return the intent to show what a version of a Patient says (`Patient/x/_history/2`)."""
    return Intent(
        id=uuid.uuid4().hex,
        study_instance_uid=study_instance_uid,
        worker=worker,
        lease_until=_lease(lease_seconds),
        instances=(),
        corrects=patient,
    )


def _lease(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


_INSTANCE_FIELDS = tuple(IntendedInstance.__slots__)
_REMOVED_FIELDS = tuple(RemovedInstance.__slots__)


def to_source(intent: Intent) -> dict[str, Any]:
    """Return the document of an intent."""
    return {
        "study_instance_uid": intent.study_instance_uid,
        "worker": {
            "host": intent.worker.host,
            "pid": intent.worker.pid,
            "started": intent.worker.started,
        },
        "lease_until": intent.lease_until,
        "instances": [
            {name: getattr(instance, name) for name in _INSTANCE_FIELDS}
            for instance in intent.instances
        ],
        "replace": intent.replace,
        "restates": intent.restates,
        "removed": [[getattr(each, name) for name in _REMOVED_FIELDS] for each in intent.removed],
        "corrects": intent.corrects,
        "requester": asdict(intent.requester),
        **({} if intent.deed is None else {"deed": asdict(intent.deed)}),
    }


def from_source(intent_id: str, source: Mapping[str, Any]) -> Intent:
    """Return the intent that a document tells of."""
    return Intent(
        id=intent_id,
        study_instance_uid=source["study_instance_uid"],
        worker=Worker(**source["worker"]),
        lease_until=source["lease_until"],
        instances=tuple(IntendedInstance(**instance) for instance in source["instances"]),
        replace=source.get("replace", False),
        restates=source.get("restates", False),
        removed=tuple(RemovedInstance(*each) for each in source.get("removed", ())),
        corrects=source.get("corrects"),
        requester=Requester(**source.get("requester", {})),
        deed=_deed(source["deed"]) if "deed" in source else None,
    )


def _deed(source: Mapping[str, Any]) -> Deed:
    return Deed(
        **{
            **source,
            "requester": Requester(**source["requester"]),
            "instances": tuple(TracedInstance(**each) for each in source["instances"]),
            "sources": tuple(source["sources"]),
            "also": tuple(source["also"]),
        }
    )
