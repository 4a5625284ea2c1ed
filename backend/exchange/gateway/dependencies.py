"""What request handlers ask for: the exchange, its queries, and who is asking."""

from collections.abc import Iterable, Iterator
from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.routing import BaseRoute

from exchange.gateway.access import Access
from exchange.gateway.context import Exchange
from exchange.gateway.principal import Permission, Principal
from exchange.gateway.rate_limits import BudgetName
from exchange.storage.queries import Queries

# Declares the scheme in the OpenAPI document (which adds that of keys); who is refused, and how, is decided by Access.
_bearer = HTTPBearer(scheme_name="bearer", bearerFormat="JWT", auto_error=False)


async def current_exchange(request: Request) -> Exchange:
    exchange: Exchange = request.app.state.exchange
    return exchange


async def current_queries(request: Request) -> Queries:
    queries: Queries = request.app.state.queries
    return queries


class Asks:
    """A dependency that gives the Principal of a request, once it is allowed and paid for.

    ``permission``: None for everybody with an account; ``weight``: of the budget. Raises Refused as ``Access.admit``.
    """

    def __init__(self, permission: Permission | None, *, budget: BudgetName = "requests", weight: int = 1) -> None:
        self.permission = permission
        self.budget = budget
        self.weight = weight

    async def __call__(self, request: Request, _: Annotated[object, Depends(_bearer)]) -> Principal:
        access: Access = request.app.state.exchange.access
        body = await request.body()
        return access.admit(request.scope, body, self.permission, self.budget, self.weight)


def asked_of(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str, Permission | None]]:
    """Yield (path, method in lower case, permission) of every documented route that asks who it is."""
    for route in routes:
        if not isinstance(route, APIRoute) or not route.include_in_schema:
            continue
        for asks in _asks(route.dependant):
            for method in route.methods or ():
                yield route.path_format, method.lower(), asks.permission


def _asks(dependant: Dependant) -> Iterator[Asks]:
    if isinstance(dependant.call, Asks):
        yield dependant.call
    for needed in dependant.dependencies:
        yield from _asks(needed)


async def reading_account(principal: Annotated[Principal, Depends(Asks("read"))]) -> int:
    return principal.account


async def min_sequence_reached(
    request: Request,
    min_sequence: Annotated[
        int | None, Query(ge=0, le=2**63 - 1, description="Answer only with what includes this entry; waits a second")
    ] = None,
) -> None:
    """Wait until reads include what is asked for. Raises Refused UNAVAILABLE, which tells how far they are."""
    if min_sequence:
        exchange: Exchange = request.app.state.exchange
        await exchange.reached(min_sequence)


CurrentExchange = Annotated[Exchange, Depends(current_exchange)]
CurrentQueries = Annotated[Queries, Depends(current_queries)]
#: The account of who may read.
SignedIn = Annotated[int, Depends(reading_account)]
#: For routes that read the tables. Who asks is known before anybody waits.
FRESH = [Depends(min_sequence_reached)]
FRESH_OWN = [Depends(reading_account), *FRESH]
Fresh = Annotated[None, Depends(min_sequence_reached)]
