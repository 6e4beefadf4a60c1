"""The viewer in a browser: files of a folder, and its page for every address below it."""

from types import MappingProxyType

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from app.dicom.uid import is_uid
from app.errors import BadQuery, NotFound
from app.web.state import State

BASE = "/viewer"
INVOKED = f"{BASE}/IHEInvokeImageDisplay"
PAGE = "index.html"
POLICY = MappingProxyType(
    {
        "default-src": "'self'",
        "script-src": "'self' 'unsafe-inline' 'unsafe-eval' blob:",  # codecs are compiled as they come
        "worker-src": "'self' blob:",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' blob: data:",
        "media-src": "'self' blob:",
        "font-src": "'self' data:",
        "connect-src": "'self' blob: data:",
        "object-src": "'self' blob:",
        "frame-src": "'self' blob:",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'self'",
    }
)
HEADERS = MappingProxyType(
    {
        "Content-Security-Policy": "; ".join(" ".join(each) for each in POLICY.items()),
        # A page of its own group, whose parts all come from here: what a browser asks for before it shares
        # memory between the threads that decode images.
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-cache",  # asked about each time, answered with 304
        "Referrer-Policy": "no-referrer",  # the address names a study
    }
)
# where the tables of a machine differ, and a browser does not forgive
TYPES = MappingProxyType(
    {
        ".css": "text/css",
        ".html": "text/html",
        ".js": "text/javascript",
        ".json": "application/json",
        ".svg": "image/svg+xml",
        ".wasm": "application/wasm",
        ".woff2": "font/woff2",
    }
)


async def viewer_file(request: Request[State]) -> Response:
    """Serve a file of the viewer, or its page."""
    path = str(request.path_params.get("path", ""))
    folder = request.state["settings"].viewer
    if folder is None:
        raise NotFound("No viewer is served here.")
    files = StaticFiles(directory=folder, check_dir=False)
    try:
        answer = await files.get_response(path or PAGE, request.scope)
    except HTTPException as error:
        # an address that the viewer made up itself, such as /viewer/viewer?StudyInstanceUIDs=…
        if error.status_code != NotFound.status or "." in path.rpartition("/")[2]:
            raise
        path = PAGE
        answer = await files.get_response(path, request.scope)
    return _marked(answer, path or PAGE)


async def viewer_home(_: Request[State]) -> Response:
    """Show the way to the viewer."""
    return RedirectResponse(f"{BASE}/")


async def invoke_image_display(request: Request[State]) -> Response:
    """Show studies in the viewer (IHE RAD-106, Invoke Image Display)."""
    asked = request.query_params
    if asked.get("requestType") != "STUDY":
        raise BadQuery("requestType has to be STUDY: this viewer is asked for studies.")
    uids = [uid.strip() for uid in asked.get("studyUID", "").split(",")]
    if not all(map(is_uid, uids)):
        raise BadQuery("studyUID has to be one Study Instance UID, or several with commas between.")
    return RedirectResponse(f"{BASE}/viewer?StudyInstanceUIDs={','.join(uids)}", status_code=302)


def _marked(answer: Response, path: str) -> Response:
    name = path.rpartition("/")[2]
    kind = TYPES.get(name[name.rfind(".") :])
    if kind is not None and "content-type" in answer.headers:
        answer.headers["Content-Type"] = kind
    answer.headers.update(HEADERS)
    return answer
