"""The ledger: every posting and balance against the journal and the engine, sums of zero, and what orders need held."""

from collections import defaultdict
from operator import itemgetter

from engine.matching import Shard
from engine.records import LiveOrder, Side
from exchange.audit.report import Report
from exchange.audit.rows import Comparison, Connection, OrderedRows, Row
from exchange.audit.tables import Made, selection
from exchange.contracts.catalogue import Catalogue
from exchange.contracts.order_state import WAITS_FOR_PARENT
from exchange.projections.postings import postings_of

ENTRY_COLUMNS = (
    "sequence", "position", "account", "asset", "kind", "available_change", "held_change", "available_after",
    "held_after", "order_id", "trade_id", "created_ns",
)  # fmt: skip
BALANCE_COLUMNS = ("account", "asset", "available", "held", "sequence")
_KEY = itemgetter(slice(0, 3))
BalanceKey = tuple[int, int]  # account, asset


class LedgerAudit:
    """Follows every balance through its postings."""

    name = "ledger"
    projection = "balances"

    def __init__(self, connection: Connection, shard: int, after: Shard, report: Report, catalogue: Catalogue) -> None:
        totals = ("available_after", "held_after")
        query = (
            selection("ledger_entries", ENTRY_COLUMNS, totals)
            + " AND sequence > $2 ORDER BY sequence, position, account"
        )
        self._rows = OrderedRows(connection, query, (shard, after.sequence), itemgetter(0))
        self._comparison = Comparison(report, self.name, ENTRY_COLUMNS, _KEY, "sequence")
        query = selection("balances", BALANCE_COLUMNS, ("available", "held")) + " ORDER BY account, asset"
        self._balance_rows = OrderedRows(connection, query, (shard,), itemgetter(0))
        self._report = report
        self._catalogue = catalogue
        # [available, held, the last sequence that touched it; 0 for one before the beginning]
        self._balances: defaultdict[BalanceKey, list[int]] = defaultdict(lambda: [0, 0, 0])
        self._balances.update((key, [*balance, 0]) for key, balance in after.balances().items())
        self._from_the_first = after.sequence == 0
        self._sums: defaultdict[int, int] = defaultdict(int)
        for (_, asset), (available, held, _) in self._balances.items():
            self._sums[asset] += available + held
        self.balances_compared = 0

    @property
    def compared(self) -> int:
        return self._comparison.compared

    async def take(self, made: Made, last: int, shard: Shard) -> None:
        touched: set[BalanceKey] = set()
        expected = self._entries(made, touched)
        self._comparison.compare(await self._rows.upto(last), expected)
        self._check_sums(last)
        for account, asset in touched:
            if shard.balance(account, asset) != tuple(self._balances[account, asset][:2]):
                self._report.find("engine", last, f"account {account} asset {asset}: not what its postings add up to")

    def _entries(self, made: Made, touched: set[BalanceKey]) -> list[Row]:
        rows: list[Row] = []
        sequence, positions = 0, defaultdict[int, int](int)
        for command, event in made:
            if event.sequence != sequence:
                sequence = event.sequence
                positions.clear()
            for posting in postings_of(event, self._catalogue, command):
                account, asset, kind, available_change, held_change, order_id, trade_id = posting
                balance = self._balances[account, asset]
                balance[0] += available_change
                balance[1] += held_change
                balance[2] = sequence
                self._sums[asset] += available_change + held_change
                touched.add((account, asset))
                rows.append(
                    (sequence, positions[account], account, asset, int(kind), available_change, held_change,
                     str(balance[0]), str(balance[1]), order_id or None, trade_id or None, event.timestamp_ns)
                )  # fmt: skip
                positions[account] += 1
        rows.sort(key=_KEY)
        return rows

    def _check_sums(self, last: int) -> None:
        for asset, total in self._sums.items():
            if total:
                self._report.find("engine", last, f"asset {asset} sums to {total} over all accounts, not to zero")

    async def finish(self, shard: Shard) -> None:
        self._comparison.compare(await self._rows.upto(float("inf")), [])
        made = {key: balance for key, balance in self._balances.items() if balance[0] or balance[1]}
        if {key: (balance[0], balance[1]) for key, balance in made.items()} != shard.balances():
            self._report.find("engine", shard.sequence, "the engine's balances are not what all postings add up to")
        await self._compare_balances()

    async def _compare_balances(self) -> None:
        left = dict(self._balances)
        while rows := await self._balance_rows.next():
            for row in rows:
                self.balances_compared += 1
                key = (row[0], row[1])
                known = left.pop(key, None)
                if known is None and not self._from_the_first:
                    known = [0, 0, 0]  # used up before the beginning
                self._compare_balance(key, row[2:], known)
        for key, known in left.items():
            self._compare_balance(key, None, known)

    def _compare_balance(self, key: BalanceKey, found: Row | None, known: list[int] | None) -> None:
        name = f"account {key[0]} asset {key[1]}"
        if known is None or found is None:
            what = f"{name} is missing" if found is None else f"{name} is not the journal's"
            self._report.find("balances", known[2] if known else None, what)
            return
        should = (str(known[0]), str(known[1]), known[2] or found[2])
        if found != should:
            columns = zip(BALANCE_COLUMNS[2:], found, should, strict=True)
            what = ", ".join(
                f"{column} is {is_one} and should be {one}" for column, is_one, one in columns if is_one != one
            )
            self._report.find("balances", known[2] or None, f"{name}: {what}")


def check_holds(shard: Shard, catalogue: Catalogue, report: Report) -> None:
    """What is held of every balance is what the live orders need (docs/engine.md), neither more nor less."""
    needed: defaultdict[BalanceKey, int] = defaultdict(int)
    needs: dict[int, int] = {}
    for order in shard.orders():
        asset, units = needs_held(order, catalogue)
        first = needs.get(order.other_leg)
        needs[order.order_id] = units
        # Of two legs only the larger is held.
        needed[order.account, asset] += units if first is None else max(units - first, 0)
    for key, (_, held) in shard.balances().items():
        if held != needed.pop(key, 0):
            account, asset = key
            report.find(
                "engine", shard.sequence, f"account {account} asset {asset}: holds {held}, not what orders need"
            )
    for (account, asset), units in needed.items():
        if units:
            report.find(
                "engine", shard.sequence, f"account {account} asset {asset}: orders need {units}, nothing is held"
            )


def needs_held(order: LiveOrder, catalogue: Catalogue) -> tuple[int, int]:
    """Return (asset, units) that an order alone needs held."""
    market = catalogue.markets[order.market]
    if order.side == Side.SELL:
        asset, units = market.base.number, order.remaining_lots * market.lot_units
    else:
        asset, units = market.quote.number, market.notional_units(order.price_ticks, order.remaining_lots)
    return asset, 0 if order.waiting == WAITS_FOR_PARENT else units
