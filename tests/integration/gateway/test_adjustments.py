"""Adjustments: two admins, one movement of money, whatever comes in between."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import IntegrityError

from engine.records import EXTERNAL_ACCOUNT
from exchange.contracts.refusals import EdgeReason, refuse
from exchange.gateway.context import Exchange
from exchange.storage.audit_log import verify
from exchange.storage.tables import users
from exchange.treasury import adjustments as treasury
from tests.integration.gateway.test_admin import Desk

CREDIT = {"asset": "USD", "direction": "Credit", "amount": "12.50", "reason": "fee charged twice on trade 17"}
DEBIT = CREDIT | {"direction": "debit", "amount": "2.25", "reason": "credited twice"}


class Office(Desk):
    """Two admins, root and bob, and alice, whose balance is wrong."""

    async def begin(self) -> None:
        await super().begin()
        self.bob, self.bobs = await self.admin("bob")

    async def propose(self, body: dict[str, Any], headers: dict[str, str] | None = None) -> tuple[int, Any]:
        return await self.ask("POST", "/admin/adjustments", {"account_id": str(self.alice)} | body, headers)

    async def decide(
        self, adjustment_id: str, what: str, headers: dict[str, str] | None = None, body: Any = None
    ) -> tuple[int, Any]:
        return await self.ask("POST", f"/admin/adjustments/{adjustment_id}/{what}", body, headers)

    def usd(self, account: int) -> str:
        usd = self.exchange.catalogue.asset("USD")
        return usd.to_text(self.exchange.corridor.balance(account, usd.number)[0])

    async def ledger(self) -> list[tuple[str, str]]:
        _, page = await self.ask("GET", "/api/v1/ledger", headers=self.alices)
        return [(entry["kind"], entry["available_change"]) for entry in page["items"]]


@pytest.fixture
async def office(trading: aiohttp.ClientSession, exchange: Exchange) -> AsyncIterator[Office]:
    made = Office(trading, exchange)
    await made.begin()
    yield made
    async with exchange.database.engine.connect() as connection:
        assert (await verify(connection)).broken is None


async def test_one_proposes_another_approves_and_the_ledger_shows_an_adjustment(office: Office) -> None:
    status, proposed = await office.propose(CREDIT)
    assert status == 201, proposed
    assert (proposed["status"], proposed["proposed_by"], proposed["username"]) == ("Proposed", "root", "alice")
    assert (proposed["amount"], proposed["decided_by"], proposed["sequence"]) == ("12.5", None, None)
    assert office.usd(office.alice) == "0", "nothing moves before"
    status, done = await office.decide(proposed["adjustment_id"], "approve", office.bobs)
    assert (status, done["status"], done["decided_by"]) == (200, "Executed", "bob"), done
    assert done["sequence"] == office.exchange.corridor.sequence
    assert office.usd(office.alice) == "12.5"
    assert office.usd(EXTERNAL_ACCOUNT) == "-12.5", "from where deposits come"
    _, proposed = await office.propose(DEBIT, office.bobs)
    status, done = await office.decide(proposed["adjustment_id"], "approve")
    assert (status, done["status"]) == (200, "Executed")
    assert office.usd(office.alice) == "10.25"
    assert await office.ledger() == [("Adjustment", "-2.25"), ("Adjustment", "12.5")]
    _, month = await office.ask("GET", f"/api/v1/history/statements/{done['decided_at'][:7]}", headers=office.alices)
    (usd,) = month["assets"]
    assert usd["movements"] == [{"kind": "Adjustment", "amount": "10.25", "entries": 2}], usd
    rows = [row[:3] for row in await office.log()]
    assert rows[:3] == [
        ("root", "adjustment.propose", "Done"), ("bob", "adjustment.approve", "Done"),
        ("exchange", "adjustment.execute", "Done"),
    ]  # fmt: skip


async def test_nobody_decides_alone(office: Office) -> None:
    _, proposed = await office.propose(CREDIT)
    number = proposed["adjustment_id"]
    for what, headers, body in (
        ("approve", office.roots, None),
        ("reject", office.roots, {"reason": "changed my mind"}),
        ("withdraw", office.bobs, None),
    ):
        status, problem = await office.decide(number, what, headers, body)
        assert (status, problem["reason"]) == (403, "FOUR_EYES"), what
    _, own = await office.propose(CREDIT | {"account_id": str(office.bob)})
    status, problem = await office.decide(own["adjustment_id"], "approve", office.bobs)
    assert (status, problem["reason"]) == (403, "FOUR_EYES"), "not of one's own account either"
    assert office.usd(office.alice) == office.usd(office.bob) == "0"
    _, page = await office.ask("GET", "/admin/adjustments?status=Proposed")
    assert [adjustment["adjustment_id"] for adjustment in page["items"]] == [own["adjustment_id"], number]
    refused = [row for row in await office.log() if row[2] == "Refused"]
    assert len(refused) == 4


@pytest.mark.parametrize("change", [{"role": "user"}, {"frozen_ns": 1}])
async def test_a_proposal_of_who_is_no_admin_any_more_is_not_approved(office: Office, change: dict[str, Any]) -> None:
    _, proposed = await office.propose(CREDIT)
    async with office.exchange.database.engine.begin() as connection:
        await connection.execute(update(users).where(users.c.account_id == office.root).values(change))
    status, problem = await office.decide(proposed["adjustment_id"], "approve", office.bobs)
    assert (status, problem["reason"]) == (403, "FOUR_EYES")
    assert office.usd(office.alice) == "0"


async def test_what_is_decided_stays_decided(office: Office) -> None:
    numbers = [(await office.propose(CREDIT))[1]["adjustment_id"] for _ in range(3)]
    status, rejected = await office.decide(numbers[0], "reject", office.bobs, {"reason": "no such trade"})
    assert (status, rejected["status"], rejected["decided_by"]) == (200, "Rejected", "bob")
    status, withdrawn = await office.decide(numbers[1], "withdraw")
    assert (status, withdrawn["status"], withdrawn["decided_by"]) == (200, "Withdrawn", "root")
    status, executed = await office.decide(numbers[2], "approve", office.bobs)
    rows = len(await office.log())
    again = [
        await office.decide(numbers[0], "reject", office.bobs, {"reason": "no such trade"}),
        await office.decide(numbers[1], "withdraw"),
        await office.decide(numbers[2], "approve", office.bobs),
    ]
    assert again == [(200, rejected), (200, withdrawn), (200, executed)], "the same decision again is the same answer"
    assert len(await office.log()) == rows, "and no action"
    for number in numbers:
        for what in ("approve", "reject"):
            if (number, what) in ((numbers[0], "reject"), (numbers[2], "approve")):
                continue
            status, problem = await office.decide(number, what, office.bobs, {"reason": "other"})
            assert (status, problem["reason"]) == (409, "ADJUSTMENT_STATE"), (number, what)
    assert office.usd(office.alice) == "12.5"


async def test_a_proposal_expires(office: Office) -> None:
    _, proposed = await office.propose(CREDIT)
    service = office.exchange.adjustments
    later, real = treasury.LIFETIME_NS, service.clock_ns
    service.clock_ns = lambda: real() + later
    status, problem = await office.decide(proposed["adjustment_id"], "approve", office.bobs)
    assert (status, problem["reason"]) == (409, "ADJUSTMENT_STATE")
    assert "Expired" in problem["detail"]
    for status_asked, found in (("Proposed", 0), ("Expired", 1)):
        _, page = await office.ask("GET", f"/admin/adjustments?status={status_asked}")
        assert len(page["items"]) == found
    assert office.usd(office.alice) == "0"


async def test_a_debit_that_the_balance_does_not_allow_is_refused_for_good(office: Office) -> None:
    _, proposed = await office.propose(DEBIT)
    number = proposed["adjustment_id"]
    status, problem = await office.decide(number, "approve", office.bobs)
    assert (status, problem["reason"]) == (422, "INSUFFICIENT_FUNDS")
    assert "does not cover 2.25 USD" in problem["detail"]
    _, credit = await office.propose(CREDIT)
    assert (await office.decide(credit["adjustment_id"], "approve", office.bobs))[0] == 200
    assert await office.decide(number, "approve", office.bobs) == (422, problem | {"request_id": _any}), (
        "though it would now"
    )
    _, refused = await office.ask("GET", f"/admin/adjustments/{number}")
    assert (refused["status"], refused["sequence"]) == ("Refused", problem["sequence"])
    assert office.usd(office.alice) == "12.5"
    _, page = await office.ask("GET", "/admin/audit-log?action=adjustment.execute")
    assert [row["outcome"] for row in page["items"]] == ["Done", "Refused"]


class _Any:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


_any = _Any()


async def test_an_approval_at_once_by_many_moves_money_once(office: Office) -> None:
    _, carols = await office.admin("carol")
    _, proposed = await office.propose(CREDIT)
    number = proposed["adjustment_id"]
    answers = await asyncio.gather(
        *(office.decide(number, "approve", headers) for headers in (office.bobs, carols) * 5),
        *(office.exchange.adjustments.execute_approved() for _ in range(5)),
    )
    assert sum(answer is not None and answer[0] == 200 for answer in answers) == 5, answers
    assert office.usd(office.alice) == "12.5"
    rows = [row[1:3] for row in await office.log() if row[2] == "Done"]
    assert rows.count(("adjustment.approve", "Done")) == rows.count(("adjustment.execute", "Done")) == 1


async def test_what_was_approved_while_the_ledger_was_away_is_done_once_it_is_back(office: Office) -> None:
    exchange = office.exchange
    _, proposed = await office.propose(CREDIT)
    exchange.corridor.role = "standby"  # type: ignore[misc]
    status, approved = await office.decide(proposed["adjustment_id"], "approve", office.bobs)
    assert (status, approved["status"]) == (200, "Approved")
    await exchange.adjustments.execute_approved()
    assert office.usd(office.alice) == "0"
    exchange.corridor.role = "leader"  # type: ignore[misc]
    await exchange.adjustments.execute_approved()
    await exchange.adjustments.execute_approved()
    _, done = await office.ask("GET", f"/admin/adjustments/{proposed['adjustment_id']}")
    assert (done["status"], done["decided_by"], office.usd(office.alice)) == ("Executed", "bob", "12.5")


async def test_an_answer_of_the_ledger_that_was_lost_is_asked_for_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    corridor: Any = office.exchange.corridor
    place = corridor.place

    async def lose(*arguments: Any) -> Any:
        await place(*arguments)
        raise refuse(EdgeReason.OUTCOME_UNKNOWN, "the answer was lost")

    _, proposed = await office.propose(CREDIT)
    monkeypatch.setattr(corridor, "place", lose)
    _, approved = await office.decide(proposed["adjustment_id"], "approve", office.bobs)
    assert (approved["status"], office.usd(office.alice)) == ("Approved", "12.5")
    monkeypatch.setattr(corridor, "place", place)
    await office.exchange.adjustments.execute_approved()
    _, done = await office.ask("GET", f"/admin/adjustments/{proposed['adjustment_id']}")
    assert (done["status"], done["sequence"], office.usd(office.alice)) == ("Executed", corridor.sequence, "12.5")


async def test_what_cannot_be_is_not_proposed(office: Office) -> None:
    cases = [
        ({"amount": "0"}, 422, "AMOUNT_OUT_OF_RANGE", "0.0000000001"),
        ({"amount": "0.00000000001"}, 422, "AMOUNT_OUT_OF_RANGE", "0.0000000001"),
        ({"amount": "999999999999"}, 422, "AMOUNT_OUT_OF_RANGE", "461168601.8427387903"),
        ({"amount": "-1"}, 422, "FIELD_INVALID", None),
        ({"asset": "XRP"}, 422, "UNKNOWN_ASSET", None),
        ({"direction": "Sideways"}, 422, "FIELD_INVALID", None),
        ({"reason": ""}, 422, "FIELD_INVALID", None),
        ({"account_id": "0"}, 404, "NOT_FOUND", None),
        ({"account_id": "1"}, 404, "NOT_FOUND", None),
        ({"account_id": "9" * 19}, 404, "NOT_FOUND", None),
    ]
    for change, expected, reason, nearest in cases:
        status, problem = await office.propose(CREDIT | change)
        assert (status, problem["reason"], problem.get("nearest")) == (expected, reason, nearest), problem
    _, page = await office.ask("GET", "/admin/adjustments")
    assert page == {"items": [], "next_cursor": None}


async def test_proposals_are_bounded_and_paged(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(treasury, "PROPOSED_MAX", 3)
    numbers = [(await office.propose(CREDIT))[1]["adjustment_id"] for _ in range(3)]
    status, problem = await office.propose(CREDIT)
    assert (status, problem["reason"], problem["limit"]) == (409, "LIMIT_REACHED", "3")
    await office.decide(numbers[0], "withdraw")
    assert (await office.propose(CREDIT))[0] == 201
    _, first = await office.ask("GET", "/admin/adjustments?limit=3")
    _, rest = await office.ask("GET", f"/admin/adjustments?limit=3&cursor={first['next_cursor']}")
    found = [adjustment["adjustment_id"] for adjustment in (*first["items"], *rest["items"])]
    assert (found[1:], rest["next_cursor"]) == (numbers[::-1], None)
    assert (await office.ask("GET", f"/admin/adjustments?account_id={office.bob}"))[1]["items"] == []


async def test_the_tables_themselves_refuse_one_pair_of_eyes(office: Office) -> None:
    _, proposed = await office.propose(CREDIT)
    for status in ("Approved", "Executed"):
        for decider in ("proposed_by", "NULL"):
            statement = text(f"UPDATE adjustments SET status = '{status}', decided_by = {decider}")
            async with office.exchange.database.engine.connect() as connection:
                with pytest.raises(IntegrityError, match="four_eyes"):
                    await connection.execute(statement)
    assert proposed["status"] == "Proposed"
