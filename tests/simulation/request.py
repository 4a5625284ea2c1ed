"""What traders ask for, and what they were told: the evidence that the oracle judges."""

from dataclasses import dataclass, field
from typing import Any, Literal

from exchange.contracts.refusals import Refusal

Kind = Literal["place", "replace", "batch", "cancel", "amend", "ask", "read"]


@dataclass(frozen=True)
class Request:
    """One request. The network may bring it several times, late, or not at all."""

    kind: Kind
    account: int
    order_id: int = 0
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def client_order_id(self) -> str | None:
        value: str | None = self.body.get("client_order_id")
        return value

    def __str__(self) -> str:
        what = self.client_order_id or (f"order {self.order_id}" if self.order_id else "")
        return f"{self.kind} {what}".strip()


@dataclass(frozen=True)
class Told:
    """An answer that a trader got. ``before``: the highest sequence that it had been told of when it asked."""

    request: Request
    answer: dict[str, Any] | Refusal
    before: int
    asked_at: float
    told_at: float


@dataclass
class Evidence:
    """Everything that was told, by answers and by streams, and when each request reached a machine."""

    told: list[Told] = field(default_factory=list)
    published: list[tuple[int, int, Any]] = field(default_factory=list)  # sequence, journal's end then, order
    arrived: list[tuple[float, Request]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    unresolved: list[Request] = field(default_factory=list)
