"""The composition root: connects the stores, has the parts made, starts and ends what runs by itself."""

import asyncio
import contextlib
import gc
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
import uvicorn
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from app import logs
from app.errors import ConfigurationError, CoregisterError
from app.index.mappings import index_mappings
from app.parts import Parts, Stores
from app.services.search_parameters import SearchParameters
from app.settings import Settings
from app.web import problem, viewer
from app.web.admission import Admission
from app.web.compress import Compress
from app.web.cross_origin import cross_origin
from app.web.requester import NameRequester
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
            Middleware(NameRequester),
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
    async with AsyncExitStack() as stack:
        stores = Stores(settings, stack)
        parts = Parts(settings, registry, stores)
        await _prepare_stores(settings, stores, parts)
        await _recover(parts)
        _start(settings, stores, parts, stack)
        yield _state(settings, parts, registry)


def _start(settings: Settings, stores: Stores, parts: Parts, stack: AsyncExitStack) -> None:
    """Start what runs by itself; leaving `stack` ends it, the last first."""

    def run(work: Coroutine[None, None, None]) -> None:
        stack.push_async_callback(_cancel, asyncio.create_task(work))

    stack.push_async_callback(parts.problems.flush)
    run(parts.problems.run_forever())
    run(parts.linked_patients.run_forever(parts.correct.patient_changed))
    for lane in (stores.lane, stores.notes, stores.rewrites):
        stack.push_async_callback(lane.close)
    stack.push_async_callback(parts.provenances.close)
    run(parts.provenances.run_forever())
    for service in (parts.commits, parts.delete, parts.store, parts.materialize):
        stack.push_async_callback(service.close)
    run(parts.recovery.run_forever())
    for listener in (parts.orders, parts.reflect, parts.changes):
        stack.push_async_callback(listener.close)
    run(parts.changes.run_forever())
    stack.push_async_callback(parts.subscriptions.close)
    run(parts.subscriptions.run_forever())
    run(SearchParameters(stores.fhir).install_sometime())
    if settings.warm_up:
        run(_warm_up(settings, stores, parts))


def _state(settings: Settings, parts: Parts, registry: CollectorRegistry) -> State:
    """Return what handlers find."""
    return State(
        settings=settings,
        store=parts.store,
        find=parts.find,
        query_tags=parts.query_tags,
        retrieve=parts.retrieve,
        transcode=parts.transcode,
        delete=parts.delete,
        changes=parts.changes,
        correct=parts.correct,
        subscriptions=parts.subscriptions,
        problems=parts.problems,
        retry=parts.retry,
        versions=parts.versions,
        materialize=parts.materialize,
        render=parts.render,
        readiness=parts.readiness,
        admission=Admission(settings.limits),
        registry=registry,
        instances=Counter(
            "coregister_instances",
            "Instances of STOW requests, by what became of them.",
            ["outcome"],
            registry=registry,
        ),
    )


async def _prepare_stores(settings: Settings, stores: Stores, parts: Parts) -> None:
    """Make indices and the Endpoints; wait for stores that are still starting."""
    while True:
        try:
            await stores.index.ensure(
                index_mappings(),
                shards=settings.index_shards,
                replicas=settings.index_replicas,
            )
            for endpoint in parts.endpoints:
                await stores.fhir.ensure_endpoint(endpoint)
        except ConfigurationError:
            raise  # waiting does not help
        except CoregisterError as error:
            log.warning("waiting_for_store", error=type(error).__name__)
            await asyncio.sleep(STORES_WAIT_SECONDS)
        else:
            break


async def _recover(parts: Parts) -> None:
    """Clear up what a crash left; what a store that fails for the moment prevents, the timer does."""
    try:
        log.info("recovered", cleared=await parts.recovery.run_once())
    except CoregisterError as error:
        log.warning("recovery_postponed", error=type(error).__name__)


async def _warm_up(settings: Settings, stores: Stores, parts: Parts) -> None:
    """Exercise the stores beside the first requests, so that their code is compiled early."""
    try:
        await stores.index.warm_up(index_mappings()["instances"], settings.limits)
        await stores.fhir.warm_up(parts.endpoints[0])
    except CoregisterError as error:
        log.warning("warm_up_failed", error=type(error).__name__)


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
