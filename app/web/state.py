"""What handlers find in `request.state`: the services, typed."""

from typing import TypedDict

from prometheus_client import CollectorRegistry, Counter
from starlette.requests import Request

from app.services.find import Find
from app.services.readiness import Readiness
from app.services.retrieve import Retrieve
from app.services.store_study import StoreStudy
from app.settings import Settings
from app.web.admission import Admission


class State(TypedDict):
    """Yielded by the lifespan in `app.main`."""

    settings: Settings
    store: StoreStudy
    find: Find
    retrieve: Retrieve
    readiness: Readiness
    admission: Admission
    registry: CollectorRegistry
    instances: Counter  # of STOW requests, by outcome


def base_url(request: Request[State]) -> str:
    """Return the DICOMweb base for URLs in answers, without a slash at its end.

    The setting `public_url` wins. Else it is the address that the client called, but only if it names the port
    it reached: some clients send `Host` without it.
    """
    settings = request.state["settings"]
    if settings.public_url is not None:
        return settings.public_url.rstrip("/")
    server = request.scope.get("server") or (settings.host, settings.port)
    host = request.headers.get("host", "")
    default = 443 if request.url.scheme == "https" else 80
    names_port = host.endswith(f":{server[1]}") or (server[1] == default and ":" not in host)
    if not host or not names_port:
        host = f"{server[0]}:{server[1]}"
    return f"{request.url.scheme}://{host}/dicom-web"
