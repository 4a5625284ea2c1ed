"""A withdrawal leaves once or comes back once, wherever on its way the process that takes its steps is killed."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text, update

from engine.records import Reason
from exchange.contracts.refusals import EdgeReason, Refused
from exchange.contracts.units import Asset
from exchange.gateway.context import Exchange
from exchange.storage.tables import users
from exchange.storage.withdrawals import OPEN_MAX, Withdrawal, WithdrawalState, WithdrawalTable
from exchange.treasury.custody import CustodyUnavailable, Payout, PayoutStatus
from exchange.treasury.sandbox import Sandbox
from exchange.treasury.transfers import Transfers
from exchange.treasury.withdrawals import Withdrawals
from tests.support.local_exchange import local_exchange

HOUR_NS = 3600 * 10**9
FUNDS = 1_000  # USD
DEADLY = 0.15


class Killed(BaseException):
    """The process is gone: nobody cleans up."""


class Bank:
    """A custody that remembers, as an outside does, whatever happens to the exchange. Its ends are for ever."""

    name = "bank"
    credits_on_request = False

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.ends: dict[str, str] = {}
        self.paid: dict[str, int] = {}
        self.told: dict[str, set[int]] = {}

    def deposit_address(self, account: int, asset: Asset) -> str:
        return f"{asset.name}-{account}"

    def check_destination(self, asset: Asset, destination: str) -> None:
        """Anything goes."""

    async def send(self, payout: Payout) -> PayoutStatus:
        self.told.setdefault(payout.key, set()).add(payout.amount)
        if self._rng.random() < 0.2:
            raise CustodyUnavailable("closed")
        if payout.key not in self.ends:
            self.ends[payout.key] = self._rng.choice(["completed", "refused", "refused later"])
            if self.ends[payout.key] == "completed":
                self.paid[payout.key] = payout.amount
        return self._status(payout, self._rng.random() < 0.5)

    async def status(self, payout: Payout) -> PayoutStatus:
        if self._rng.random() < 0.2:
            raise CustodyUnavailable("closed")
        return self._status(payout, self._rng.random() < 0.3)

    def _status(self, payout: Payout, is_early: bool) -> PayoutStatus:
        end = self.ends[payout.key]
        if end == "refused":
            return PayoutStatus("refused", detail="no")
        if is_early:
            return PayoutStatus("sent", payout.key)
        return PayoutStatus("completed" if end == "completed" else "refused", payout.key, None)


class Mortal:
    """What is called through it, the caller may not survive: killed before the call has an effect, or after."""

    def __init__(self, behind: Any, rng: random.Random) -> None:
        self._behind, self._rng = behind, rng

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._behind, name)
        if name in ("name", "credits_on_request", "check_destination"):
            return method
        return self._call(method)

    def _call(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **named: Any) -> Any:
            if self._rng.random() < DEADLY:
                raise Killed
            result = await method(*args, **named)
            if self._rng.random() < DEADLY:
                raise Killed
            return result

        return call


@pytest.fixture
async def exchange(database_url: str) -> AsyncIterator[Exchange]:
    async with local_exchange(database_url) as running:
        yield running


@pytest.fixture
async def alice(exchange: Exchange) -> int:
    return await funded(exchange, "alice")


async def funded(exchange: Exchange, name: str) -> int:
    async with exchange.database.engine.begin() as connection:
        query = "INSERT INTO users (username, password_hash, created_ns) VALUES (:name, 'x', 0) RETURNING account_id"
        account = int((await connection.execute(text(query), {"name": name})).scalar_one())
    usd = exchange.catalogue.asset("USD")
    await exchange.corridor.deposit(account, usd.number, usd.to_units(str(FUNDS), "amount"))  # type: ignore[attr-defined]
    return account


def available(exchange: Exchange, account: int) -> str:
    usd = exchange.catalogue.asset("USD")
    return usd.to_text(exchange.corridor.balance(account, usd.number)[0])


async def all_withdrawals(exchange: Exchange) -> list[Any]:
    async with exchange.database.engine.connect() as connection:
        return list(await connection.execute(text("SELECT * FROM withdrawals ORDER BY withdrawal_id")))


@dataclass
class Clock:
    """Time as the test has it."""

    now_ns: int = 10**18

    def __call__(self) -> int:
        return self.now_ns


def mortal(exchange: Exchange, custody: Any, clock: Clock, rng: random.Random) -> Withdrawals:
    """Withdrawals in a process that may be killed before and after anything that it does."""
    table, transfers = WithdrawalTable(exchange.database.engine, 1), Transfers(exchange.corridor)
    parts: list[Any] = [Mortal(part, rng) for part in (table, transfers)]
    return Withdrawals(*parts, custody, exchange.catalogue, clock)


def immortal(exchange: Exchange, custody: Any, clock: Clock) -> Withdrawals:
    table, transfers = WithdrawalTable(exchange.database.engine, 1), Transfers(exchange.corridor)
    return Withdrawals(table, transfers, custody, exchange.catalogue, clock)


@pytest.mark.parametrize("seed", range(5))
async def test_killed_anywhere_every_withdrawal_ends_once(exchange: Exchange, seed: int) -> None:
    rng, clock = random.Random(seed), Clock()
    bank = Bank(rng)
    dying: Any = Mortal(bank, rng)
    accounts = [await funded(exchange, name) for name in ("alice", "bob")]
    usd = exchange.catalogue.asset("USD")
    asked: dict[tuple[int, str], int] = {}
    refusals = []
    for number in range(45):
        clock.now_ns += HOUR_NS
        if number < 25:
            account, reference = rng.choice(accounts), f"r-{rng.randrange(20)}"
            amount = asked.setdefault((account, reference), rng.randint(10, 150))
            with suppress(Killed):
                try:
                    await mortal(exchange, bank, clock, rng).request(account, usd, str(amount), "home", reference)
                except Refused as refused:
                    refusals.append(refused.refusal.reason)
        with suppress(Killed):
            await mortal(exchange, bank, clock, rng).advance(dying)
    while [row for row in await all_withdrawals(exchange) if row.state not in ("completed", "refused")]:
        clock.now_ns += HOUR_NS
        await immortal(exchange, bank, clock).advance(bank)
    assert set(refusals) <= {Reason.INSUFFICIENT_FUNDS}
    await check_money(exchange, bank, accounts, asked)


async def check_money(exchange: Exchange, bank: Bank, accounts: list[int], asked: dict[tuple[int, str], int]) -> None:
    """What the bank paid is what the ledger lost; what it refused is back; each once."""
    usd = exchange.catalogue.asset("USD")
    rows = await all_withdrawals(exchange)
    assert len({(row.account_id, row.reference) for row in rows}) == len(rows)
    paid = dict.fromkeys(accounts, 0)
    for row in rows:
        key = f"withdrawal-{row.withdrawal_id}"
        assert usd.to_text(row.amount) == str(asked[row.account_id, row.reference])
        assert bank.told[key] == {row.amount}, "the same payout each time"
        assert (row.state == "completed") == (key in bank.paid)
        if row.state == "completed":
            paid[row.account_id] += row.amount
    assert len(bank.paid) == sum(row.state == "completed" for row in rows), "nobody was paid whom nobody knows"
    await exchange.caught_up(exchange.corridor.sequence)
    async with exchange.database.engine.connect() as connection:
        query = "SELECT reference, kind FROM transfers WHERE reference IS NOT NULL AND reason = 0 ORDER BY 1"
        made = [tuple(row) for row in await connection.execute(text(query))]
    refunded = [row for row in rows if row.state == "refused"]
    expected = [(f"wd:{row.withdrawal_id}", 2) for row in rows]
    expected += [(f"wr:{row.withdrawal_id}", 1) for row in refunded]
    assert made == sorted(expected)
    assert refunded and len(refunded) < len(rows), "this seed saw both ends"
    for account in accounts:
        left = usd.to_units(str(FUNDS), "amount") - paid[account]
        assert exchange.corridor.balance(account, usd.number) == (left, 0)


async def test_the_sandbox_tries_every_case(exchange: Exchange, alice: int) -> None:
    usd = exchange.catalogue.asset("USD")
    withdrawals, custody = exchange.withdrawals, Sandbox()
    made: dict[str, Withdrawal] = {}
    for destination in ("home", "refuse-me", "bounce-me", "pending-me"):
        made[destination], _ = await withdrawals.request(alice, usd, "100", destination, f"ref-{destination}")
        assert made[destination].state is WithdrawalState.REQUESTED
    assert available(exchange, alice) == "600"

    async def states() -> dict[str, str]:
        return {row.destination: row.state for row in await all_withdrawals(exchange)}

    await withdrawals.advance(custody)
    sent = {"home": "sent", "refuse-me": "refused", "bounce-me": "sent", "pending-me": "sent"}
    assert await states() == sent
    assert available(exchange, alice) == "700"
    later = immortal(exchange, custody, Clock(2 * 10**18))
    await later.advance(custody)
    assert await states() == {**sent, "home": "completed", "bounce-me": "refused"}
    assert available(exchange, alice) == "800"
    rows = {row.destination: row for row in await all_withdrawals(exchange)}
    assert rows["home"].outside_id and rows["home"].refund_sequence is None
    assert "bounce" in rows["bounce-me"].refusal


async def test_what_the_ledger_refuses_leaves_nothing_and_its_reference_free(exchange: Exchange, alice: int) -> None:
    usd = exchange.catalogue.asset("USD")
    with pytest.raises(Refused) as refused:
        await exchange.withdrawals.request(alice, usd, "1000.01", "home", "rent")
    assert refused.value.refusal.reason == Reason.INSUFFICIENT_FUNDS
    assert await all_withdrawals(exchange) == []
    withdrawal, was_there = await exchange.withdrawals.request(alice, usd, "1000", "home", "rent")
    assert (withdrawal.state, was_there) == (WithdrawalState.REQUESTED, False)
    again, was_there = await exchange.withdrawals.request(alice, usd, "1000", "home", "rent")
    assert (again, was_there) == (withdrawal, True)
    with pytest.raises(Refused) as refused:
        await exchange.withdrawals.request(alice, usd, "1000", "abroad", "rent")
    assert refused.value.refusal.reason == EdgeReason.REFERENCE_REUSED
    assert available(exchange, alice) == "0"


async def freeze(exchange: Exchange, account: int, frozen_ns: int | None) -> None:
    async with exchange.database.engine.begin() as connection:
        await connection.execute(update(users).where(users.c.account_id == account).values(frozen_ns=frozen_ns))


async def test_the_money_of_a_frozen_account_stays_until_it_is_thawed(exchange: Exchange, alice: int) -> None:
    usd = exchange.catalogue.asset("USD")
    await exchange.withdrawals.request(alice, usd, "100", "home", "before")
    await freeze(exchange, alice, 1)
    with pytest.raises(Refused) as refused:
        await exchange.withdrawals.request(alice, usd, "100", "home", "while")
    assert refused.value.refusal.reason == EdgeReason.ACCOUNT_FROZEN
    assert await exchange.withdrawals.advance(Sandbox()) == 0
    assert [row.state for row in await all_withdrawals(exchange)] == ["requested"]
    await freeze(exchange, alice, None)
    assert await exchange.withdrawals.advance(Sandbox()) == 1
    assert [row.state for row in await all_withdrawals(exchange)] == ["sent"]


async def test_withdrawals_on_their_way_are_bounded(exchange: Exchange, alice: int) -> None:
    bitcoin = exchange.catalogue.asset("BTC")
    await exchange.corridor.deposit(alice, bitcoin.number, bitcoin.to_units("1", "amount"))  # type: ignore[attr-defined]
    for number in range(OPEN_MAX):
        await exchange.withdrawals.request(alice, bitcoin, "0.0001", "home", f"n-{number}")
    with pytest.raises(Refused) as refused:
        await exchange.withdrawals.request(alice, bitcoin, "0.0001", "home", "one-more")
    assert refused.value.refusal.reason == EdgeReason.LIMIT_REACHED
    _, was_there = await exchange.withdrawals.request(alice, bitcoin, "0.0001", "home", "n-7")
    assert was_there


async def test_an_adapter_that_breaks_holds_up_nobody_else(exchange: Exchange, alice: int) -> None:
    class Broken(Sandbox):
        async def send(self, payout: Payout) -> PayoutStatus:
            if payout.destination == "trap":
                raise RuntimeError("a bug of the adapter")
            return await super().send(payout)

    usd = exchange.catalogue.asset("USD")
    await exchange.withdrawals.request(alice, usd, "10", "trap", "first")
    await exchange.withdrawals.request(alice, usd, "10", "home", "second")
    await exchange.withdrawals.advance(Broken())
    rows = await all_withdrawals(exchange)
    assert [(row.state, row.tries) for row in rows] == [("requested", 1), ("sent", 0)]
