"""What `exchange admin` says to a running exchange, and how it shows the answer."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import click

TIMEOUT_S = 30


class Answered(click.ClickException):
    """The exchange refused, in its own words."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        nearest = f" (nearest valid: {problem['nearest']})" if problem.get("nearest") else ""
        super().__init__(f"{problem['reason']}: {problem['detail']}{nearest}")
        self.reason = problem["reason"]


@dataclass
class AdminClient:
    """Asks as an admin: with a token, else by logging in for the time of one command."""

    url: str
    token: str | None
    username: str | None
    as_json: bool

    def call(self, method: str, path: str, body: Any = None, query: Mapping[str, Any] | None = None) -> Any:
        """Return the answer to one request under /api/v1/admin. Raises Answered, ClickException."""

        async def run() -> Any:
            async with self._session() as http:
                if self.token is not None:
                    return await self._ask(http, self.token, method, f"/api/v1/admin{path}", body, query)
                session = await self._log_in(http)
                try:
                    return await self._ask(http, session["access_token"], method, f"/api/v1/admin{path}", body, query)
                finally:
                    refresh = {"refresh_token": session["refresh_token"]}
                    await self._ask(http, None, "POST", "/api/v1/auth/logout", refresh)

        return self._run(run())

    def log_in(self) -> str:
        """Return an access token."""

        async def run() -> Any:
            async with self._session() as http:
                return (await self._log_in(http))["access_token"]

        return str(self._run(run()))

    def show(self, answer: Any, columns: Sequence[str]) -> None:
        """Print an answer: as JSON, or its items as a table."""
        if self.as_json:
            click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
            return
        click.echo(table(answer.get("items", [answer]), columns))
        if answer.get("next_cursor"):
            click.echo(f"more: --cursor {answer['next_cursor']}", err=True)

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(self.url, timeout=aiohttp.ClientTimeout(TIMEOUT_S))

    def _run(self, asking: Any) -> Any:
        try:
            return asyncio.run(asking)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise click.ClickException(f"no answer from {self.url}: {error or 'it took too long'}") from error

    async def _log_in(self, http: aiohttp.ClientSession) -> Any:
        name = self.username or click.prompt("Username", err=True)
        body = {"username": name, "password": click.prompt(f"Password of {name}", hide_input=True, err=True)}
        try:
            return await self._ask(http, None, "POST", "/api/v1/auth/login", body)
        except Answered as answered:
            if answered.reason != "SECOND_FACTOR_REQUIRED":
                raise
        code = click.prompt("Code of the second factor", err=True)
        return await self._ask(http, None, "POST", "/api/v1/auth/login", body | {"code": code})

    async def _ask(
        self,
        http: aiohttp.ClientSession,
        token: str | None,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
    ) -> Any:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        async with http.request(method, path, json=body, params=given, headers=headers) as answer:
            if answer.status == 204:
                return None
            if "json" not in answer.content_type:
                raise click.ClickException(f"{self.url} is no exchange: it answered {answer.status}")
            content = await answer.json()
        if answer.status >= 400:
            raise Answered(content)
        return content


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return rows as text, a line each under its heading."""
    cells = [[column.upper() for column in columns], *([_cell(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[number]) for line in cells) for number in range(len(columns))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
