"""The composition root: makes every part once and hands each what it needs."""

import asyncio
import contextlib
import gc
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
import uvicorn
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from app import logs
from app.errors import ConfigurationError, CoregisterError
from app.fhir.endpoint import endpoint_resource
from app.fhir.identifiers import IdentifierSystems
from app.index.mappings import index_mappings
from app.pixels.pool import WorkerPool
from app.services.claims import Claims
from app.services.commit import StudyCommits
from app.services.delete_study import DeleteStudy
from app.services.find import Find
from app.services.intents import Worker
from app.services.journal import Journal
from app.services.link import StudyLinker
from app.services.listing import Listing
from app.services.patients import Patients
from app.services.query_tags import QueryTags
from app.services.readiness import Readiness
from app.services.recover import Recovery
from app.services.redo import Redo
from app.services.reject import Rejections
from app.services.remove import Removal
from app.services.render import Render
from app.services.retrieve import Retrieve
from app.services.snapshot import Snapshots
from app.services.store_study import StoreStudy
from app.services.sweep import Sweep
from app.services.tombstones import Tombstones
from app.services.transcode import Transcode
from app.services.versions import Versions
from app.settings import Settings
from app.stores.blobs import open_blob_store
from app.stores.elasticsearch import ElasticsearchIndex
from app.stores.hapi import HapiStore
from app.stores.http import http_client
from app.stores.lane import Lane
from app.web import problem, viewer
from app.web.admission import Admission
from app.web.compress import Compress
from app.web.cross_origin import cross_origin
from app.web.routes import BASES, ROUTES, VIEWER
from app.web.safe_headers import SafeHeaders
from app.web.state import State
from app.web.telemetry import Telemetry
from app.web.trailing_slash import TrailingSlash

GARBAGE_THRESHOLD = 20_000  # new containers before the young ones are looked through
SWITCH_SECONDS = 0.0005
STORES_WAIT_SECONDS = 1.0

log = structlog.get_logger(__name__)


def build_app(settings: Settings) -> Starlette:
    """Return the ASGI application; it connects to the stores when it starts."""
    registry = CollectorRegistry()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[State]:
        async with compose(settings, registry) as state:
            yield state

    app = Starlette(
        routes=[*ROUTES, *(VIEWER if settings.viewer else ())],
        lifespan=lifespan,
        middleware=[
            *cross_origin(settings.cors),
            Middleware(Telemetry, registry=registry),
            Middleware(SafeHeaders),
            Middleware(Compress, clients=settings.compress),
            Middleware(TrailingSlash, bases=BASES, excepted=viewer.BASE),
        ],
        exception_handlers={
            CoregisterError: problem.coregister_error,
            HTTPException: problem.http_error,
            Exception: problem.unexpected_error,
        },
    )
    app.router.redirect_slashes = False
    return app


