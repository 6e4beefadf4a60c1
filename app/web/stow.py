"""STOW-RS: `POST /studies` and `POST /studies/{study}` (PS3.18 §10.5)."""

from starlette.requests import Request
from starlette.responses import Response

from app.dicom.uid import is_uid
from app.errors import BadRequest
from app.web.negotiation import accepted, choose
from app.web.state import State, base_url
from app.web.stow_answer import OFFERS, answer
from app.web.stow_body import receive


async def store_instances(request: Request[State]) -> Response:
    """Store instances; answer when they are durable, linked and findable (PS3.18 §10.5)."""
    study_instance_uid = request.path_params.get("study")
    if study_instance_uid is not None and not is_uid(study_instance_uid):
        raise BadRequest("The study in the URL is no UID.")
    offer = choose(accepted(request), OFFERS)
    state = request.state
    async with state["admission"].enter():
        intake, metadata = state["store"].intake(), state["store"].metadata_intake()
        try:
            received = await receive(request, intake, metadata)
            outcomes = await state["store"].store(received, study_instance_uid)
        finally:
            await intake.discard()
            await metadata.discard()
    for outcome in outcomes:
        state["instances"].labels("stored" if outcome.error is None else "refused").inc()
    return answer(outcomes, base_url(request), offer)
