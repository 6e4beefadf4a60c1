"""Every part of the server, made once and handed what it needs.

A part is made when another one, or the composition root, first asks for it: the order of making follows from
what needs what. Nothing is started here; `app.main` starts, and ends, what runs by itself.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import cached_property
from typing import Any

from prometheus_client import CollectorRegistry

from app.fhir.endpoint import endpoint_resource, viewer_endpoint_resource
from app.fhir.identifiers import IdentifierSystems
from app.pixels.pool import WorkerPool
from app.services.catch_up import CatchUp, existing_before
from app.services.change_cursor import ChangeCursor
from app.services.claims import Claims
from app.services.commit import StudyCommits
from app.services.correct import Correct
from app.services.delete_study import DeleteStudy
from app.services.derived import DerivedResources
from app.services.find import Find
from app.services.imaging_study_changes import ImagingStudyChanges
from app.services.intents import Worker
from app.services.journal import Journal
from app.services.link import StudyLinker
from app.services.linked_patients import LinkedPatients
from app.services.listing import Listing
from app.services.materialize import Materialize
from app.services.orders import Orders
from app.services.overlay import Overlay
from app.services.ownership import Ownership
from app.services.patients import Patients
from app.services.problems import Problems
from app.services.provenance import Provenances
from app.services.query_tags import QueryTags
from app.services.readiness import Readiness
from app.services.reconcile import Reconcile
from app.services.recover import Recovery
from app.services.redo import Redo
from app.services.references import References
from app.services.reflect import Reflect
from app.services.reject import Rejections
from app.services.remove import Removal
from app.services.render import Render
from app.services.retrieve import Retrieve
from app.services.retry import Retry
from app.services.snapshot import Snapshots
from app.services.store_study import StoreStudy
from app.services.subscriptions import SUBSCRIBED, Subscriptions
from app.services.sweep import Sweep
from app.services.tombstones import Tombstones
from app.services.transcode import Transcode
from app.services.versions import Versions
from app.settings import Settings
from app.stores.blobs import open_blob_store
from app.stores.elasticsearch import ElasticsearchIndex
from app.stores.hapi import HapiStore
from app.stores.hapi_history import HapiHistory
from app.stores.http import http_client
from app.stores.lane import Lane
from app.web.viewer import INVOKED


class Stores:
    """The connections to what is outside, and what work is done in."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        """Connect lazily; leaving `stack` closes the connections."""
        timeout = settings.store_timeout_seconds
        self.threads = stack.enter_context(
            ThreadPoolExecutor(settings.parse_threads, thread_name_prefix="parse")
        )
        self.blobs = open_blob_store(settings.blobs, timeout_seconds=timeout)
        stack.push_async_callback(self.blobs.close)
        self.index = ElasticsearchIndex(
            settings.elasticsearch_url,
            prefix=settings.index_prefix,
            api_key=settings.elasticsearch_api_key,
            timeout_seconds=timeout,
        )
        stack.push_async_callback(self.index.close)
        token = settings.fhir_token
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        http = http_client(settings.fhir_url, timeout_seconds=timeout, headers=headers)
        self.fhir, self.history = HapiStore(http), HapiHistory(http)
        stack.push_async_callback(self.fhir.close)
        self.pixels = WorkerPool(settings.pixel_workers, settings.limits)
        stack.push_async_callback(self.pixels.close)
        self.lane = Lane(self.index)
        self.notes = Lane(self.index)
        # for writes of documents that nobody waits for as one does for a commit
        self.rewrites = Lane(self.index)


class Parts:
    """The parts, by their names."""

    def __init__(self, settings: Settings, registry: CollectorRegistry, stores: Stores) -> None:
        """Make nothing yet."""
        self._settings = settings
        self._limits = settings.limits
        self._registry = registry
        self._stores = stores
        self._index, self._fhir = stores.index, stores.fhir
        self._worker = Worker.current()
        self._claims = Claims()
        self._systems = IdentifierSystems.from_settings(settings)

    @cached_property
    def problems(self) -> Problems:
        return Problems(self._index, self._limits, self._registry)

    @cached_property
    def journal(self) -> Journal:
        return Journal(self._stores.notes)

    @cached_property
    def provenances(self) -> Provenances:
        active = self._settings.provenance == "on"
        return Provenances(self._fhir, self.journal, self.problems, self._limits, active=active)

    @cached_property
    def snapshots(self) -> Snapshots:
        return Snapshots(self._index, self._fhir)

    @cached_property
    def tombstones(self) -> Tombstones:
        return Tombstones(self._index, self._limits)

    # what is written to FHIR

    @cached_property
    def endpoints(self) -> list[dict[str, Any]]:
        """Return the Endpoints that every ImagingStudy refers to."""
        endpoints = [endpoint_resource(self._settings.dicomweb_url)]
        if self._settings.viewer is not None:
            endpoints.append(viewer_endpoint_resource(self._settings.viewer_url + INVOKED))
        return endpoints

    @cached_property
    def references(self) -> References:
        settings = self._settings
        return References(
            self._fhir,
            self.problems,
            practitioner=settings.practitioner,
            encounter=settings.encounter,
        )

    @cached_property
    def patients(self) -> Patients:
        return Patients(self._fhir, self._systems, master=self._settings.patient)

    @cached_property
    def linked_patients(self) -> LinkedPatients:
        return LinkedPatients(self._fhir)

    @cached_property
    def derived(self) -> DerivedResources:
        return DerivedResources(
            fhir=self._fhir,
            index=self._index,
            problems=self.problems,
            systems=self._systems,
            limits=self._limits,
            time_zone=self._settings.time_zone,
            base_url=self._settings.dicomweb_url,
            removes=self._settings.emptied_study == "removed",
        )

    @cached_property
    def linker(self) -> StudyLinker:
        return StudyLinker(
            fhir=self._fhir,
            patients=self.patients,
            linked_patients=self.linked_patients,
            references=self.references,
            derived=self.derived,
            endpoints=[f"Endpoint/{endpoint['id']}" for endpoint in self.endpoints],
            systems=self._systems,
            limits=self._limits,
            time_zone=self._settings.time_zone,
            emptied=self._settings.emptied_study,
        )

    # the write path

    @cached_property
    def removal(self) -> Removal:
        return Removal(
            index=self._index,
            lane=self._stores.lane,
            snapshots=self.snapshots,
            linker=self.linker,
            limits=self._limits,
            systems=self._systems,
        )

    @cached_property
    def overlay(self) -> Overlay:
        return Overlay(
            index=self._index,
            lane=self._stores.rewrites,
            snapshots=self.snapshots,
            patients=self.patients,
            systems=self._systems,
            threads=self._stores.threads,
            limits=self._limits,
            derived=self.derived,
        )

    @cached_property
    def reconcile(self) -> Reconcile:
        return Reconcile(self._settings.inconsistent_patient, self._systems)

    @cached_property
    def redo(self) -> Redo:
        return Redo(
            index=self._index,
            lane=self._stores.lane,
            blobs=self._stores.blobs,
            snapshots=self.snapshots,
            threads=self._stores.threads,
            limits=self._limits,
            worker=self._worker,
            removal=self.removal,
            reconcile=self.reconcile,
            linker=self.linker,
            provenances=self.provenances,
            overlay=self.overlay,
        )

    @cached_property
    def ownership(self) -> Ownership:
        return Ownership(
            index=self._index,
            lane=self._stores.lane,
            fhir=self._fhir,
            history=self._stores.history,
            linker=self.linker,
            problems=self.problems,
            limits=self._limits,
            follower=self.overlay,
        )

    @cached_property
    def commits(self) -> StudyCommits:
        lane = self._stores.lane
        return StudyCommits(
            index=self._index,
            lane=lane,
            snapshots=self.snapshots,
            linker=self.linker,
            redo=self.redo,
            listing=Listing(index=self._index, lane=lane, linker=self.linker, limits=self._limits),
            removal=self.removal,
            reconcile=self.reconcile,
            ownership=self.ownership,
            problems=self.problems,
        )

    @cached_property
    def delete(self) -> DeleteStudy:
        return DeleteStudy(
            index=self._index,
            journal=self.journal,
            commits=self.commits,
            claims=self._claims,
            tombstones=self.tombstones,
            limits=self._limits,
            worker=self._worker,
            provenances=self.provenances,
            problems=self.problems,
        )

    @cached_property
    def rejections(self) -> Rejections:
        return Rejections(self.delete, active=self._settings.rejection_notes)

    @cached_property
    def correct(self) -> Correct:
        return Correct(
            index=self._index,
            fhir=self._fhir,
            journal=self.journal,
            commits=self.commits,
            linker=self.linker,
            overlay=self.overlay,
            provenances=self.provenances,
            worker=self._worker,
        )

    @cached_property
    def store(self) -> StoreStudy:
        return StoreStudy(
            index=self._index,
            journal=self.journal,
            blobs=self._stores.blobs,
            commits=self.commits,
            claims=self._claims,
            threads=self._stores.threads,
            limits=self._limits,
            worker=self._worker,
            rejections=self.rejections,
            problems=self.problems,
            correct=self.correct,
            provenances=self.provenances,
            replace_duplicates=self._settings.duplicates == "replace",
            strict=self._settings.validation == "strict",
        )

    @cached_property
    def materialize(self) -> Materialize:
        return Materialize(
            retrieve=self.retrieve,
            store=self.store,
            blobs=self._stores.blobs,
            threads=self._stores.threads,
            limits=self._limits,
        )

    @cached_property
    def recovery(self) -> Recovery:
        return Recovery(
            index=self._index,
            blobs=self._stores.blobs,
            commits=self.commits,
            redo=self.redo,
            claims=self._claims,
            rejections=self.rejections,
            sweep=Sweep(self._index, self._stores.blobs, self._limits),
            worker=self._worker,
            provenances=self.provenances,
            correct=self.correct,
            problems=self.problems,
        )

    @cached_property
    def retry(self) -> Retry:
        return Retry(
            index=self._index,
            lane=self._stores.lane,
            problems=self.problems,
            commits=self.commits,
            snapshots=self.snapshots,
            linker=self.linker,
            redo=self.redo,
            recovery=self.recovery,
        )

    # the read path

    @cached_property
    def query_tags(self) -> QueryTags:
        return QueryTags(self._index, self._limits)

    @cached_property
    def find(self) -> Find:
        return Find(self._index, self._limits, self.query_tags)

    @cached_property
    def retrieve(self) -> Retrieve:
        stores = self._stores
        return Retrieve(self._index, stores.blobs, self._limits, stores.threads, self.tombstones)

    @cached_property
    def transcode(self) -> Transcode:
        stores = self._stores
        return Transcode(self.retrieve, stores.blobs, stores.pixels, stores.threads, self._limits)

    @cached_property
    def render(self) -> Render:
        return Render(self.retrieve, self._index, self._stores.pixels, self._limits)

    @cached_property
    def versions(self) -> Versions:
        return Versions(self._index, self.tombstones, self._limits)

    @cached_property
    def readiness(self) -> Readiness:
        blobs = self._stores.blobs
        return Readiness(
            {"blobs": blobs.ping, "elasticsearch": self._index.ping, "fhir": self._fhir.ping}
        )

    # what changes in FHIR

    @cached_property
    def studies(self) -> ImagingStudyChanges:
        return ImagingStudyChanges(self._index, self.commits, self.ownership)

    @cached_property
    def orders(self) -> Orders:
        return Orders(
            fhir=self._fhir,
            commits=self.commits,
            linker=self.linker,
            references=self.references,
            lane=self._stores.lane,
            limits=self._limits,
        )

    @cached_property
    def reflect(self) -> Reflect:
        handlers = {
            "ImagingStudy": self.studies.changed,
            "ServiceRequest": self.orders.changed,
            "Patient": self.correct.patient_changed,
        }
        return Reflect(
            handlers, problems=self.problems, limits=self._limits, registry=self._registry
        )

    @cached_property
    def changes(self) -> CatchUp:
        return CatchUp(
            history=self._stores.history,
            cursor=ChangeCursor(self._index, self._worker, self._limits),
            reflect=self.reflect,
            picks={"ImagingStudy": self.studies.pick, "Patient": existing_before},
            limits=self._limits,
            registry=self._registry,
        )

    @cached_property
    def subscriptions(self) -> Subscriptions:
        settings = self._settings
        return Subscriptions(
            SUBSCRIBED,
            fhir=self._fhir,
            index=self._index,
            base=settings.hooks_base if settings.subscriptions == "on" else None,
            secret=settings.hooks_secret,
            shared=settings.hooks_url is not None,
            limits=self._limits,
            registry=self._registry,
        )
