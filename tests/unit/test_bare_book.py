"""What the bare book answers to one call: trades, refusals, errors that name the limit, and nothing else."""

import gc
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from engine import book_records
from engine.book_records import OPERATION, OperationKind, Refusal
from engine.matching import Book, bare
from engine.records import FLAG_POST_ONLY, PRICE_TICKS_MAX, QUANTITY_LOTS_MAX, Reason, Side, TimeInForce

EXTREMES = [-(2**64), -(2**63), -(2**63) + 1, -(2**62), -(2**32), -1, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**200]


@pytest.fixture
def book() -> Book:
    """Two bids, two asks."""
    book = Book()
    for order_id, side, price_ticks in ((1, Side.BUY, 99), (2, Side.BUY, 98), (3, Side.SELL, 101), (4, Side.SELL, 102)):
        assert book.limit(order_id, side, price_ticks, 10) == ()
    return book


def state(book: Book) -> Any:
    return book.orders(Side.BUY), book.orders(Side.SELL), book.depth(Side.BUY), book.depth(Side.SELL), len(book)


def operations(*rows: tuple[int, int, int, int, int, int, int]) -> Any:
    """Rows of (kind, side, time in force, flags, order id, price, quantity)."""
    array = np.zeros(len(rows), OPERATION)
    for at, (kind, side, time_in_force, flags, order_id, price_ticks, quantity_lots) in enumerate(rows):
        array[at] = (kind, side, time_in_force, flags, 0, order_id, price_ticks, quantity_lots)
    return array


def test_the_records_of_both_languages_have_one_size() -> None:
    assert bare.layout() == {name: getattr(book_records, name).itemsize for name in ("OPERATION", "TRADE", "REFUSED")}


def test_a_refusal_has_the_number_of_the_reason_of_its_name() -> None:
    for refusal in Refusal:
        assert refusal.name not in Reason.__members__ or Reason[refusal.name] == refusal
        assert refusal.name in Reason.__members__ or refusal not in set(Reason)


def test_an_order_that_trades_with_nobody_returns_the_one_empty_tuple(book: Book) -> None:
    assert book.limit(5, Side.BUY, 97, 1) is book.limit(6, Side.BUY, 97, 1) is book.replace(6, 96, 1)


def test_trades_are_at_the_resting_orders_price_and_oldest_first(book: Book) -> None:
    book.limit(5, Side.SELL, 101, 10)
    assert book.limit(6, Side.BUY, 105, 25) == ((3, 6, 101, 10), (5, 6, 101, 10), (4, 6, 102, 5))
    assert book.orders(Side.SELL) == [(4, 102, 5)]
    assert 6 not in {order[0] for order in book.orders(Side.BUY)}


def test_what_remains_of_a_limit_order_rests_and_of_a_market_order_does_not(book: Book) -> None:
    assert book.limit(5, Side.BUY, 101, 12) == ((3, 5, 101, 10),)
    assert book.orders(Side.BUY)[0] == (5, 101, 2)
    assert book.market(6, Side.BUY, 99) == ((4, 6, 102, 10),)
    assert book.best(Side.SELL) is None


def test_an_order_may_have_the_id_of_one_that_has_ended(book: Book) -> None:
    assert book.cancel(3) == 10
    assert book.limit(3, Side.SELL, 103, 7) == ()
    assert book.market(9, Side.BUY, 17) == ((4, 9, 102, 10), (3, 9, 103, 7))
    assert book.limit(9, Side.SELL, 103, 7) == ()


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (lambda book: book.cancel(3), 0),
        (lambda book: book.replace(3, 101, 5), None),
        (lambda book: book.limit(3, Side.SELL, 101, 5), ()),
        (lambda book: book.limit(5, Side.BUY, 101, 5, TimeInForce.FOK), None),
        (lambda book: book.market(5, Side.BUY, 5), ((4, 5, 102, 5),)),
        (lambda book: book.apply(operations((OperationKind.CANCEL, 0, 0, 0, 3, 0, 0)))[1].tolist(), [(0, 3003)]),
        (lambda book: book.best(Side.SELL), 102),
        (lambda book: book.depth(Side.SELL), [(102, 10, 1)]),
        (lambda book: book.orders(Side.SELL), [(4, 102, 10)]),
        (len, 3),
    ],
)
def test_a_cancelled_order_is_gone_whatever_is_called_next(
    book: Book, call: Callable[[Book], Any], answer: Any
) -> None:
    assert book.cancel(3) == 10
    assert call(book) == answer


