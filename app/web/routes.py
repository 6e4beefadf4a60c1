"""Every path that is served, in one table."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from starlette.routing import BaseRoute, Mount, Route

from app.web import (
    delete,
    extended_query_tags,
    health,
    hooks,
    materialize,
    problem_records,
    qido,
    qido_counts,
    rendered,
    stow,
    versions,
    viewer,
    wado,
    wado_bulk,
    wado_metadata,
    wado_uri,
    wado_values,
)
from app.web.capabilities import options_routes

BASE = "/dicom-web"
STUDY = "/studies/{study}"
SERIES = STUDY + "/series/{series}"
INSTANCE = SERIES + "/instances/{instance}"
TAGS = "/extendedquerytags"
TAG = TAGS + "/{tag}"
FRAMES = INSTANCE + "/frames/{frames}"

# clients expect it beside the base as well as below it
WADO_URI = Route("/wado", wado_uri.retrieve_object, methods=["GET"])

DICOMWEB: tuple[Route, ...] = (
    Route("/studies", stow.store_instances, methods=["POST"]),
    Route(STUDY, stow.store_instances, methods=["POST"]),
    Route("/studies", qido.search_studies, methods=["GET"]),
    Route("/patients", qido.search_patients, methods=["GET"]),
    Route("/patients/count", qido_counts.count_patients, methods=["GET"]),
    Route("/studies/count", qido_counts.count_studies, methods=["GET"]),
    Route("/series/count", qido_counts.count_series, methods=["GET"]),
    Route("/instances/count", qido_counts.count_instances, methods=["GET"]),
    Route(STUDY + "/series/count", qido_counts.count_series, methods=["GET"]),
    Route(STUDY + "/instances/count", qido_counts.count_instances, methods=["GET"]),
    Route(SERIES + "/instances/count", qido_counts.count_instances, methods=["GET"]),
    Route("/studies/facets", qido_counts.facets_of_studies, methods=["GET"]),
    Route("/series/facets", qido_counts.facets_of_series, methods=["GET"]),
    Route("/instances/facets", qido_counts.facets_of_instances, methods=["GET"]),
    Route(STUDY + "/series/facets", qido_counts.facets_of_series, methods=["GET"]),
    Route(STUDY + "/instances/facets", qido_counts.facets_of_instances, methods=["GET"]),
    Route(SERIES + "/instances/facets", qido_counts.facets_of_instances, methods=["GET"]),
    Route(STUDY + "/series", qido.search_series, methods=["GET"]),
    Route(STUDY + "/instances", qido.search_instances, methods=["GET"]),
    Route(SERIES + "/instances", qido.search_instances, methods=["GET"]),
    Route("/series", qido.search_series, methods=["GET"]),
    Route("/instances", qido.search_instances, methods=["GET"]),
    Route(STUDY, wado.retrieve_instances, methods=["GET"]),
    Route(SERIES, wado.retrieve_instances, methods=["GET"]),
    Route(INSTANCE, wado.retrieve_instances, methods=["GET"]),
    Route(STUDY + "/metadata", wado_metadata.retrieve_metadata, methods=["GET"]),
    Route(SERIES + "/metadata", wado_metadata.retrieve_metadata, methods=["GET"]),
    Route(INSTANCE + "/metadata", wado_metadata.retrieve_metadata, methods=["GET"]),
    Route(FRAMES, wado_values.retrieve_frames, methods=["GET"]),
    Route(STUDY + "/bulkdata", wado_bulk.retrieve_bulkdata, methods=["GET"]),
    Route(SERIES + "/bulkdata", wado_bulk.retrieve_bulkdata, methods=["GET"]),
    Route(INSTANCE + "/bulkdata", wado_bulk.retrieve_bulkdata, methods=["GET"]),
    Route(INSTANCE + "/bulkdata/{path}", wado_values.retrieve_bulk, methods=["GET"]),
    Route(STUDY + "/pixeldata", wado_bulk.retrieve_pixel_data, methods=["GET"]),
    Route(SERIES + "/pixeldata", wado_bulk.retrieve_pixel_data, methods=["GET"]),
    Route(INSTANCE + "/pixeldata", wado_bulk.retrieve_pixel_data, methods=["GET"]),
    Route(STUDY + "/rendered", rendered.retrieve_rendered, methods=["GET"]),
    Route(SERIES + "/rendered", rendered.retrieve_rendered, methods=["GET"]),
    Route(INSTANCE + "/rendered", rendered.retrieve_rendered, methods=["GET"]),
    Route(FRAMES + "/rendered", rendered.retrieve_rendered_frames, methods=["GET"]),
    Route(STUDY + "/thumbnail", rendered.retrieve_thumbnail, methods=["GET"]),
    Route(SERIES + "/thumbnail", rendered.retrieve_thumbnail, methods=["GET"]),
    Route(INSTANCE + "/thumbnail", rendered.retrieve_thumbnail, methods=["GET"]),
    Route(FRAMES + "/thumbnail", rendered.retrieve_thumbnail, methods=["GET"]),
    WADO_URI,
    Route(STUDY, delete.delete_instances, methods=["DELETE"]),
    Route(SERIES, delete.delete_instances, methods=["DELETE"]),
    Route(INSTANCE, delete.delete_instances, methods=["DELETE"]),
    Route(STUDY + "/$materialize", materialize.materialize_instances, methods=["POST"]),
    Route(SERIES + "/$materialize", materialize.materialize_instances, methods=["POST"]),
    Route(INSTANCE + "/$materialize", materialize.materialize_instances, methods=["POST"]),
    Route(TAGS, extended_query_tags.add_tags, methods=["POST"]),
    Route(TAGS, extended_query_tags.list_tags, methods=["GET"]),
    Route(TAG, extended_query_tags.get_tag, methods=["GET"]),
    Route(TAG, extended_query_tags.update_tag, methods=["PATCH"]),
    Route(TAG, extended_query_tags.delete_tag, methods=["DELETE"]),
    Route(TAG + "/errors", extended_query_tags.list_tag_errors, methods=["GET"]),
    Route("/operations/{operation}", extended_query_tags.get_operation, methods=["GET"]),
    Route(INSTANCE + "/versions", versions.list_versions, methods=["GET"]),
    Route(INSTANCE + "/versions/{version}", versions.retrieve_version, methods=["GET"]),
)

OPERATIONS: tuple[Route, ...] = (
    Route("/health/live", health.live, methods=["GET"]),
    Route("/health/ready", health.ready, methods=["GET"]),
    Route("/metrics", health.metrics, methods=["GET"]),
    Route("/hooks/fhir/{resource_type}", hooks.hear, methods=["POST", "PUT"]),
    Route("/hooks/fhir/{resource_type}/{id:path}", hooks.hear, methods=["POST", "PUT", "DELETE"]),
    Route("/errors", problem_records.list_errors, methods=["GET"]),
    Route("/errors/$retry", problem_records.retry_errors, methods=["POST"]),
)

# served where the setting `viewer` names a folder
VIEWER: tuple[Route, ...] = (
    Route(viewer.BASE, viewer.viewer_home, methods=["GET"]),
    Route(viewer.INVOKED, viewer.invoke_image_display, methods=["GET"]),
    Route(viewer.BASE + "/{path:path}", viewer.viewer_file, methods=["GET"]),
)

# `OPTIONS` on each of those paths
CAPABILITIES: tuple[Route, ...] = tuple(options_routes(DICOMWEB))

# Microsoft's clients put the version of its API before everything, at the root of the host
VERSIONS = ("/v1", "/v2")

BASES = (BASE, *(base + version for base in ("", BASE) for version in VERSIONS))
_BELOW: list[BaseRoute] = [*DICOMWEB, *CAPABILITIES]
ROUTES: tuple[BaseRoute, ...] = (
    *OPERATIONS,
    WADO_URI,
    Route(f"{BASE}/", wado_uri.retrieve_object, methods=["GET"]),  # as npm's dicomweb-client asks
    *(Mount(base, routes=_BELOW) for base in reversed(BASES)),  # the longer one first
)

# a handler and the names in its path -> the pattern, which may be logged where a path may not
PATTERNS: Mapping[tuple[Callable[..., Any], frozenset[str]], str] = MappingProxyType(
    {
        (route.endpoint, frozenset(route.param_convertors)): base + route.path
        for base, routes in (("", OPERATIONS), ("", VIEWER), (BASE, (*DICOMWEB, *CAPABILITIES)))
        for route in routes
    }
)
