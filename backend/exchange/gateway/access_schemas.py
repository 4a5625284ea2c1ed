"""The shapes of what docs/access.md tells: logins, sessions, the second factor, API keys, the kill switch."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from exchange.gateway.schemas import Credentials
from exchange.gateway.shapes import DecimalText, IdText, Shape, SymbolText, TimeText, example
from exchange.gateway.signatures import RECEIVE_WINDOW_MS, RECEIVE_WINDOW_MS_MAX

ScopeText = Literal["read", "trade", "transfer"]
CodeText = Annotated[
    str, Field(min_length=6, max_length=32, description="Six digits of the authenticator, or a recovery code")
]


# --- Logins and sessions -----------------------------------------------------------------------------------------


class LoginCredentials(Credentials):
    """Username, password, and the code of the second factor where the account has one."""

    code: CodeText | None = None


class SessionInfo(Shape):
    """A session of yours; ``current`` is the one that asks."""

    session_id: str
    current: bool
    created_at: TimeText
    last_used_at: TimeText
    address: str = Field(description="From where it was used last; empty for sessions begun before this was kept")
    user_agent: str


class SessionList(Shape):
    """Your sessions, the one used last first."""

    items: list[SessionInfo]


class Ended(Shape):
    """How many sessions were ended."""

    sessions_ended: int


# --- The second factor -------------------------------------------------------------------------------------------


class Proof(Shape):
    """Your password once more, and a code where the second factor is on."""

    model_config = example(password="correct horse battery", code="123456")  # noqa: S106 - an example
    password: str
    code: CodeText | None = None


class Confirmation(Shape):
    """A code of the authenticator."""

    model_config = example(code="123456")
    code: CodeText


class SecondFactorInfo(Shape):
    """Whether a login asks for a code."""

    enabled: bool
    enabled_at: TimeText | None
    recovery_codes_left: int


class SecondFactorEnrolment(Shape):
    """What to put into an authenticator: `otpauth_uri` as a QR code, or `secret` by hand."""

    secret: str
    otpauth_uri: str


class RecoveryCodes(Shape):
    """Each stands in for a code once. They are told here and never again."""

    recovery_codes: list[str]


# --- API keys ----------------------------------------------------------------------------------------------------


class KeyLimits(Shape):
    """What a key may do, where, from where, for how much and until when."""

    label: str = Field(pattern=r"^[^\x00-\x1f\x7f]{1,64}$", description="Yours, to tell keys apart")
    scopes: list[ScopeText] = Field(min_length=1, max_length=3)
    symbols: list[SymbolText] | None = Field(
        None, min_length=1, max_length=100, description="The markets it may trade on; null for all"
    )
    notional_max: dict[str, DecimalText] = Field(
        default_factory=dict,
        max_length=50,
        description="By symbol or quote asset: what one order may be worth at most, in the quote asset",
        examples=[{"BTC/USD": "10000", "USD": "50000"}],
    )
    addresses: list[str] | None = Field(
        None,
        min_length=1,
        max_length=32,
        description="The addresses and networks it may be used from; null for any",
        examples=[["203.0.113.7", "2001:db8::/48"]],
    )
    receive_window_ms: int = Field(
        RECEIVE_WINDOW_MS, ge=100, le=RECEIVE_WINDOW_MS_MAX, description="How old a request may be when it arrives"
    )


class NewApiKey(KeyLimits):
    """A key to make. An Ed25519 key is made by you: send its public half; the secret of an HMAC key is made here."""

    model_config = example(
        label="market maker 1",
        kind="hmac",
        scopes=["read", "trade"],
        symbols=["BTC/USD"],
        notional_max={"BTC/USD": "10000"},
        addresses=["203.0.113.0/24"],
        expires_at="2030-01-01T00:00:00Z",
    )
    kind: Literal["hmac", "ed25519"]
    public_key: str | None = Field(None, max_length=1000, description="ed25519: the public key in PEM")
    expires_at: AwareDatetime | None = Field(None, description="At most ten years ahead; null for never")


class ApiKeyInfo(KeyLimits):
    """A key as it is. Its secret is never told again."""

    key_id: str
    kind: Literal["hmac", "ed25519"]
    status: Literal["active", "expired", "revoked"]
    created_at: TimeText
    expires_at: TimeText | None
    last_used_at: TimeText | None
    revoked_at: TimeText | None


class CreatedApiKey(ApiKeyInfo):
    """A new key. `secret` signs its requests, is told here and never again; null for an Ed25519 key."""

    secret: str | None


class ApiKeyList(Shape):
    """Your keys, newest first."""

    items: list[ApiKeyInfo]


class RateLimitBudget(Shape):
    """What is left of a rate limit."""

    limit: int
    remaining: int
    full_in_s: float = Field(description="Seconds until all of it is there again")


class Budgets(Shape):
    """The two rate limits of a key."""

    requests: RateLimitBudget
    cancels: RateLimitBudget


class ApiKeySelf(ApiKeyInfo):
    """What the key that asks is and may do, and what is left to it."""

    account_id: IdText
    account_frozen: bool
    address: str = Field(description="From where this request came")
    budgets: Budgets


# --- The kill switch ---------------------------------------------------------------------------------------------


class KillSwitch(Shape):
    """Whether this session is to end with the others."""

    model_config = example(end_this_session=False)
    end_this_session: bool = False


class Killed(Shape):
    """What the kill switch did."""

    keys_revoked: int
    sessions_ended: int
    orders_cancelled: int