@pytest.mark.parametrize("order_id", [5, 6, 7])
def test_a_cancelled_order_leaves_its_queue_as_it_was_without_it(book: Book, order_id: int) -> None:
    for each in (5, 6, 7):
        book.limit(each, Side.BUY, 97, each)
    assert book.cancel(order_id) == order_id
    assert book.orders(Side.BUY)[2:] == [(each, 97, each) for each in (5, 6, 7) if each != order_id]
    assert book.depth(Side.BUY)[2] == (97, 18 - order_id, 2)


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (lambda book: book.cancel(77), 0),
        (lambda book: book.replace(77, 100, 1), None),
        (lambda book: book.limit(5, Side.BUY, 101, 11, TimeInForce.FOK), None),
        (lambda book: book.limit(5, Side.BUY, 100, 1, TimeInForce.FOK), None),
        (lambda book: book.limit(5, Side.BUY, 101, 1, TimeInForce.GTC, FLAG_POST_ONLY), None),
        (lambda book: book.limit(5, Side.BUY, 100, 1, TimeInForce.IOC), ()),
    ],
)
def test_what_a_market_may_refuse_is_an_answer_and_changes_nothing(
    book: Book, call: Callable[[Book], Any], answer: Any
) -> None:
    before = state(book)
    assert call(book) == answer
    assert state(book) == before


@pytest.mark.parametrize("extreme", EXTREMES)
def test_a_number_out_of_range_is_an_error_that_names_the_argument_and_changes_nothing(
    book: Book, extreme: int
) -> None:
    before = state(book)
    for name, call in {
        "side": lambda: book.limit(5, extreme, 100, 1),
        "price_ticks": lambda: book.limit(5, Side.BUY, extreme, 1),
        "quantity_lots": lambda: book.limit(5, Side.BUY, 100, extreme),
        "time_in_force": lambda: book.limit(5, Side.BUY, 100, 1, extreme),
        "flags": lambda: book.limit(5, Side.BUY, 100, 1, TimeInForce.GTC, extreme),
    }.items():
        with pytest.raises(ValueError, match=f"{name} must be .* got {extreme}"):
            call()
    for wrong in (
        lambda: book.market(5, extreme, 1),
        lambda: book.market(5, Side.BUY, extreme),
        lambda: book.replace(1, extreme, 1),
        lambda: book.replace(1, 100, extreme),
        lambda: book.best(extreme),
        lambda: book.depth(extreme),
        lambda: book.orders(extreme),
    ):
        with pytest.raises(ValueError):
            wrong()
    assert state(book) == before


@pytest.mark.parametrize("order_id", [-1, -(2**63), 2**64, 2**200])
def test_an_order_id_that_64_bits_do_not_hold_is_an_error(book: Book, order_id: int) -> None:
    for call in (
        lambda: book.limit(order_id, 1, 1, 1),
        lambda: book.market(order_id, 1, 1),
        lambda: book.cancel(order_id),
    ):
        with pytest.raises(ValueError, match="order_id must be 0 to 18446744073709551615"):
            call()


def test_every_order_id_of_64_bits_is_as_good_as_any_other() -> None:
    book = Book()
    ids = [0, 1, 2**30 - 1, 2**30, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, *(k << 32 for k in range(2, 200))]
    for order_id in ids:
        assert book.limit(order_id, Side.SELL, 5, 1) == ()
    assert book.market(7, Side.BUY, len(ids)) == tuple((order_id, 7, 5, 1) for order_id in ids)


