"""What holds for every request: ids, limits, problems, origins; health, metrics and the site."""

import io
import logging
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from exchange.gateway.app import create_app
from exchange.gateway.context import Exchange
from exchange.gateway.edge import BODY_BYTES_MAX
from exchange.storage.database import DatabaseUnreachable
from tests.support.local_exchange import LocalCorridor, local_exchange, registered, serving

LOGIN = "/api/v1/auth/login"
JSON = {"content-type": "application/json"}


async def ask(client: aiohttp.ClientSession, method: str, path: str, **options: Any) -> tuple[int, Any, Any]:
    async with client.request(method, path, **options) as answer:
        body = await answer.json() if "json" in answer.content_type else await answer.text()
        return answer.status, body, answer.headers


async def test_every_request_has_an_id_and_a_plain_one_of_the_client_is_kept(client: aiohttp.ClientSession) -> None:
    _, problem, headers = await ask(client, "GET", "/api/v1/nothing")
    assert problem["request_id"] == headers["x-request-id"]
    _, problem, headers = await ask(client, "GET", "/api/v1/nothing", headers={"x-request-id": "mine-1"})
    assert problem["request_id"] == headers["x-request-id"] == "mine-1"
    _, problem, headers = await ask(client, "GET", "/api/v1/nothing", headers={"x-request-id": "a b" * 99})
    assert "a b" not in headers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/api/v1/nothing", 404, "NOT_FOUND"),
        ("POST", "/api/v1/nothing", 404, "NOT_FOUND"),
        ("GET", "/api/v2/orders", 404, "NOT_FOUND"),
        ("POST", "/api/v1/balances", 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "/api/v1/markets", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/api/v1/auth/login", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_what_is_not_there_is_a_problem(
    client: aiohttp.ClientSession, method: str, path: str, status: int, reason: str
) -> None:
    found, problem, headers = await ask(client, method, path, headers={"accept": "text/html"})
    assert (found, problem["reason"], problem["status"]) == (status, reason, status)
    assert headers["content-type"] == "application/problem+json"
    assert ("allow" in headers) == (status == 405)


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b"\xff\xfe", b'{"username":', b"NaN"])
async def test_a_body_that_is_no_json_is_malformed(client: aiohttp.ClientSession, body: bytes) -> None:
    status, problem, _ = await ask(client, "POST", LOGIN, data=body, headers=JSON)
    assert status in (400, 422)
    assert problem["reason"] in ("MALFORMED", "FIELD_INVALID")


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"text"'])
async def test_a_body_that_is_no_object_is_malformed(client: aiohttp.ClientSession, body: bytes) -> None:
    status, problem, _ = await ask(client, "POST", LOGIN, data=body, headers=JSON)
    assert (status, problem["reason"]) == (400, "MALFORMED")