@asynccontextmanager
async def compose(settings: Settings, registry: CollectorRegistry) -> AsyncIterator[State]:
    """Connect the parts for the time of the block; on leaving, work under way is finished."""
    limits = settings.limits
    systems = IdentifierSystems.from_settings(settings)
    worker = Worker.current()
    async with AsyncExitStack() as stack:
        threads = stack.enter_context(
            ThreadPoolExecutor(settings.parse_threads, thread_name_prefix="parse")
        )
        blobs = open_blob_store(settings.blobs, timeout_seconds=settings.store_timeout_seconds)
        stack.push_async_callback(blobs.close)
        index = ElasticsearchIndex(
            settings.elasticsearch_url,
            prefix=settings.index_prefix,
            api_key=settings.elasticsearch_api_key,
            timeout_seconds=settings.store_timeout_seconds,
        )
        stack.push_async_callback(index.close)
        fhir = HapiStore(
            http_client(
                settings.fhir_url,
                timeout_seconds=settings.store_timeout_seconds,
                headers=_authorization(settings.fhir_token),
            )
        )
        stack.push_async_callback(fhir.close)
        pixels = WorkerPool(settings.pixel_workers, limits)
        stack.push_async_callback(pixels.close)
        lane = Lane(index)
        notes = Lane(index)
        journal = Journal(notes)
        snapshots = Snapshots(index, fhir)
        claims = Claims()
        endpoint = endpoint_resource(settings.dicomweb_url)
        tombstones = Tombstones(index, limits)
        linker = StudyLinker(
            fhir=fhir, patients=Patients(fhir, systems),
            endpoint=f"Endpoint/{endpoint['id']}",
            systems=systems, limits=limits, time_zone=settings.time_zone,
            emptied=settings.emptied_study,
        )  # fmt: skip
        removal = Removal(index=index, lane=lane, snapshots=snapshots, linker=linker, limits=limits)
        redo = Redo(
            index=index, lane=lane, blobs=blobs, snapshots=snapshots,
            threads=threads, limits=limits, worker=worker, removal=removal,
        )  # fmt: skip
        commits = StudyCommits(
            index=index,
            lane=lane,
            snapshots=snapshots,
            linker=linker,
            redo=redo,
            listing=Listing(index=index, lane=lane, linker=linker, limits=limits),
            removal=removal,
        )
        delete = DeleteStudy(
            index=index, journal=journal, commits=commits, claims=claims,
            tombstones=tombstones, limits=limits, worker=worker,
        )  # fmt: skip
        rejections = Rejections(delete, active=settings.rejection_notes)
        store = StoreStudy(
            index=index, journal=journal, blobs=blobs, commits=commits,
            claims=claims, threads=threads, limits=limits, worker=worker,
            rejections=rejections, replace_duplicates=settings.duplicates == "replace",
            strict=settings.validation == "strict",
        )  # fmt: skip
        recovery = Recovery(
            index=index, blobs=blobs, commits=commits, redo=redo, claims=claims,
            rejections=rejections, sweep=Sweep(index, blobs, limits), worker=worker,
        )  # fmt: skip
        query_tags = QueryTags(index, limits)
        retrieve = Retrieve(index, blobs, limits, threads, tombstones)
        await _prepare_stores(settings, index, fhir, endpoint)
        log.info("recovered", cleared=await recovery.run_once())
        stack.push_async_callback(lane.close)
        stack.push_async_callback(notes.close)
        stack.push_async_callback(commits.close)
        stack.push_async_callback(delete.close)
        stack.push_async_callback(store.close)
        stack.push_async_callback(_cancel, asyncio.create_task(recovery.run_forever()))
        if settings.warm_up:
            warming = asyncio.create_task(_warm_up(index, fhir, endpoint))
            stack.push_async_callback(_cancel, warming)
        yield State(
            settings=settings,
            store=store,
            find=Find(index, limits, query_tags),
            query_tags=query_tags,
            retrieve=retrieve,
            transcode=Transcode(retrieve, blobs, pixels, threads, limits),
            delete=delete,
            versions=Versions(index, tombstones, limits),
            render=Render(retrieve, index, pixels, limits),
            readiness=Readiness(
                {"blobs": blobs.ping, "elasticsearch": index.ping, "fhir": fhir.ping}
            ),
            admission=Admission(limits),
            registry=registry,
            instances=Counter(
                "coregister_instances",
                "Instances of STOW requests, by what became of them.",
                ["outcome"],
                registry=registry,
            ),
        )


async def _prepare_stores(
    settings: Settings, index: ElasticsearchIndex, fhir: HapiStore, endpoint: dict[str, object]
) -> None:
    """Make indices and the Endpoint; wait for stores that are still starting."""
    while True:
        try:
            await index.ensure(
                index_mappings(),
                shards=settings.index_shards,
                replicas=settings.index_replicas,
            )
            await fhir.ensure_endpoint(endpoint)
        except ConfigurationError:
            raise  # waiting does not help
        except CoregisterError as error:
            log.warning("waiting_for_store", error=type(error).__name__)
            await asyncio.sleep(STORES_WAIT_SECONDS)
        else:
            break


async def _warm_up(index: ElasticsearchIndex, fhir: HapiStore, endpoint: dict[str, object]) -> None:
    """Exercise the stores beside the first requests, so that their code is compiled early."""
    try:
        await index.warm_up(index_mappings()["instances"])
        await fhir.warm_up(endpoint)
    except CoregisterError as error:
        log.warning("warm_up_failed", error=type(error).__name__)


def _authorization(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _tune_interpreter() -> None:
    """Hand over between threads sooner, and look for garbage less often.

    While a thread reads an instance, the event loop waits for the interpreter's lock: by default 5 ms each
    time. Reading makes thousands of values and no cycles.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # modules stay; looking through them again and again finds nothing
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 20)


def serve(settings: Settings) -> None:
    """Serve until told to stop; requests under way are finished first."""
    logs.configure(settings.log_level)
    _tune_interpreter()
    log.info("serving", host=settings.host, port=settings.port)
    uvicorn.run(
        build_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # app.web.public_address looks at them, and asks whose they are
        timeout_graceful_shutdown=30,
    )
