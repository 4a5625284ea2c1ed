"""What request handlers ask for: the exchange, its queries, and who is asking."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from exchange.gateway.context import Exchange
from exchange.gateway.tokens import bearer_token
from exchange.storage.queries import Queries

# Declares the scheme in the OpenAPI document; who is refused, and how, is decided below.
_bearer = HTTPBearer(scheme_name="bearer", bearerFormat="JWT", auto_error=False)


async def current_exchange(request: Request) -> Exchange:
    exchange: Exchange = request.app.state.exchange
    return exchange


async def current_queries(request: Request) -> Queries:
    queries: Queries = request.app.state.queries
    return queries


async def signed_in_account(request: Request, _: Annotated[object, Depends(_bearer)]) -> int:
    """Return the account of the access token. Raises Refused UNAUTHENTICATED or TOKEN_EXPIRED."""
    exchange: Exchange = request.app.state.exchange
    return exchange.tokens.verify(bearer_token(request.headers.get("authorization")))


CurrentExchange = Annotated[Exchange, Depends(current_exchange)]
CurrentQueries = Annotated[Queries, Depends(current_queries)]
SignedIn = Annotated[int, Depends(signed_in_account)]
