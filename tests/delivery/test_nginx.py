"""The frontend's nginx, run for real: pages, assets, refusals, headers, and the way to the API."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from exchange.gateway.edge import SECURITY_HEADERS
from tests.delivery.manifests import REPOSITORY, Tool

NGINX = REPOSITORY / "docker/nginx"
PAGE = "<!doctype html><title>Exchange</title>"
SCRIPT = "console.log('exchange')"


class Api(BaseHTTPRequestHandler):
    """Answers like an API: what it was asked as JSON, 404 for /api/v1/missing, 101 for a WebSocket."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers.get("Upgrade") == "websocket":
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            self.close_connection = True
            return
        body = json.dumps({"path": self.path, "headers": dict(self.headers)}).encode()
        self.send_response(404 if self.path == "/api/v1/missing" else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the test's output quiet."""


@pytest.fixture(scope="module")
def api_port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def replaced(text: str, replacements: dict[str, str]) -> str:
    """`text` with each key, which must be there exactly once, replaced."""
    for old, new in replacements.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def nginx_port(tool: Tool, api_port: int) -> Iterator[int]:
    """nginx with the shipped configuration: only addresses and directories are this test's own."""
    # Not pytest's tmp_path: nginx' unprivileged workers must be able to read it.
    directory = Path(tempfile.mkdtemp(prefix="exchange-nginx-"))
    directory.chmod(0o755)
    (directory / "html/assets").mkdir(parents=True)
    (directory / "html/index.html").write_text(PAGE)
    (directory / "html/assets/app-1a2b3c.js").write_text(SCRIPT)
    shutil.copy(NGINX / "security-headers.conf", directory)
    port = free_port()
    text = (
        (NGINX / "nginx.conf")
        .read_text()
        .replace("/etc/nginx/security-headers.conf", f"{directory}/security-headers.conf")
    )
    text = text.replace("_temp_path /tmp/", f"_temp_path {directory}/")
    configuration = directory / "nginx.conf"
    configuration.write_text(
        replaced(
            text,
            {
                "server exchange-api:8080;": f"server 127.0.0.1:{api_port};",
                "listen 8080;": f"listen 127.0.0.1:{port};",
                "root /usr/share/nginx/html;": f"root {directory}/html;",
                "pid /tmp/nginx.pid;": f"pid {directory}/nginx.pid;",
            },
        )
    )
    command = [tool("nginx"), "-e", "/dev/stderr", "-c", str(configuration)]
    check = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stderr
    process = subprocess.Popen([*command, "-g", "daemon off;"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_listening(port)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=10)
        shutil.rmtree(directory)


def wait_until_listening(port: int, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("nginx did not start listening")


def get(port: int, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], str]:
    """(status, headers by lower-case name, body) of one GET."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        body = "" if answer.status == 101 else answer.read().decode()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/", "/trade/BTC-USD", "/portfolio?tab=fills", "/surveillance", "/apiary"])
def test_every_page_of_the_application_is_its_html_and_never_cached(nginx_port: int, path: str) -> None:
    status, headers, body = get(nginx_port, path)
    assert (status, body) == (200, PAGE)
    assert headers["content-type"] == "text/html"
    assert headers["cache-control"] == "no-cache"


def test_a_hashed_asset_is_cached_for_good(nginx_port: int) -> None:
    status, headers, body = get(nginx_port, "/assets/app-1a2b3c.js")
    assert (status, body) == (200, SCRIPT)
    assert "javascript" in headers["content-type"]
    assert "immutable" in headers["cache-control"]


@pytest.mark.parametrize("path", ["/assets/missing.js", "/assets/deep/missing", "/favicon.ico", "/missing.css"])
def test_a_missing_file_is_not_found_instead_of_the_page(nginx_port: int, path: str) -> None:
    status, headers, body = get(nginx_port, path)
    assert status == 404
    assert PAGE not in body
    assert "immutable" not in headers.get("cache-control", "")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/health",
        "/api/v1/orders?limit=5",
        "/api",
        "/swagger-ui",
        "/swagger-ui/index.css",
        "/api-docs/openapi.json",
    ],
)
def test_api_paths_reach_the_api_unchanged(nginx_port: int, path: str) -> None:
    status, headers, body = get(nginx_port, path, {"X-Forwarded-For": "203.0.113.7"})
    assert status == 200
    asked = json.loads(body)
    assert asked["path"] == path
    assert asked["headers"]["Host"] == f"127.0.0.1:{nginx_port}"
    assert asked["headers"]["X-Forwarded-For"] == "203.0.113.7, 127.0.0.1"
    assert "content-security-policy" not in headers, "the API sets its own"


def test_the_apis_own_not_found_comes_through(nginx_port: int) -> None:
    status, headers, body = get(nginx_port, "/api/v1/missing")
    assert status == 404
    assert headers["content-type"] == "application/json"
    assert PAGE not in body


def test_a_websocket_is_handed_on(nginx_port: int) -> None:
    status, headers, _ = get(nginx_port, "/ws/v1", {"Connection": "Upgrade", "Upgrade": "websocket"})
    assert status == 101
    assert headers["upgrade"] == "websocket"


@pytest.mark.parametrize("path", ["/metrics", "/livez", "/readyz"])
def test_what_is_for_the_cluster_is_not_handed_out(nginx_port: int, path: str) -> None:
    assert get(nginx_port, path)[2] == PAGE


@pytest.mark.parametrize("path", ["/", "/assets/app-1a2b3c.js", "/assets/missing.js"])
def test_security_headers_are_on_every_static_answer(nginx_port: int, path: str) -> None:
    _, headers, _ = get(nginx_port, path)
    for name, value in SECURITY_HEADERS:
        assert headers[name.decode()] == value.decode(), "the same page must not behave differently behind nginx"
    assert headers["strict-transport-security"] == "max-age=31536000"
    assert headers["server"] == "nginx", "no version"


def test_the_health_of_nginx_itself_needs_no_api(nginx_port: int) -> None:
    assert get(nginx_port, "/healthz")[0] == 200
