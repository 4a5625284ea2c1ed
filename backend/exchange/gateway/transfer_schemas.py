"""The shapes of deposits and withdrawals."""

from typing import Annotated, Literal

from pydantic import Field

from exchange.gateway.shapes import DecimalText, IdText, Shape, TimeText, example

#: Shorter than a client order id: the ledger knows it with a prefix.
ReferenceText = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_.:-]{1,32}$",
        description="Your name for it, used once: the same request again, at any time, is the same transfer",
    ),
]
WithdrawalStatusText = Literal["Requested", "Sent", "Completed", "Refused"]


class DepositRequest(Shape):
    """What to credit yourself with, where no real money moves."""

    model_config = example(asset="USD", amount="5000", reference="monday-1")
    asset: str
    amount: str
    reference: ReferenceText


class Deposit(Shape):
    """Money that came in, credited by entry `sequence` of the journal."""

    deposit_id: IdText
    reference: str
    asset: str
    amount: DecimalText
    status: Literal["Credited"]
    sequence: int
    created_at: TimeText


class Deposits(Shape):
    """A page of deposits, newest first."""

    items: list[Deposit]
    next_cursor: str | None


class WithdrawalRequest(Shape):
    """What to send where."""

    model_config = example(asset="USD", amount="250.00", destination="DE02120300000000202051", reference="rent-7")
    asset: str
    amount: str
    destination: Annotated[str, Field(max_length=256)]
    reference: ReferenceText


class Withdrawal(Shape):
    """Money on its way out.

    Requested: taken from the balance by entry `sequence` of the journal. Sent: the custody has taken it over. Refused:
    given back by entry `refund_sequence`, and `refusal` says why.
    """

    withdrawal_id: IdText
    reference: str
    asset: str
    amount: DecimalText
    destination: str
    status: WithdrawalStatusText
    outside_id: str | None = Field(description="What the outside knows it by, once it was sent")
    refusal: str | None
    sequence: int
    refund_sequence: int | None
    created_at: TimeText
    updated_at: TimeText


class Withdrawals(Shape):
    """A page of withdrawals, newest first."""

    items: list[Withdrawal]
    next_cursor: str | None


class AssetTransferTerms(Shape):
    """How an asset comes in and goes out. Amounts are multiples of `step`."""

    asset: str
    step: DecimalText
    deposit_min: DecimalText
    withdrawal_min: DecimalText
    deposit_address: str | None = Field(description="Where you send this asset to; null while transfers are closed")


class TransferTerms(Shape):
    """How money comes in and goes out here."""

    custody: Literal["sandbox"] | None = Field(description="What is between here and the outside; null: closed")
    deposits_on_request: bool = Field(description="Whether POST /api/v1/deposits credits you: no real money moves")
    items: list[AssetTransferTerms]