def test_the_bounds_themselves_are_accepted() -> None:
    book, most = Book(), QUANTITY_LOTS_MAX - 1
    assert book.limit(1, Side.SELL, PRICE_TICKS_MAX, most) == ()
    assert book.limit(2, Side.SELL, PRICE_TICKS_MAX, most) == ()
    assert book.limit(3, Side.BUY, 1, most) == ()
    assert book.limit(4, Side.BUY, 1, most) == ()
    assert book.limit(5, Side.BUY, 1, most) == ()
    assert book.depth(Side.BUY) == [(1, 3 * most, 3)]
    assert book.market(6, Side.BUY, most) == ((1, 6, PRICE_TICKS_MAX, most),)


@pytest.mark.parametrize("order_id", [1, 3])
def test_an_id_that_rests_already_is_an_error_before_anything_trades(book: Book, order_id: int) -> None:
    before = state(book)
    for call in (
        lambda: book.limit(order_id, Side.BUY, 105, 30),
        lambda: book.limit(order_id, Side.BUY, 105, 30, TimeInForce.IOC),
        lambda: book.market(order_id, Side.BUY, 30),
    ):
        with pytest.raises(ValueError, match=f"order_id must be one that no resting order has, got {order_id}"):
            call()
    assert state(book) == before


@pytest.mark.parametrize("wrong", [1.0, "1", None, b"1", [1], np.float64(1)])
def test_what_is_no_integer_is_a_type_error(book: Book, wrong: Any) -> None:
    before = state(book)
    for call in (
        lambda: book.limit(wrong, 1, 100, 1),
        lambda: book.limit(5, wrong, 100, 1),
        lambda: book.limit(5, 1, wrong, 1),
        lambda: book.limit(5, 1, 100, wrong),
        lambda: book.cancel(wrong),
        lambda: book.replace(1, wrong, 1),
    ):
        with pytest.raises(TypeError):
            call()
    assert state(book) == before


def test_integers_of_other_types_are_taken_for_what_they_are(book: Book) -> None:
    trades = book.limit(np.uint64(5), np.int8(1), np.int64(101), np.int32(3))
    assert trades == ((3, 5, 101, 3),)
    assert [type(value) for value in trades[0]] == [int] * 4


def test_an_order_keeps_its_place_only_when_its_quantity_falls(book: Book) -> None:
    book.limit(5, Side.SELL, 101, 10)
    assert book.replace(3, 101, 4) == ()
    assert book.orders(Side.SELL)[0] == (3, 101, 4)
    assert book.replace(3, 101, 5) == ()
    assert [order[0] for order in book.orders(Side.SELL)] == [5, 3, 4]
    assert book.depth(Side.SELL, 1) == [(101, 15, 2)]


def test_a_replaced_order_trades_where_it_now_may(book: Book) -> None:
    assert book.replace(1, 102, 25) == ((3, 1, 101, 10), (4, 1, 102, 10))
    assert book.orders(Side.BUY) == [(1, 102, 5), (2, 98, 10)]


def test_a_conversion_that_comes_back_to_the_book_does_not_mix_trades(book: Book) -> None:
    class Meddler:
        def __index__(self) -> int:
            assert book.market(50, Side.SELL, 1) == ((1, 50, 99, 1),)
            return 3

    assert book.limit(51, Side.BUY, 101, Meddler()) == ((3, 51, 101, 3),)  # type: ignore[arg-type]


def test_trades_and_arguments_are_released() -> None:
    order_id, counts = 2**40 + 5, []
    for _ in range(3):
        book = Book()
        for _ in range(1_000):
            book.limit(1, Side.SELL, 5, 1)
            assert book.market(order_id, Side.BUY, 1) == ((1, order_id, 5, 1),)
        counts.append((sys.getrefcount(order_id), sys.getrefcount(())))
    assert counts[0][0] == counts[2][0]


