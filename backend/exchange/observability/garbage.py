"""The garbage collector of a process in which every order makes objects."""

import gc


def calm_garbage_collection() -> None:
    """Take what lives for ever out of the collector's sight, and collect less often.

    Orders make many objects and no cycles; walking all open orders every few thousand allocations bought nothing but
    pauses.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
