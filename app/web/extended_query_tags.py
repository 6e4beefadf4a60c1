"""Extended query tags and operations, as clients of Microsoft's DICOM service call them; an extension."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from app.dicom.extended_query_tag import (
    ExtendedQueryTag,
    parse_query_status,
    parse_tags,
    tag_in_path,
)
from app.errors import BadRequest, RequestTooLarge, UnsupportedMediaType
from app.web.state import State, base_url

ACCEPTED, NO_CONTENT = 202, 204
_PAGE, _LONGEST_PAGE = 100, 200
_MOST_SKIPPED = 10_000
_MESSAGE = "A value exceeds a limit of the index or is not valid for its VR."


async def add_tags(request: Request[State]) -> Response:
    """Register attributes as extended query tags; they can be searched at once."""
    tags = parse_tags(await _json(request), request.state["settings"].limits)
    operation = await request.state["query_tags"].add(tags)
    reference = _operation_reference(request, operation.id)
    return _send(reference, ACCEPTED, {"Location": reference["href"]})


async def list_tags(request: Request[State]) -> Response:
    """List the extended query tags."""
    limit, offset = _page(request)
    tags = (await request.state["query_tags"].all())[offset : offset + limit]
    return _send([await _shown(request, tag) for tag in tags])


async def get_tag(request: Request[State]) -> Response:
    """Show one extended query tag."""
    return _send(await _shown(request, await _named(request)))


async def update_tag(request: Request[State]) -> Response:
    """Enable or disable searching by an extended query tag."""
    tag = await _named(request)
    enabled = parse_query_status(await _json(request))
    changed = await request.state["query_tags"].enable(tag.tag, enabled=enabled)
    return _send(await _shown(request, changed))


async def delete_tag(request: Request[State]) -> Response:
    """Remove an extended query tag; the attribute can be searched all the same."""
    await request.state["query_tags"].remove(tag_in_path(request.path_params["tag"]))
    return Response(status_code=NO_CONTENT)


async def list_tag_errors(request: Request[State]) -> Response:
    """List the instances with a value of an extended query tag that is not indexed."""
    limit, offset = _page(request)
    errors = await request.state["query_tags"].errors(
        await _named(request), limit=limit, offset=offset
    )
    return _send(
        [
            {
                "studyInstanceUid": error.study_instance_uid,
                "seriesInstanceUid": error.series_instance_uid,
                "sopInstanceUid": error.sop_instance_uid,
                "createdTime": error.created,
                "errorMessage": _MESSAGE,
            }
            for error in errors
        ]
    )


async def get_operation(request: Request[State]) -> Response:
    """Show the operation that added extended query tags; it is complete."""
    operation_id = request.path_params["operation"].replace("-", "").lower()
    operation = await request.state["query_tags"].operation(operation_id)
    base = base_url(request)
    first_version = "/v1/" in request.url.path
    return _send(
        {
            "operationId": operation.id,
            "type": "Reindex",
            "createdTime": operation.created,
            "lastUpdatedTime": operation.created,
            "status": "Completed" if first_version else "Succeeded",
            "percentComplete": 100,
            "resources": [f"{base}/extendedquerytags/{tag}" for tag in operation.tags],
        }
    )


async def _named(request: Request[State]) -> ExtendedQueryTag:
    return await request.state["query_tags"].get(tag_in_path(request.path_params["tag"]))


async def _shown(request: Request[State], tag: ExtendedQueryTag) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "path": tag.tag,
        "vr": tag.vr,
        "level": tag.level.value.capitalize(),
        "status": "Ready",
        "queryStatus": "Enabled" if tag.enabled else "Disabled",
    }
    if tag.private_creator is not None:
        shown["privateCreator"] = tag.private_creator
    count = await request.state["query_tags"].error_count(tag)
    if count:
        href = f"{base_url(request)}/extendedquerytags/{tag.tag}/errors"
        shown["errors"] = {"count": count, "href": href}
    return shown


def _operation_reference(request: Request[State], operation: str) -> dict[str, str]:
    return {"id": operation, "href": f"{base_url(request)}/operations/{operation}"}


def _page(request: Request[State]) -> tuple[int, int]:
    return (
        _number(request, "limit", _PAGE, 1, _LONGEST_PAGE),
        _number(request, "offset", 0, 0, _MOST_SKIPPED),
    )


def _number(request: Request[State], name: str, default: int, least: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not least <= int(text[:9]) <= most:
        raise BadRequest(f"The parameter {name} is not a number from {least} to {most}.")
    return int(text)


async def _json(request: Request[State]) -> Any:
    """Return the body. Raises UnsupportedMediaType, RequestTooLarge, BadRequest."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType("Send application/json.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > request.state["settings"].limits.json_body_bytes:
            raise RequestTooLarge("The body is larger than the limit json_body_bytes.")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise BadRequest("The body is not JSON.") from exc


def _send(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers=headers, media_type="application/json")
