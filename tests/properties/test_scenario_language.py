"""Any command can be said in the language of the scenarios, so any failure can be written down."""

from hypothesis import given
from hypothesis import strategies as st

from tests.properties.strategies import any_command
from tests.support import commands
from tests.support.language import Names, parse, write


@given(any_command(), st.sampled_from([Names(), Names(["USD", "BTC"], ["BTC/USD"])]))
def test_a_command_that_is_written_down_is_read_as_the_same_command(command: bytes, names: Names) -> None:
    assert parse(write(command, names), names) == commands.stamp(command, 0, 0)


def test_usual_commands_are_written_in_words() -> None:
    names = Names(["USD", "BTC"], ["BTC/USD"])
    lines = [
        "buy alice 5 BTC/USD @ 100",
        "sell bob 5 BTC/USD @ 100 fok",
        "sell bob 5 BTC/USD @ 100 post-only",
        "buy 77 5 BTC/USD @ market",
        "buy alice 5 BTC/USD @ market:90 fok",
        "cancel carol 18446744073709551615",
        "deposit dave 5 USD",
        "withdraw dave -5 9",
        "asset ETH scale=8",
        "market BTC/USD lot_units=7",
    ]
    assert [write(parse(line, names), names) for line in lines[:-2]] == lines[:-2]
    assert write(parse(lines[-2], names), names) == lines[-2]
    assert write(parse(lines[-1], names), names) == lines[-1]
