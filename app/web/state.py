"""What handlers find in `request.state`: the services, typed."""

from typing import TypedDict

from prometheus_client import CollectorRegistry, Counter
from starlette.requests import Request

from app.services.catch_up import CatchUp
from app.services.correct import Correct
from app.services.delete_study import DeleteStudy
from app.services.find import Find
from app.services.materialize import Materialize
from app.services.problems import Problems
from app.services.query_tags import QueryTags
from app.services.readiness import Readiness
from app.services.render import Render
from app.services.retrieve import Retrieve
from app.services.retry import Retry
from app.services.store_study import StoreStudy
from app.services.subscriptions import Subscriptions
from app.services.transcode import Transcode
from app.services.versions import Versions
from app.settings import Settings
from app.web.admission import Admission
from app.web.public_address import origin_of


class State(TypedDict):
    """Yielded by the lifespan in `app.main`."""

    settings: Settings
    store: StoreStudy
    find: Find
    query_tags: QueryTags
    retrieve: Retrieve
    transcode: Transcode
    delete: DeleteStudy
    changes: CatchUp
    correct: Correct
    subscriptions: Subscriptions
    problems: Problems
    retry: Retry
    versions: Versions
    render: Render
    materialize: Materialize
    readiness: Readiness
    admission: Admission
    registry: CollectorRegistry
    instances: Counter  # of STOW requests, by outcome


def base_url(request: Request[State]) -> str:
    """Return the DICOMweb base for URLs in answers, without a slash at its end.

    The setting `public_url` wins. Else it is the address that the client called, as far as proxies that the
    setting `trusted_proxies` names and the request itself tell.
    """
    settings = request.state["settings"]
    if settings.public_url is not None:
        return settings.public_url.rstrip("/")
    return f"{origin_of(request, settings.trusted_networks)}/dicom-web"
