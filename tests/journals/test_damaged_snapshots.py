"""A damaged snapshot is an error, whatever the damage and whoever made it; never a crash, never a wrong state."""

from collections.abc import Iterable
from contextlib import suppress

import pytest

from engine.matching import Shard, SnapshotError
from tests.journals.damage import Damaged, absurdities, accidents, forgeries
from tests.support import golden

IMAGES = {
    f"{name}-at-{sequence}": (image, journal.digest_at(sequence))
    for name, journal in ((name, golden.read(name)) for name in golden.names())
    for sequence, image in journal.snapshots.items()
}
VERSION_1 = {name: image for name, (image, _) in IMAGES.items() if int.from_bytes(image[4:8], "little") == 1}


def _restored(damages: Iterable[Damaged]) -> list[str]:
    """What was restored although it should not."""
    restored = []
    for what, image in damages:
        with suppress(SnapshotError):
            Shard.restore(image)
            restored.append(what)
    return restored


@pytest.mark.parametrize("name", IMAGES)
def test_a_snapshot_damaged_by_accident_is_refused(name: str) -> None:
    assert _restored(accidents(IMAGES[name][0], seed=1)) == []


@pytest.mark.parametrize("name", IMAGES)
def test_a_forged_snapshot_is_refused_or_holds_the_state_that_was_saved(name: str) -> None:
    image, digest = IMAGES[name]
    refused = 0
    for what, forged in forgeries(image, seed=2):
        try:
            restored = Shard.restore(forged)
        except SnapshotError:
            refused += 1
            continue
        assert restored.digest() == digest, what
    assert refused > 500


@pytest.mark.parametrize("name", VERSION_1)
def test_a_snapshot_of_what_cannot_be_is_refused(name: str) -> None:
    damages = list(absurdities(VERSION_1[name]))
    assert len(damages) > 100
    assert _restored(damages) == []
