"""Reading a Bitstamp order log and translating it, on small made-up recordings."""

import lzma
from decimal import Decimal
from pathlib import Path

import pytest

from exchange.simulation.bitstamp_tape import (
    Cancel,
    Gap,
    Place,
    Replace,
    Step,
    TapeBook,
    TapeError,
    TapeTrade,
    TapeTranslator,
    count_events,
    read_tape,
)


def line(kind: str, number: int, price: str, amount: str, side: int = 0, at_ms: int = 1000) -> str:
    return f'{at_ms} order_{kind} {{"price": "{price}", "amount": "{amount}", "id": {number}, "order_type": {side}}}\n'


def tape(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "made-up.log"
    path.write_text("".join(lines))
    return path


def translate(tmp_path: Path, *lines: str) -> tuple[list[Step], TapeTranslator]:
    translator = TapeTranslator()
    steps = [translator.translate(event) for event in read_tape(tape(tmp_path, *lines))]
    return [step for step in steps if step is not None], translator


def test_a_created_order_is_placed_and_an_order_deleted_with_an_amount_left_is_cancelled(tmp_path: Path) -> None:
    steps, _ = translate(tmp_path, line("created", 7, "236.47", "2.0", 1), line("deleted", 7, "236.47", "2.0", 1))
    assert steps == [Place(7, "Sell", Decimal("236.47"), Decimal("2.0")), Cancel(7, filled=False)]


def test_a_change_at_the_same_price_is_a_fill_that_our_match_makes_and_asks_for_nothing(tmp_path: Path) -> None:
    steps, translator = translate(tmp_path, line("created", 7, "236.47", "2.0"), line("changed", 7, "236.47", "1.5"))
    assert steps == [Place(7, "Buy", Decimal("236.47"), Decimal("2.0"))]
    assert not translator.gaps


def test_an_order_deleted_with_nothing_left_is_expected_to_have_ended(tmp_path: Path) -> None:
    steps, _ = translate(tmp_path, line("created", 7, "236.47", "2.0"), line("deleted", 7, "236.47", "0.00000000"))
    assert steps[1] == Cancel(7, filled=True)


def test_changes_to_other_prices_replace_the_order_and_count_the_revisions(tmp_path: Path) -> None:
    steps, _ = translate(
        tmp_path,
        line("created", 7, "235.38", "2.0", 1),
        line("changed", 7, "235.02", "1.9", 1),
        line("changed", 7, "235.02", "1.0", 1),
        line("changed", 7, "234.90", "1.0", 1),
    )
    assert steps[1:] == [
        Replace(7, "Sell", Decimal("235.02"), Decimal("1.9"), 1),
        Replace(7, "Sell", Decimal("234.90"), Decimal("1.0"), 2),
    ]


def test_orders_that_the_recording_never_created_are_counted_and_skipped(tmp_path: Path) -> None:
    steps, translator = translate(tmp_path, line("changed", 1, "10", "1"), line("deleted", 2, "10", "1"))
    assert steps == []
    assert translator.gaps == {Gap.CHANGED_UNSEEN: 1, Gap.DELETED_UNSEEN: 1}


def test_an_order_that_is_deleted_before_it_is_created_is_never_placed(tmp_path: Path) -> None:
    steps, translator = translate(tmp_path, line("deleted", 1, "10", "1"), line("created", 1, "10", "1"))
    assert steps == []
    assert translator.gaps == {Gap.DELETED_UNSEEN: 1, Gap.CREATED_AFTER_END: 1}


def test_events_after_the_end_of_an_order_are_counted_and_skipped(tmp_path: Path) -> None:
    steps, translator = translate(
        tmp_path,
        line("created", 1, "10", "1"),
        line("created", 1, "10", "1"),
        line("deleted", 1, "10", "1"),
        line("deleted", 1, "10", "1"),
        line("changed", 1, "11", "1"),
        line("created", 2, "10", "0.0"),
    )
    assert len(steps) == 2
    gaps = {Gap.CREATED_TWICE: 1, Gap.DELETED_TWICE: 1, Gap.CHANGED_AFTER_END: 1, Gap.CREATED_EMPTY: 1}
    assert translator.gaps == gaps


def test_trades_are_rounded_to_eight_decimals_and_books_keep_their_order(tmp_path: Path) -> None:
    path = tape(
        tmp_path,
        '5 trade {"price": 236.47, "amount": 1.7885566900000001, "id": 8111042}\n',
        '6 order_book {"bids": [["236.47", "1.5"], ["236.20", "2"]], "asks": [["237.00", "3"]]}\n',
    )
    trade, book = read_tape(path)
    assert trade == TapeTrade(5, 8111042, Decimal("236.47"), Decimal("1.78855669"))
    assert isinstance(book, TapeBook)
    assert book.bids == [(Decimal("236.47"), Decimal("1.5")), (Decimal("236.20"), Decimal(2))]


@pytest.mark.parametrize(
    ("bad", "cause"),
    [
        ("nonsense\n", "expected `epoch_ms kind json`"),
        ("x order_created {}\n", "no time in milliseconds"),
        ('1 order_moved {"id": 1}\n', "unknown kind 'order_moved'"),
        ('1 order_created {"id": 1, "order_type": 0, "price": "1"}\n', "amount"),
        ('1 order_created {"id": 1, "order_type": 2, "price": "1", "amount": "1"}\n', "order_type"),
        (line("created", 1, "-5", "1"), "price -5 must be above 0"),
        (line("created", 1, "NaN", "1"), "NaN"),
        (line("created", 1, "5", "-1"), "amount -1 not below 0"),
        ('1 trade {"id": 1, "price": 1e999999, "amount": 1}\n', ""),
        ('1 order_created {"id": 1,\n', "truncated"),
    ],
)
def test_a_bad_line_is_named_by_its_number_and_cause(tmp_path: Path, bad: str, cause: str) -> None:
    path = tape(tmp_path, line("created", 1, "10", "1"), bad)
    with pytest.raises(TapeError, match=r"made-up.log, line 2") as caught:
        list(read_tape(path))
    assert cause in str(caught.value)


def test_a_compressed_recording_reads_the_same_and_a_cut_off_one_is_an_error(tmp_path: Path) -> None:
    text = "".join(line("created", number, "10", "1") for number in range(1, 500))
    whole = tmp_path / "whole.log.xz"
    whole.write_bytes(lzma.compress(text.encode()))
    assert len(list(read_tape(whole))) == 499 == count_events(whole)
    assert count_events(whole, 10) == 10
    cut = tmp_path / "cut.log.xz"
    cut.write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(TapeError, match=r"cut.log.xz"):
        list(read_tape(cut))


def test_a_missing_recording_and_one_that_is_not_compressed_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="No such file"):
        list(read_tape(tmp_path / "absent.log"))
    (tmp_path / "plain.log.xz").write_text("not compressed")
    with pytest.raises(TapeError, match=r"plain.log.xz"):
        list(read_tape(tmp_path / "plain.log.xz"))