def test_a_batch_does_what_the_calls_do_and_tells_what_it_refused(book: Book) -> None:
    gtc = TimeInForce.GTC
    batch = operations(
        (OperationKind.LIMIT, 1, gtc, 0, 5, 101, 12),
        (OperationKind.LIMIT, 1, gtc, 0, 5, 90, 1),
        (OperationKind.CANCEL, 0, 0, 0, 77, 0, 0),
        (OperationKind.MARKET, 2, 0, 0, 6, 0, 3),
        (OperationKind.REPLACE, 0, 0, 0, 4, 103, 1),
        (OperationKind.REPLACE, 0, 0, 0, 78, 103, 1),
        (9, 0, 0, 0, 4, 103, 1),
        (OperationKind.LIMIT, 3, gtc, 0, 8, 90, 1),
        (OperationKind.LIMIT, 1, 2, 0, 8, 90, 1),
        (OperationKind.LIMIT, 1, gtc, 2, 8, 90, 1),
        (OperationKind.LIMIT, 1, gtc, 0, 8, PRICE_TICKS_MAX + 1, 1),
        (OperationKind.LIMIT, 1, gtc, 0, 8, 90, -(2**63)),
        (OperationKind.LIMIT, 1, gtc, FLAG_POST_ONLY, 8, 103, 1),
        (OperationKind.LIMIT, 1, TimeInForce.FOK, 0, 8, 103, 9),
        (OperationKind.CANCEL, 0, 0, 0, 2, 0, 0),
    )
    trades, refused = book.apply(batch)
    assert trades.tolist() == [(3, 5, 101, 10), (5, 6, 101, 2), (1, 6, 99, 1)]
    assert [(at, Refusal(refusal)) for at, refusal in refused.tolist()] == [
        (1, Refusal.ORDER_ID_IN_USE),
        (2, Refusal.UNKNOWN_ORDER),
        (5, Refusal.UNKNOWN_ORDER),
        (6, Refusal.UNKNOWN_KIND),
        (7, Refusal.SIDE_INVALID),
        (8, Refusal.TIME_IN_FORCE_INVALID),
        (9, Refusal.FLAGS_INVALID),
        (10, Refusal.PRICE_OUT_OF_RANGE),
        (11, Refusal.QUANTITY_OUT_OF_RANGE),
        (12, Refusal.POST_ONLY_WOULD_CROSS),
        (13, Refusal.FOK_NOT_FILLABLE),
    ]
    assert book.orders(Side.BUY) == [(1, 99, 9)]
    assert book.orders(Side.SELL) == [(4, 103, 1)]


def test_an_empty_batch_is_no_batch_at_all(book: Book) -> None:
    trades, refused = book.apply(np.zeros(0, OPERATION))
    assert (len(trades), trades.dtype, len(refused), refused.dtype) == (
        0,
        book_records.TRADE,
        0,
        book_records.REFUSED,
    )


def test_the_trades_of_a_batch_stay_when_the_book_goes_on(book: Book) -> None:
    first, _ = book.apply(operations((OperationKind.MARKET, 1, 0, 0, 9, 0, 10)))
    kept = first.copy()
    for order_id in range(10, 400):
        book.limit(order_id, Side.SELL, 200, 1)
    book.market(500, Side.BUY, 390)
    book.apply(operations((OperationKind.MARKET, 2, 0, 0, 9, 0, 10)))
    assert (first == kept).all()
    assert not first.flags.writeable


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        b"",
        np.zeros(3, "u8"),
        np.zeros((2, 2), OPERATION),
        np.zeros(8, OPERATION)[::2],
        np.zeros((), OPERATION),
        np.zeros(2, OPERATION.newbyteorder()),
    ],
)
def test_what_is_no_batch_is_an_error(book: Book, wrong: Any) -> None:
    before = state(book)
    with pytest.raises(ValueError, match="operations must"):
        book.apply(wrong)
    assert state(book) == before


def test_a_batch_may_be_read_only(book: Book) -> None:
    batch = operations((OperationKind.MARKET, 1, 0, 0, 9, 0, 10))
    batch.flags.writeable = False
    assert book.apply(batch)[0].tolist() == [(3, 9, 101, 10)]


