"""Every path that is served, in one table."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from starlette.routing import BaseRoute, Mount, Route

from app.web import health, qido, stow, wado, wado_values

BASE = "/dicom-web"
STUDY = "/studies/{study}"
SERIES = STUDY + "/series/{series}"
INSTANCE = SERIES + "/instances/{instance}"

DICOMWEB: tuple[Route, ...] = (
    Route("/studies", stow.store_instances, methods=["POST"]),
    Route(STUDY, stow.store_instances, methods=["POST"]),
    Route("/studies", qido.search_studies, methods=["GET"]),
    Route(STUDY + "/series", qido.search_series, methods=["GET"]),
    Route(STUDY + "/instances", qido.search_instances, methods=["GET"]),
    Route(SERIES + "/instances", qido.search_instances, methods=["GET"]),
    Route("/series", qido.search_series, methods=["GET"]),
    Route("/instances", qido.search_instances, methods=["GET"]),
    Route(STUDY, wado.retrieve_instances, methods=["GET"]),
    Route(SERIES, wado.retrieve_instances, methods=["GET"]),
    Route(INSTANCE, wado.retrieve_instances, methods=["GET"]),
    Route(STUDY + "/metadata", wado.retrieve_metadata, methods=["GET"]),
    Route(SERIES + "/metadata", wado.retrieve_metadata, methods=["GET"]),
    Route(INSTANCE + "/metadata", wado.retrieve_metadata, methods=["GET"]),
    Route(INSTANCE + "/frames/{frames}", wado_values.retrieve_frames, methods=["GET"]),
    Route(INSTANCE + "/bulkdata/{path}", wado_values.retrieve_bulk, methods=["GET"]),
)

OPERATIONS: tuple[Route, ...] = (
    Route("/health/live", health.live, methods=["GET"]),
    Route("/health/ready", health.ready, methods=["GET"]),
    Route("/metrics", health.metrics, methods=["GET"]),
)

ROUTES: tuple[BaseRoute, ...] = (*OPERATIONS, Mount(BASE, routes=list(DICOMWEB)))

# a handler and the names in its path -> the pattern, which may be logged where a path may not
PATTERNS: Mapping[tuple[Callable[..., Any], frozenset[str]], str] = MappingProxyType(
    {
        (route.endpoint, frozenset(route.param_convertors)): base + route.path
        for base, routes in (("", OPERATIONS), (BASE, DICOMWEB))
        for route in routes
    }
)
