"""The versions of an instance: an extension, PS3.18 has none."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from app.dicom.instance import ByteRange
from app.services.retrieve import Located, Values
from app.services.versions import Version
from app.web.conditional import strong_etag
from app.web.negotiation import Offer, accepted, choose
from app.web.single_part import send_value
from app.web.state import State
from app.web.wado_target import check_syntax, target_of

DICOM = "application/dicom"
LIST = (Offer("application/json", aliases=("application/dicom+json",)),)
OBJECT = (Offer(DICOM),)


async def list_versions(request: Request[State]) -> Response:
    """List the versions of an instance, the newest first."""
    choose(accepted(request), LIST)
    versions = await request.state["versions"].of(target_of(request))
    return Response(
        orjson.dumps([_told(version) for version in versions]), media_type="application/json"
    )


async def retrieve_version(request: Request[State]) -> Response:
    """Send one version of an instance, byte for byte as received."""
    target = target_of(request)
    alternatives = accepted(request)
    choose(alternatives, OBJECT)
    name = request.path_params["version"]
    version = await request.state["versions"].one(target, name)
    check_syntax(alternatives, version.transfer_syntax_uid)
    located = Located(
        target.study_instance_uid,
        target.series_instance_uid or "",
        target.sop_instance_uid or "",
        version.transfer_syntax_uid,
        version.blob_key,
        version.size,
        version.name,
    )
    whole = Values(located, ((ByteRange(0, version.size),),), encapsulated=False, deflated=False)
    content_type = f"{DICOM}; transfer-syntax={version.transfer_syntax_uid}"
    return await send_value(request, whole, content_type, strong_etag(version.name, DICOM))


def _told(version: Version) -> dict[str, Any]:
    return {
        "version": version.name,
        "stored_at": version.stored_at,
        "size": version.size,
        "sha256": version.sha256,
        "transfer_syntax_uid": version.transfer_syntax_uid,
        "current": version.current,
        "deleted": version.deleted,
    }
