"""STOW-RS: `POST /studies` and `POST /studies/{study}` (PS3.18 §10.5)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from app.dicom.multipart import (
    PartBegin,
    PartData,
    PartEnd,
    RelatedParser,
    parse_content_type,
)
from app.dicom.uid import is_uid
from app.errors import (
    BadInstance,
    BadMultipart,
    BadRequest,
    BlobsUnavailable,
    ClientGone,
    RequestTimeout,
    RequestTooLarge,
    UnsupportedMediaType,
)
from app.limits import Limits
from app.services.intake import Intake, Refused, Spooled
from app.services.store_study import InstanceOutcome
from app.web.negotiation import DICOM_JSON, accepted, choose
from app.web.state import State, base_url

WARNING_DATA_SET = 0xB007  # data set does not match SOP class: a value is not as its VR asks
HTTP_OK, HTTP_ACCEPTED, HTTP_CONFLICT = 200, 202, 409

log = structlog.get_logger(__name__)


async def store_instances(request: Request[State]) -> Response:
    """Store instances; answer when they are durable, linked and findable (PS3.18 §10.5)."""
    study_instance_uid = request.path_params.get("study")
    if study_instance_uid is not None and not is_uid(study_instance_uid):
        raise BadRequest("The study in the URL is no UID.")
    choose(accepted(request), DICOM_JSON)
    state = request.state
    async with state["admission"].enter():
        intake = state["store"].intake()
        try:
            received = await _receive(request, intake, state["settings"].limits)
            outcomes = await state["store"].store(received, study_instance_uid)
        finally:
            await intake.discard()
    for outcome in outcomes:
        state["instances"].labels("stored" if outcome.error is None else "refused").inc()
    return _answer(outcomes, base_url(request))


async def _receive(
    request: Request[State], intake: Intake, limits: Limits
) -> list[Spooled | Refused]:
    media_type, parameters = parse_content_type(request.headers.get("content-type", ""))
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMediaType("A compressed request body is not understood.")
    await _check_room(request, limits)
    body = _body(request, limits)
    if media_type == "application/dicom":
        await _receive_single(body, intake)
    elif media_type == "multipart/related":
        kind = parameters.get("type", "application/dicom").lower()
        if kind != "application/dicom":
            raise UnsupportedMediaType('Only type="application/dicom" parts are understood.')
        await _receive_parts(body, intake, RelatedParser(request.headers["content-type"], limits))
    else:
        raise UnsupportedMediaType(
            'Send multipart/related; type="application/dicom", or one application/dicom object.'
        )
    received = await intake.finish()
    if not received:
        raise BadMultipart("The body has no parts.")
    return received


async def _check_room(request: Request[State], limits: Limits) -> None:
    declared = int(request.headers.get("content-length") or 0)
    if declared > limits.request_bytes:
        raise RequestTooLarge("The body is larger than the limit request_bytes.")
    free = await request.state["store"].free_bytes()
    if free is not None and free - declared < limits.free_disk_bytes:
        raise BlobsUnavailable("The disk is nearly full: see free_disk_bytes.", retry_after=300)


async def _body(request: Request[State], limits: Limits) -> AsyncIterator[bytes]:
    """Yield the body as it comes; a client that stalls, hangs up or sends too much is given up."""
    received = 0
    chunks = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(limits.request_idle_seconds):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError as exc:
            raise RequestTimeout("Nothing more came: see request_idle_seconds.") from exc
        except ClientDisconnect as exc:
            raise ClientGone("The client hung up.") from exc
        received += len(chunk)
        if received > limits.request_bytes:
            raise RequestTooLarge("The body is larger than the limit request_bytes.")
        yield chunk


async def _receive_single(body: AsyncIterator[bytes], intake: Intake) -> None:
    intake.begin()
    async for chunk in body:
        await intake.write(chunk)
    await intake.end()


async def _receive_parts(body: AsyncIterator[bytes], intake: Intake, parser: RelatedParser) -> None:
    refusal: BadInstance | None = None
    async for chunk in body:
        for event in parser.feed(chunk):
            match event:
                case PartBegin(headers):
                    intake.begin()
                    refusal = _judge_headers(headers.get("content-type"))
                case PartData(data):
                    await intake.write(data)
                case PartEnd(matches):
                    if not matches:
                        refusal = BadInstance("The part's Content-Length is not its length.")
                    await intake.end(refusal)
    parser.close()


def _judge_headers(content_type: str | None) -> BadInstance | None:
    if content_type is None or parse_content_type(content_type)[0] == "application/dicom":
        return None
    return BadInstance("The part is not application/dicom.")


def _answer(outcomes: Sequence[InstanceOutcome], base: str) -> Response:
    """Return the Store Instances Response (PS3.18 §10.5.3)."""
    stored = [each for each in outcomes if each.error is None]
    failed = [each for each in outcomes if each.error is not None]
    warned = any(each.findings for each in stored)
    body: dict[str, Any] = {}
    studies = {each.study_instance_uid for each in stored}
    if len(studies) == 1:
        body["00081190"] = {"vr": "UR", "Value": [f"{base}/studies/{studies.pop()}"]}
    named = [each for each in failed if each.sop_instance_uid and each.sop_class_uid]
    other = [each for each in failed if each not in named]
    if named:
        body["00081198"] = _sequence(_reference(e) | _failure(e) for e in named)
    if stored:
        body["00081199"] = _sequence(_reference(e) | _success(e, base) for e in stored)
    if other:
        body["0008119A"] = _sequence(_failure(each) for each in other)
    if not stored:
        status = HTTP_CONFLICT
    else:
        status = HTTP_ACCEPTED if failed or warned else HTTP_OK
    return Response(orjson.dumps(body), status, media_type="application/dicom+json")


def _sequence(items: Any) -> dict[str, Any]:
    return {"vr": "SQ", "Value": list(items)}


def _reference(outcome: InstanceOutcome) -> dict[str, Any]:
    return {
        "00081150": {"vr": "UI", "Value": [outcome.sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [outcome.sop_instance_uid]},
    }


def _success(outcome: InstanceOutcome, base: str) -> dict[str, Any]:
    url = (
        f"{base}/studies/{outcome.study_instance_uid}/series/{outcome.series_instance_uid}"
        f"/instances/{outcome.sop_instance_uid}"
    )
    item: dict[str, Any] = {"00081190": {"vr": "UR", "Value": [url]}}
    if outcome.findings:
        item["00081196"] = {"vr": "US", "Value": [WARNING_DATA_SET]}
        item["00741048"] = _sequence(
            {
                "00000901": {"vr": "AT", "Value": [finding.tag.rsplit(".", 1)[-1]]},
                "00000902": {"vr": "LO", "Value": [f"{finding.tag}: {finding.message}"]},
            }
            for finding in outcome.findings
        )
    return item


def _failure(outcome: InstanceOutcome) -> dict[str, Any]:
    error = outcome.error
    if error is None:
        raise ValueError("a failure has an error")
    item: dict[str, Any] = {"00081197": {"vr": "US", "Value": [error.failure_reason]}}
    comment = {"00000902": {"vr": "LO", "Value": [error.message]}}
    if isinstance(error, BadInstance) and error.attributes:
        comment["00000901"] = {"vr": "AT", "Value": list(error.attributes)}
    item["00741048"] = _sequence([dict(sorted(comment.items()))])
    return item
