"""What is remembered of ids is what plain Python would remember, and several at once are as one after the other."""

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.orders.batches import Answer, deliver, fail
from engine.orders.seen import BloomFilter, RecentAnswers

Key = tuple[int, str]

keys = st.tuples(st.integers(1, 3), st.sampled_from(["a", "b", "c", "d", "e", "f"]))
many_keys = st.lists(st.tuples(st.integers(0, 2**64), st.text(max_size=3)), max_size=200)


class Entry(NamedTuple):
    sequence: int


class Plain:
    """RecentAnswers as a list of everything that was remembered and not forgotten, oldest first."""

    def __init__(self) -> None:
        self.known: dict[Key, Answer[Entry]] = {}
        self.queue: list[tuple[Key, Answer[Entry]]] = []

    def remember_all(self, keys: list[Key], answers: list[Answer[Entry]]) -> None:
        self.known |= dict(zip(keys, answers, strict=True))
        self.queue += zip(keys, answers, strict=True)

    def forget(self, most: int, sequence: int) -> None:
        while len(self.queue) > most:
            key, answer = self.queue[0]
            if not answer.done() or (answer.entry is not None and answer.entry.sequence > sequence):
                return
            del self.queue[0]
            if self.known.get(key) is answer:
                del self.known[key]


remember = st.tuples(st.just("remember"), st.lists(keys, max_size=5))
settle = st.tuples(st.sampled_from(["deliver", "fail"]), st.integers(0, 100))
drop = st.tuples(st.just("drop"), keys)
forget = st.tuples(st.just("forget"), st.integers(0, 8), st.integers(0, 40))
clear = st.tuples(st.just("clear"))


@given(st.lists(st.one_of(remember, settle, settle, drop, forget, clear), max_size=60))
def test_recent_answers_are_those_of_plain_python(steps: Sequence[tuple[str, *tuple[object, ...]]]) -> None:
    recent: RecentAnswers[Key, Entry] = RecentAnswers()
    plain = Plain()
    unknown: list[tuple[int, Answer[Entry]]] = []
    sequence = 0
    for step in steps:
        match step:
            case "remember", list(named):
                answers: list[Answer[Entry]] = [Answer() for _ in named]
                unknown += enumerate(answers, start=sequence + 1)
                sequence += len(answers)
                recent.remember_all(named, answers)
                plain.remember_all(named, answers)
            case "deliver" | "fail" as how, int(at) if unknown:
                of_sequence, answer = unknown.pop(at % len(unknown))
                if how == "fail":
                    fail([answer], RuntimeError("lost"))
                else:
                    deliver([answer], [Entry(of_sequence)])
            case "drop", tuple(key) if key in plain.known:
                recent.drop(key)
                del plain.known[key]
            case "forget", int(most), int(upto):
                recent.forget(most, upto)
                plain.forget(most, upto)
            case ("clear",):
                recent.clear()
                plain = Plain()
        assert len(recent) == len(plain.queue)
        for account in (1, 2, 3):
            for name in "abcdef":
                assert recent.get((account, name)) is plain.known.get((account, name))


def test_what_was_forgotten_leaves_no_room_behind() -> None:
    recent: RecentAnswers[int, Entry] = RecentAnswers()
    for first in range(0, 10_000, 100):
        run = list(range(first, first + 100))
        recent.remember_all(run, [Answer.of(Entry(number)) for number in run])
        recent.forget(150, 10_000)
        assert len(recent) == min(first + 100, 150)
        kept = range(first + 100 - len(recent), first + 100)
        assert [number for number in range(first + 100) if recent.get(number) is not None] == list(kept)
        for number in kept:
            answer = recent.get(number)
            assert answer is not None and answer.entry == Entry(number)


def test_every_key_has_an_answer() -> None:
    recent: RecentAnswers[Key, Entry] = RecentAnswers()
    with pytest.raises(ValueError, match="1 keys and 0 answers"):
        recent.remember_all([(1, "a")], [])
    assert recent.get((1, "a")) is None
    with pytest.raises(KeyError):
        recent.drop((1, "a"))


@given(many_keys, many_keys, st.integers(0, 5))
def test_several_keys_at_once_are_as_one_after_the_other(
    added: list[tuple[int, str]], asked: list[tuple[int, str]], hashes: int
) -> None:
    together, alone = BloomFilter(1024, hashes), BloomFilter(1024, hashes)
    together.add_all(added)
    for key in added:
        alone.add(key)
    assert [key in together for key in asked] == [key in alone for key in asked]
    assert together.has_any(asked) == any(key in alone for key in asked)
    assert all(together.has_any([key]) for key in added)


def test_a_hash_that_fails_is_told() -> None:
    def broken(key: object) -> int:
        raise LookupError(key)

    seen = BloomFilter(1024, 2, broken)
    for ask in (seen.add_all, seen.has_any):
        with pytest.raises(LookupError):
            ask([1])