def test_trades_that_somebody_still_reads_stay_when_the_book_goes_on(book: Book) -> None:
    book.limit(5, Side.SELL, 101, 10)
    reading = iter(book.market(6, Side.BUY, 25))
    assert next(reading) == (3, 6, 101, 10)
    book.limit(7, Side.SELL, 200, 9)
    assert book.market(8, Side.BUY, 9) == ((4, 8, 102, 5), (7, 8, 200, 4))
    del book
    assert list(reading) == [(5, 6, 101, 10), (4, 6, 102, 5)]


def test_a_book_that_was_refused_everything_goes_on_as_before(book: Book) -> None:
    before = state(book)
    for wrong in ((1, 1, 102, 5), (-1, 1, 102, 5), (9, 0, 102, 5), (9, 1, 0, 5), (9, 1, 102, 0)):
        with pytest.raises(ValueError):
            book.limit(*wrong)
    assert state(book) == before
    assert book.limit(9, Side.BUY, 102, 5) == ((3, 9, 101, 5),)


@pytest.fixture
def collecting() -> Iterator[list[Callable[[], object]]]:
    """What is in the list is called at every garbage collection, and one comes with almost every new tuple."""
    calls: list[Callable[[], object]] = []

    def run(phase: str, info: dict[str, int]) -> None:
        work = calls.pop() if phase == "start" and calls else None
        if work is not None:
            work()
            calls.append(work)

    thresholds = gc.get_threshold()
    gc.callbacks.append(run)
    gc.set_threshold(1)
    yield calls
    gc.set_threshold(*thresholds)
    gc.callbacks.remove(run)


def test_a_garbage_collection_that_comes_back_to_the_book_does_not_mix_trades(
    collecting: list[Callable[[], object]],
) -> None:
    book = Book()
    for order_id in range(1_000, 1_200):
        book.limit(order_id, Side.SELL, 100, 1)
        book.limit(order_id + 1_000, Side.BUY, 50, 1)
    sold: list[Any] = []
    collecting.append(lambda: sold.append(book.market(7, Side.SELL, 1)))
    assert book.market(1, Side.BUY, 100) == tuple((order_id, 1, 100, 1) for order_id in range(1_000, 1_100))
    trades, refused = book.apply(operations(*((OperationKind.MARKET, 1, 0, 0, 1, 0, 1), (9,) + (0,) * 6) * 100))
    collecting.clear()
    assert trades["maker_order_id"].tolist() == list(range(1_100, 1_200))
    assert refused["operation"].tolist() == list(range(1, 200, 2))
    makers = [maker for answer in sold for maker, _, _, _ in answer]
    assert makers == list(range(2_000, 2_000 + len(makers))) and makers


def test_a_garbage_collection_that_comes_back_does_not_disturb_who_walks_the_book(
    collecting: list[Callable[[], object]],
) -> None:
    book, ids = Book(), list(range(1_000, 1_200))
    for order_id in ids:
        book.limit(order_id, Side.SELL, order_id, 1)
    left = iter(ids)
    collecting.append(lambda: book.cancel(next(left, 0)))
    for _ in range(10):
        orders, depth = book.orders(Side.SELL), book.depth(Side.SELL)
        assert [order[0] for order in orders] == ids[len(ids) - len(orders) :]
        assert [level[0] for level in depth] == ids[len(ids) - len(depth) :]
    assert len(book) < len(ids)


def test_a_number_of_levels_that_empties_the_book_finds_it_empty(book: Book) -> None:
    class Meddler:
        def __index__(self) -> int:
            return book.cancel(1) + book.cancel(2)

    assert book.depth(Side.BUY, Meddler()) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [1.0, "1", np.float64(1)])
def test_a_number_of_levels_that_is_no_integer_is_a_type_error(book: Book, wrong: Any) -> None:
    with pytest.raises(TypeError):
        book.depth(Side.BUY, wrong)


def test_depth_gives_as_many_levels_as_asked(book: Book) -> None:
    assert book.depth(Side.BUY) == [(99, 10, 1), (98, 10, 1)]
    assert book.depth(Side.SELL, 1) == [(101, 10, 1)]
    assert book.depth(Side.SELL, 0) == []
    with pytest.raises(ValueError, match="levels must be 0 or more, got -1"):
        book.depth(Side.BUY, -1)
