"""The dead-man timer of an account: its orders end when nobody says in time that somebody is still there.

The engine keeps one deadline an account, in the journal, so that it survives whatever happens to this process. Two may
want one: the trader (``cancel-after``), and the exchange for connections that cancel on disconnect, in case it dies
itself. The engine gets the earlier of both. Whose a deadline is, it tells itself: a trader's is in whole milliseconds,
a lease for connections is one nanosecond past one.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

import msgspec
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope

from exchange.contracts import commands
from exchange.contracts.events import find_refusal
from exchange.contracts.orders import timestamp_text
from exchange.contracts.refusals import EdgeReason, Refused, refuse
from exchange.gateway.context import Exchange
from exchange.gateway.json_endpoint import Answer, Endpoint, decode, read_body, read_json_body
from exchange.gateway.order_limits import check_command
from exchange.gateway.principal import Principal

TIMER_PATH = "/api/v1/orders/cancel-after"
TIMEOUT_MS_MIN, TIMEOUT_MS_MAX = 1_000, 24 * 60 * 60 * 1_000
LEASE_S = 30.0  # how long orders outlive this process, where a connection was to end them
RENEW_EVERY_S = 10.0  # one command an account that has such connections
_MILLISECOND_NS = 1_000_000
_LEASE_MARK_NS = 1

logger = logging.getLogger("exchange.gateway")


class TimerRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of PUT /api/v1/orders/cancel-after, not yet checked."""

    timeout_ms: object = None


_decoder = msgspec.json.Decoder(TimerRequest)


class DeadMan:
    """Serves the timer, and keeps it for connections."""

    def __init__(self, exchange: Exchange, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._exchange = exchange
        self._clock_ns = clock_ns
        self._watched: Counter[int] = Counter()  # connections that cancel on disconnect, by account
        self._later: dict[int, int] = {}  # the trader's deadline, where that of a lease is earlier
        self._owed: dict[int, int] = {}  # until when the orders of a connection may be live that could not be cancelled
        self._turns: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()  # whose deadline is being changed
        self._renewing: asyncio.Task[None] | None = None

    def routes(self) -> list[BaseRoute]:
        """The routes, to be put before FastAPI's own."""
        return [
            Route(TIMER_PATH, Endpoint(self._put), methods=["PUT"]),
            Route(TIMER_PATH, Endpoint(self._get), methods=["GET"]),
        ]

    async def _put(self, scope: Scope, receive: Receive) -> Answer:
        body = await read_json_body(scope, receive)
        principal = self._exchange.access.admit(scope, body, "cancel", "cancels")
        request = decode(_decoder, body, "timer", TimerRequest.__struct_fields__)
        return await self.set_timer(principal, request.timeout_ms)

    async def _get(self, scope: Scope, receive: Receive) -> Answer:
        principal = self._exchange.access.admit(scope, await read_body(receive), "read")
        return 200, self.state(principal.account)

    async def set_timer(self, principal: Principal, timeout_ms: object) -> Answer:
        """Set, put off or (0) turn off the trader's timer. Raises Refused."""
        if type(timeout_ms) is not int or not (timeout_ms == 0 or TIMEOUT_MS_MIN <= timeout_ms <= TIMEOUT_MS_MAX):
            limit = f"0, or {TIMEOUT_MS_MIN} to {TIMEOUT_MS_MAX}"
            detail = f"timeout_ms must be {limit}, a whole number: 0 turns the timer off"
            raise refuse(EdgeReason.FIELD_INVALID, detail, field="timeout_ms", limit=limit)
        check_command(principal, commands.cancel_after(principal.account, 0), self._exchange)
        due_ns = -(-self._clock_ns() // _MILLISECOND_NS) * _MILLISECOND_NS + timeout_ms * _MILLISECOND_NS
        await self._change(principal.account, lambda: due_ns if timeout_ms else 0)
        return 200, self.state(principal.account)

    def state(self, account: int) -> dict[str, Any]:
        """When the trader's timer fires, and whether connections are watched for the account."""
        due_ns = self._traders(account)
        now_ns = self._clock_ns()
        return {
            "cancel_at": timestamp_text(due_ns) if due_ns else None,
            "remaining_ms": max(due_ns - now_ns, 0) // _MILLISECOND_NS if due_ns else None,
            "cancel_on_disconnect": self._watched[account] > 0,
        }

    # For connections

    async def watch(self, account: int) -> None:
        """One more connection of the account cancels on disconnect: from now on the orders do not outlive this process.

        Raises Refused where that cannot be made durable; nothing is watched then.
        """
        self._watched[account] += 1
        try:
            await self._change(account)
        except BaseException:
            self._forget(account)
            raise
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew(), name="dead-man timers")

    async def release(self, account: int) -> None:
        """One connection less, whose orders have ended."""
        self._forget(account)
        await self._change(account, settled=True)

    def abandon(self, account: int) -> None:
        """One connection less, whose orders may be live: the lease that was made for it passes."""
        self._forget(account)
        self._owed[account] = self._new_lease()

    def _forget(self, account: int) -> None:
        self._watched[account] -= 1
        if not self._watched[account]:
            del self._watched[account]

    async def close(self) -> None:
        """Renew nothing any more."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            renewals = [self._change(account) for account in self._watched]
            results = await asyncio.gather(*renewals, return_exceptions=True)
            failed = [result for result in results if isinstance(result, Exception)]
            if failed:  # an exchange that takes no commands: where it lasts, the deadlines pass, which is their purpose
                logger.warning("%d of %d dead-man timers not renewed: %s", len(failed), len(results), failed[0])

    # The deadline

    def _traders(self, account: int) -> int:
        """The trader's deadline; 0 for none."""
        due_ns = self._later.get(account) or self._exchange.corridor.cancel_after(account)
        return due_ns if due_ns > self._clock_ns() and due_ns % _MILLISECOND_NS == 0 else 0

    def _lease(self, account: int, settled: bool) -> int:
        """The deadline that connections need: a new one while there are any, else one that somebody left behind."""
        now_ns = self._clock_ns()
        if self._watched[account]:
            return self._new_lease()
        if self._owed.get(account, 0) > now_ns:
            return self._owed[account]
        self._owed.pop(account, None)
        left_ns = 0 if settled else self._exchange.corridor.cancel_after(account)  # by a process that has died
        return left_ns if left_ns > now_ns and left_ns % _MILLISECOND_NS else 0

    def _new_lease(self) -> int:
        return self._clock_ns() // _MILLISECOND_NS * _MILLISECOND_NS + int(LEASE_S * 1e9) + _LEASE_MARK_NS

    async def _change(self, account: int, trader: Callable[[], int] | None = None, *, settled: bool = False) -> None:
        """Give the engine the earlier of the trader's deadline, new where ``trader`` gives one, and the connections'.

        ``settled``: a lease that is not renewed has done its duty.
        Raises Refused as the corridor does, or EXPIRE_TIME_INVALID where the deadline passed on the way.
        """
        turn = self._turns.get(account)
        if turn is None:
            turn = self._turns[account] = asyncio.Lock()
        async with turn:
            traders = self._traders(account) if trader is None else trader()
            lease = self._lease(account, settled)
            due_ns = min(filter(None, (traders, lease)), default=0)
            if due_ns != self._exchange.corridor.cancel_after(account):
                entry = await self._exchange.corridor.submit(commands.cancel_after(account, due_ns))
                refusal = find_refusal(entry.events)
                if refusal is not None:
                    raise Refused(refusal)
            self._later.pop(account, None)
            if traders > due_ns:
                self._later[account] = traders
