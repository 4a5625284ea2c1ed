from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.orders.batches import Answer
from engine.orders.state import OrderState

def show_outcomes(
    outcomes: Sequence[bytes | Answer[Any]],
    markets: Mapping[int, Any],
    find: Callable[[int], OrderState | None],
    otherwise: Callable[[Answer[Any]], bytes],
) -> bytes:
    """Return the answer to a batch, of its outcomes: of JSON that is there already, or of PLACE commands.

    ``outcomes``: a list; ``markets``: what has a MarketFace as its ``face``, by number, a dict; ``find``: the order of
    a number as it is now; ``otherwise``: makes the outcome of a command that placed nothing, or whose Order C does not
    write. Raises what that raises.
    """

def show_acknowledgements(
    answers: Sequence[Answer[Any]],
    markets: Mapping[int, Any],
    find: Callable[[int], OrderState | None],
    otherwise: Callable[[Answer[Any]], bytes],
) -> list[bytes]:
    """Return the frames that acknowledge ``place`` messages of a stream, of PLACE commands; the rest as above.

    ``answers``: a list; the context of each has the ``id`` of its message, and ``left``, the Budget that it drew on.
    """
