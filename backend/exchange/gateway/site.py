"""The built frontend and Swagger UI, served from our own files: no content network, no inline script."""

from pathlib import Path

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

router = APIRouter(include_in_schema=False)

#: Below these there are files and answers, never a page of the application.
NOT_PAGES = ("api", "ws", "assets", "swagger-ui", "api-docs", "metrics", "livez", "readyz")
SWAGGER_FILES = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png", "favicon-16x16.png")
HASHED_FILE = "public, max-age=31536000, immutable"
REVALIDATED = "no-cache"

SWAGGER_PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Exchange API</title>
  <link rel="icon" href="/swagger-ui/favicon-32x32.png">
  <link rel="stylesheet" href="/swagger-ui/swagger-ui.css">
</head>
<body>
  <div id="swagger-ui"></div>
  <script src="/swagger-ui/swagger-ui-bundle.js"></script>
  <script src="/swagger-ui/initializer.js"></script>
</body>
</html>
"""

SWAGGER_INITIALIZER = """window.ui = SwaggerUIBundle({
  url: "/api-docs/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: false,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  filter: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
"""

NOT_BUILT_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Exchange</title></head>
<body>
  <h1>The exchange is running</h1>
  <p>Its frontend is not built yet. Build it with</p>
  <pre>cd frontend &amp;&amp; npm ci &amp;&amp; npm run build</pre>
  <p>and reload this page, or set <code>EXCHANGE_FRONTEND_DIR</code> to a built one.
  The API works: see <a href="/api/v1/health">/api/v1/health</a> and
  <a href="/api-docs/openapi.json">/api-docs/openapi.json</a>.</p>
</body>
</html>
"""


@router.get("/swagger-ui")
@router.get("/swagger-ui/")
async def swagger_page(request: Request) -> Response:
    """Swagger UI, whose Authorize takes an access token."""
    if _file(_frontend(request) / "swagger-ui", "swagger-ui-bundle.js") is None:
        return _page(NOT_BUILT_PAGE)
    return _page(SWAGGER_PAGE)


@router.get("/swagger-ui/initializer.js")
async def swagger_initializer() -> Response:
    return Response(SWAGGER_INITIALIZER, media_type="text/javascript", headers={"cache-control": REVALIDATED})


@router.get("/swagger-ui/{name}")
async def swagger_file(request: Request, name: str) -> Response:
    found = _file(_frontend(request) / "swagger-ui", name) if name in SWAGGER_FILES else None
    if found is None:
        raise HTTPException(404)
    return FileResponse(found, headers={"cache-control": REVALIDATED})


@router.api_route("/assets/{path:path}", methods=["GET", "HEAD"])
async def asset(request: Request, path: str) -> Response:
    """A file whose name changes with its content; a missing one is missing, never the page."""
    found = _file(_frontend(request) / "assets", path)
    if found is None:
        raise HTTPException(404)
    return FileResponse(found, headers={"cache-control": HASHED_FILE})


class Site:
    """What answers where no route does: the frontend's pages and root files; ``not_found`` for everything else."""

    def __init__(self, frontend: Path, not_found: ASGIApp) -> None:
        self._frontend = frontend
        self._not_found = not_found

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._answer(Request(scope)) if scope["type"] == "http" else None
        await (response or self._not_found)(scope, receive, send)

    def _answer(self, request: Request) -> Response | None:
        path = request.url.path.lstrip("/")
        if request.method not in ("GET", "HEAD") or path.partition("/")[0] in NOT_PAGES:
            return None
        found = _file(self._frontend, path)
        if found is not None and found.name != "index.html":
            return FileResponse(found, headers={"cache-control": REVALIDATED})
        if path and not _is_navigation(request, path):
            return None
        index = _file(self._frontend, "index.html")
        if index is None:
            return _page(NOT_BUILT_PAGE)
        return FileResponse(index, headers={"cache-control": REVALIDATED})


def _is_navigation(request: Request, path: str) -> bool:
    """A browser that goes to an address asks for HTML, and the application's addresses have no file's ending."""
    accepts_page = "text/html" in request.headers.get("accept", "")
    return accepts_page and path.isprintable() and "." not in path.rpartition("/")[2]


def _frontend(request: Request) -> Path:
    directory: Path = request.app.state.exchange.settings.frontend_dir
    return directory


def _file(directory: Path, path: str) -> Path | None:
    """Return the file at a path below a directory; None for what is missing or lies outside."""
    if not path or "\0" in path:
        return None
    root = directory.resolve()
    file = (root / path).resolve()
    return file if file.is_relative_to(root) and file.is_file() else None


def _page(html: str) -> Response:
    return HTMLResponse(html, headers={"cache-control": REVALIDATED})
