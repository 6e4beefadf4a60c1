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
from app.errors import CoregisterError
from app.fhir.endpoint import endpoint_resource
from app.fhir.identifiers import IdentifierSystems
from app.index.mappings import index_mappings
from app.services.claims import Claims
from app.services.commit import StudyCommits
from app.services.find import Find
from app.services.intents import Worker
from app.services.link import StudyLinker
from app.services.listing import Listing
from app.services.patients import Patients
from app.services.readiness import Readiness
from app.services.recover import Recovery
from app.services.redo import Redo
from app.services.retrieve import Retrieve
from app.services.snapshot import Snapshots
from app.services.store_study import StoreStudy
from app.settings import Settings
from app.stores.blobs import open_blob_store
from app.stores.elasticsearch import ElasticsearchIndex
from app.stores.hapi import HapiStore
from app.stores.http import http_client
from app.stores.lane import Lane
from app.web import problem
from app.web.admission import Admission
from app.web.routes import ROUTES
from app.web.safe_headers import SafeHeaders
from app.web.state import State
from app.web.telemetry import Telemetry

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

    return Starlette(
        routes=list(ROUTES),
        lifespan=lifespan,
        middleware=[Middleware(Telemetry, registry=registry), Middleware(SafeHeaders)],
        exception_handlers={
            CoregisterError: problem.coregister_error,
            HTTPException: problem.http_error,
            Exception: problem.unexpected_error,
        },
    )


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
        lane = Lane(index)
        journal = Lane(index)
        snapshots = Snapshots(index, fhir)
        claims = Claims()
        endpoint = endpoint_resource(settings.dicomweb_url)
        redo = Redo(
            index=index, lane=lane, blobs=blobs, snapshots=snapshots,
            threads=threads, limits=limits, worker=worker,
        )  # fmt: skip
        linker = StudyLinker(
            fhir=fhir, patients=Patients(fhir, systems),
            endpoint=f"Endpoint/{endpoint['id']}",
            systems=systems, limits=limits, time_zone=settings.time_zone,
        )  # fmt: skip
        commits = StudyCommits(
            index=index,
            lane=lane,
            snapshots=snapshots,
            linker=linker,
            redo=redo,
            listing=Listing(index=index, lane=lane, linker=linker, limits=limits),
        )
        store = StoreStudy(
            index=index, journal=journal, blobs=blobs, commits=commits,
            claims=claims, threads=threads, limits=limits, worker=worker,
        )  # fmt: skip
        recovery = Recovery(
            index=index, blobs=blobs, commits=commits, redo=redo, claims=claims, worker=worker
        )
        await _prepare_stores(settings, index, fhir, endpoint)
        log.info("recovered", cleared=await recovery.run_once())
        stack.push_async_callback(lane.close)
        stack.push_async_callback(journal.close)
        stack.push_async_callback(commits.close)
        stack.push_async_callback(store.close)
        stack.push_async_callback(_cancel, asyncio.create_task(recovery.run_forever()))
        if settings.warm_up:
            warming = asyncio.create_task(_warm_up(index, fhir, endpoint))
            stack.push_async_callback(_cancel, warming)
        yield State(
            settings=settings,
            store=store,
            find=Find(index, limits),
            retrieve=Retrieve(index, blobs, limits, threads),
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
        timeout_graceful_shutdown=30,
    )
