"""What requests of WADO-RS have in common: the target in the path, the transfer syntax (PS3.18 §10.4.1)."""

from collections.abc import Sequence

from starlette.requests import Request

from app.dicom.uid import is_uid
from app.errors import BadQuery, BadRequest, NotAcceptable
from app.services.retrieve import Target
from app.web.negotiation import Accepted
from app.web.state import State

OCTETS = "application/octet-stream"
ORIGINAL_HEADER = "msdicom-request-original"  # as Microsoft's clients ask
_ANSWERS = {"true": True, "false": False}


def target_of(request: Request[State]) -> Target:
    """Return what the path names. Raises BadRequest for what is no UID."""
    path = request.path_params
    for name in ("study", "series", "instance"):
        if name in path and not is_uid(path[name]):
            raise BadRequest(f"The {name} in the URL is no UID.")
    return Target(path["study"], path.get("series"), path.get("instance"))


def wants_original(request: Request[State]) -> bool:
    """Tell whether objects are wanted as they were received, without corrections (an extension).

    The parameter `original` goes before the header. Raises BadQuery where either is neither true nor false.
    """
    said = request.query_params.get("original", request.headers.get(ORIGINAL_HEADER, "false"))
    answer = _ANSWERS.get(said.strip().lower())
    if answer is None:
        raise BadQuery("original is true or false.")
    return answer


def related(media_type: str, boundary: str) -> str:
    """Return the Content-Type of an answer in parts."""
    return f'multipart/related; type="{media_type}"; boundary={boundary}'


def check_syntax(alternatives: Sequence[Accepted], stored: str) -> None:
    """Raise NotAcceptable where every alternative insists on a transfer syntax that is not stored."""
    wanted = {each.transfer_syntax for each in alternatives if each.quality}
    if wanted & {None, "*", stored}:
        return
    raise NotAcceptable(
        f"The instance is stored in {stored}; ask for it with transfer-syntax=* or without."
    )


def form_of(alternatives: Sequence[Accepted], *more: str) -> str:
    """Return what of the request shapes the answer, for its validator."""
    syntaxes = sorted({each.transfer_syntax or "" for each in alternatives if each.quality})
    return " ".join([*more, *syntaxes])