async def test_a_body_must_be_json_by_its_header(client: aiohttp.ClientSession) -> None:
    for headers in ({"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}):
        status, problem, _ = await ask(client, "POST", LOGIN, data=b"{}", headers=headers)
        assert (status, problem["reason"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_body_over_the_limit_is_refused_declared_or_streamed(client: aiohttp.ClientSession) -> None:
    def padded(size: int) -> bytes:
        body = b'{"username":"alice","password":""}'
        return body[:-2] + b"x" * (size - len(body)) + body[-2:]

    async def chunks(body: bytes) -> Any:
        for at in range(0, len(body), 10_000):
            yield body[at : at + 10_000]

    status, problem, _ = await ask(client, "POST", LOGIN, data=padded(BODY_BYTES_MAX), headers=JSON)
    assert (status, problem["reason"]) == (401, "CREDENTIALS_INVALID"), "at the limit it is read"
    over = padded(BODY_BYTES_MAX + 1)
    for data in (over, chunks(over), io.BytesIO(padded(5_000_000))):
        status, problem, _ = await ask(client, "POST", LOGIN, data=data, headers=JSON)
        assert (status, problem["reason"]) == (413, "BODY_TOO_LARGE")


async def test_a_crash_is_a_bare_500_that_the_log_explains(
    client: aiohttp.ClientSession, exchange: Exchange, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(market: int, levels: int) -> None:
        raise RuntimeError("the-cause-of-it")

    monkeypatch.setattr(exchange.live, "depth", broken)
    status, problem, headers = await ask(client, "GET", "/api/v1/markets/BTC-USD/depth")
    assert (status, problem["reason"]) == (500, "INTERNAL")
    assert "the-cause-of-it" not in str(problem)
    record = next(record for record in caplog.records if record.message == "request crashed")
    assert record.exc_info
    assert record.__dict__["fields"]["request_id"] == headers["x-request-id"]


async def test_a_database_that_is_away_is_a_503(client: aiohttp.ClientSession, exchange: Exchange) -> None:
    _, headers = await registered(client)
    await exchange.database.engine.dispose()
    object.__setattr__(exchange.database.engine.sync_engine.pool, "_creator", _unreachable)
    status, problem, answer = await ask(client, "GET", "/api/v1/balances", headers=headers)
    assert (status, problem["reason"]) == (503, "UNAVAILABLE")
    assert int(answer["retry-after"]) >= 1
    status, health, _ = await ask(client, "GET", "/api/v1/health")
    assert (status, health["status"], health["parts"]["database"]["status"]) == (503, "down", "down")
    status, _, _ = await ask(client, "GET", "/metrics")
    assert status == 200


def _unreachable(*_: object) -> None:
    raise DatabaseUnreachable("away")


async def test_only_the_configured_origin_may_read_answers(client: aiohttp.ClientSession) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    status, _, headers = await ask(client, "OPTIONS", LOGIN, headers={"origin": "http://localhost:5173", **asked})
    assert (status, headers["access-control-allow-origin"]) == (200, "http://localhost:5173")
    _, _, headers = await ask(client, "GET", "/api/v1/nothing", headers={"origin": "http://localhost:5173"})
    assert headers["access-control-allow-origin"] == "http://localhost:5173"
    for origin in ("http://evil.example", "null", "http://localhost:51730"):
        _, _, headers = await ask(client, "GET", "/api/v1/markets", headers={"origin": origin})
        assert "access-control-allow-origin" not in headers


async def test_health_tells_every_part(client: aiohttp.ClientSession, exchange: Exchange) -> None:
    status, health, _ = await ask(client, "GET", "/api/v1/health")
    assert (status, health["status"], health["role"], health["sequence"]) == (
        200,
        "ok",
        "leader",
        exchange.corridor.sequence,
    )
    assert set(health["parts"]) == {"engine", "journal", "database", "projections", "redis", "streams"}
    assert health["parts"]["redis"]["status"] == "absent"


@pytest.mark.parametrize(
    ("role", "live", "ready", "healthy"),
    [("leader", 200, 200, 200), ("standby", 200, 503, 200), ("starting", 200, 503, 200), ("halted", 200, 503, 503)],
)
async def test_probes_answer_for_every_role(
    client: aiohttp.ClientSession, exchange: Exchange, role: Any, live: int, ready: int, healthy: int
) -> None:
    assert isinstance(exchange.corridor, LocalCorridor)
    exchange.corridor.role = role
    assert (await ask(client, "GET", "/livez"))[0] == live
    assert (await ask(client, "GET", "/readyz"))[0] == ready
    status, health, _ = await ask(client, "GET", "/api/v1/health")
    assert (status, health["role"]) == (healthy, role)


async def test_a_redis_that_is_away_degrades_and_is_visible(database_url: str) -> None:
    async with (
        local_exchange(database_url, REDIS_URL="redis://127.0.0.1:1") as exchange,
        serving(create_app(exchange)) as client,
    ):
        status, health, _ = await ask(client, "GET", "/api/v1/health")
        assert (status, health["status"], health["parts"]["redis"]["status"]) == (200, "degraded", "down")


async def test_the_faucet_is_closed_where_the_settings_say_so(database_url: str) -> None:
    async with local_exchange(database_url, EXCHANGE_FAUCET="off") as exchange, serving(create_app(exchange)) as client:
        _, headers = await registered(client)
        status, problem, _ = await ask(
            client, "POST", "/api/v1/faucet", json={"asset": "USD", "amount": "1"}, headers=headers
        )
        assert (status, problem["reason"]) == (403, "FORBIDDEN")


MONITORED = {
    "http_requests_total": {"method", "route", "status"},
    "http_request_duration_seconds_bucket": {"method", "route", "le"},
    "http_connections_active": set(),
    "exchange_order_processing_seconds_bucket": {"le"},
    "exchange_book_depth_levels": {"symbol", "side"},
    "exchange_matching_seconds_bucket": {"le"},
    "exchange_journal_commit_seconds_bucket": {"le"},
    "exchange_sequence": set(),
    "exchange_projection_lag": {"projection"},
    "exchange_stream_subscribers": set(),
    "database_pool_connections": {"state"},
    "database_query_seconds_bucket": {"le"},
    "database_transactions_total": set(),
    "database_size_bytes": set(),
    "process_cpu_percent": set(),
    "process_resident_memory_bytes": set(),
    "disk_free_bytes": {"path"},
    "network_bytes_total": {"direction"},
}


async def test_the_metrics_have_the_names_and_labels_that_monitoring_asks_for(
    database_url: str, tmp_path: Path
) -> None:
    async with (
        local_exchange(database_url, EXCHANGE_HOME=str(tmp_path)) as exchange,
        serving(create_app(exchange)) as client,
    ):
        await ask(client, "GET", "/api/v1/markets/BTC-USD")
        await ask(client, "GET", "/api/v1/markets/NO-SUCH")
        await ask(client, "GET", "/secret/path/1234.php")
        await exchange.caught_up(exchange.corridor.sequence)
        _, page, headers = await ask(client, "GET", "/metrics")
    assert headers["content-type"].startswith("text/plain")
    samples: dict[str, list[Any]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append(sample)
    for name, labels in MONITORED.items():
        assert set(samples[name][0].labels) == labels, name
    routes = {sample.labels["route"] for sample in samples["http_requests_total"]}
    assert "/api/v1/markets/{symbol}" in routes
    assert "unmatched" in routes
    assert not any("1234" in route or "NO-SUCH" in route for route in routes)
    assert max(sample.value for sample in samples["exchange_sequence"]) == exchange.corridor.sequence
    assert {sample.value for sample in samples["exchange_projection_lag"]} <= {0.0, 1.0, 2.0, 3.0, 4.0, 5.0}
    assert samples["database_size_bytes"][0].value > 1_000_000


@pytest.fixture
def frontend(tmp_path: Path) -> Path:
    files = {
        "index.html": "<!doctype html><title>the application</title>",
        "favicon.svg": "<svg/>",
        "assets/index-1a2b.js": "export {}",
        "swagger-ui/swagger-ui-bundle.js": "var SwaggerUIBundle",
        "swagger-ui/swagger-ui.css": "body {}",
    }
    for name, content in files.items():
        (tmp_path / "dist" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "dist" / name).write_text(content)
    (tmp_path / "secret.txt").write_text("outside")
    (tmp_path / "dist/assets/link.txt").symlink_to(tmp_path / "secret.txt")
    return tmp_path / "dist"


HTML = {"accept": "text/html,application/xhtml+xml"}


async def test_the_site_serves_pages_to_navigations_and_nothing_else(database_url: str, frontend: Path) -> None:
    async with (
        local_exchange(database_url, EXCHANGE_FRONTEND_DIR=str(frontend)) as exchange,
        serving(create_app(exchange)) as client,
    ):
        for path in ("/", "/trade/BTC-USD", "/portfolio"):
            status, page, headers = await ask(client, "GET", path, headers=HTML)
            assert (status, headers["cache-control"]) == (200, "no-cache"), path
            assert "the application" in page
        status, _, headers = await ask(client, "GET", "/assets/index-1a2b.js")
        assert status == 200
        assert "immutable" in headers["cache-control"]
        assert (await ask(client, "GET", "/favicon.svg"))[0] == 200
        missing = (
            "/assets/missing.js", "/assets/", "/api/v1/missing", "/ws/v1/x", "/swagger-ui/missing.js",
                "/api-docs/missing",
            "/metrics/missing", "/missing.js", "/assets/link.txt", "/assets/..%2f..%2fsecret.txt", "/..%2fsecret.txt",
            "/%00", "/swagger-ui/..%2findex.html",
        )  # fmt: skip
        for path in missing:
            status, problem, _ = await ask(client, "GET", path, headers=HTML)
            assert status == 404, path
            assert problem["reason"] == "NOT_FOUND"
        assert (await ask(client, "GET", "/portfolio", headers={"accept": "application/json"}))[0] == 404
        assert (await ask(client, "POST", "/portfolio", headers=HTML))[0] == 404


async def test_swagger_ui_is_served_from_our_own_files_without_inline_script(database_url: str, frontend: Path) -> None:
    async with (
        local_exchange(database_url, EXCHANGE_FRONTEND_DIR=str(frontend)) as exchange,
        serving(create_app(exchange)) as client,
    ):
        for path in ("/swagger-ui", "/swagger-ui/"):
            _, page, _ = await ask(client, "GET", path)
            assert "//" not in page, "nothing comes from elsewhere"
            assert "<script>" not in page
            assert "/swagger-ui/initializer.js" in page
        for name in ("initializer.js", "swagger-ui-bundle.js", "swagger-ui.css"):
            assert (await ask(client, "GET", f"/swagger-ui/{name}"))[0] == 200
        status, document, _ = await ask(client, "GET", "/api-docs/openapi.json")
        assert status == 200
        assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


async def test_without_a_built_frontend_the_site_says_how_to_build_it(client: aiohttp.ClientSession) -> None:
    for path in ("/", "/swagger-ui"):
        status, page, _ = await ask(client, "GET", path, headers=HTML)
        assert status == 200
        assert "npm run build" in page


async def test_a_refused_request_is_in_the_log_as_unauthorized_or_forbidden(
    client: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "exchange.auth"):
        await ask(client, "GET", "/api/v1/balances")
    assert "auth unauthorized" in caplog.messages
