"""Settings from the environment: typed, validated, frozen. And every port of the product, in one table."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from exchange.contracts.fees import FeeSchedule, FeeTier, parse_tiers


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port that a role of the product listens on, all on one host."""

    number: int
    role: str


PORTS = (
    Port(8080, "exchange-api"),
    Port(8082, "exchange-engine"),
    Port(8083, "exchange-projector"),
    Port(8084, "exchange-publisher"),
    Port(5173, "frontend-development"),
    Port(8050, "surveillance-dashboard"),
    Port(8081, "data-acquisition"),
    Port(8000, "volatility-api"),
    Port(8001, "volatility-consumer-metrics"),
    Port(8011, "enhanced-crypto-prices"),
    Port(8012, "crypto-news-collector"),
    Port(8013, "sentiment-collector"),
    Port(8014, "data-collection-health-monitor"),
    Port(8015, "materialized-updater"),
    Port(8085, "kafka-ui"),
    Port(9092, "kafka"),
    Port(29092, "kafka-internal"),
    Port(5432, "postgres"),
    Port(6379, "redis"),
    Port(5001, "mlflow"),
    Port(3000, "grafana"),
    Port(9090, "prometheus"),
    Port(9093, "alertmanager"),
)
PORT_OF = {port.role: port.number for port in PORTS}

#: Demo money an account may draw a day (UTC), in whole assets; an asset that is not named has no faucet.
FAUCET_DAILY_LIMITS: Mapping[str, str] = {"USD": "10000000", "BTC": "10000", "ETH": "100000"}

#: Volume within 30 days, and the shares of a market's maker and taker fees that an account pays from there on.
FEE_ASSET = "USD"
FEE_TIERS = "0:1:1, 100000:0.9:0.95, 1000000:0.75:0.85, 10000000:0.5:0.7, 100000000:0.25:0.5"

JWT_SECRET_BYTES_MIN = 32
#: What one key, or the sessions of one account, may ask for a second, unless the operator says otherwise. On a machine
#: of one's own that is more than the machine answers.
REQUESTS_PER_S = {"production": 100, "development": 10_000}
TRANSFERS = ("sandbox", "off")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
REPOSITORY_FRONTEND = Path(__file__).resolve().parents[2] / "frontend" / "dist"

_PLACEHOLDER = re.compile(
    r"replace[-_ ]?me|change[-_ ]?(me|this|in[-_ ]production)|your[-_ ]|super[-_ ]?secret|placeholder|example|<.*>",
    re.I,
)
_PLACEHOLDER_PASSWORDS = {"password", "passwd", "postgres", "exchange", "secret", "admin", "test", "user"}


class SettingsError(ValueError):
    """The environment does not make valid settings: one line a problem, each with the next step."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What an installation runs with. Secrets are kept out of ``repr``."""

    home: Path
    environment: Literal["development", "production"]
    host: str
    port: int
    database_url: str | None = field(repr=False)  # None: the embedded server
    redis_url: str | None = field(repr=False)  # None: no Redis
    jwt_secret: str = field(repr=False)
    log_level: str
    cors_origins: tuple[str, ...]
    frontend_dir: Path
    faucet: bool
    fees: FeeSchedule
    transfers: Literal["sandbox", "off"]  # by what deposits come in and withdrawals go out
    requests_per_s: int  # by weight: most requests weigh 1
    cancels_per_s: int
    admin_second_factor: bool  # whether an admin needs one to administer
    snapshots_kept: int  # of the engine's state, spread over the journal: how near a look into the past begins

    @classmethod
    def load(cls, environ: Mapping[str, str], secrets: Mapping[str, str] | None = None) -> "Settings":
        """Return the settings of an environment; ``secrets`` fills in what the environment leaves out.

        ``secrets`` are those of the installation (same names), used in development only: production gets its secrets
        from its operator. Raises SettingsError with every problem found.
        """
        reader = _Reader(environ)
        environment = reader.choice("EXCHANGE_ENV", "development", ("development", "production"))
        production = environment == "production"
        transfers = "off" if production else "sandbox"
        if secrets and not production:
            reader = _Reader({**secrets, **{name: value for name, value in environ.items() if value}}, reader.problems)
        settings = cls(
            home=Path(reader.text("EXCHANGE_HOME") or default_home()).expanduser(),
            environment="production" if production else "development",
            host=reader.text("EXCHANGE_HOST") or "127.0.0.1",
            port=reader.port("EXCHANGE_PORT", PORT_OF["exchange-api"]),
            database_url=reader.url(
                "DATABASE_URL",
                ("postgresql", "postgres", "postgresql+asyncpg"),
                "postgresql://user:password@host:5432/exchange",
            ),
            redis_url=reader.url("REDIS_URL", ("redis", "rediss", "unix"), "redis://host:6379"),
            jwt_secret=reader.text("JWT_SECRET"),
            log_level=reader.choice("LOG_LEVEL", "INFO", LOG_LEVELS),
            cors_origins=reader.origins("EXCHANGE_CORS_ORIGINS", f"http://localhost:{PORT_OF['frontend-development']}"),
            frontend_dir=Path(reader.text("EXCHANGE_FRONTEND_DIR") or REPOSITORY_FRONTEND).expanduser(),
            faucet=reader.choice("EXCHANGE_FAUCET", "off" if production else "on", ("on", "off")) == "on",
            fees=FeeSchedule(
                reader.text("EXCHANGE_FEE_ASSET") or FEE_ASSET, reader.tiers("EXCHANGE_FEE_TIERS", FEE_TIERS)
            ),
            transfers="sandbox" if reader.choice("EXCHANGE_TRANSFERS", transfers, TRANSFERS) == "sandbox" else "off",
            requests_per_s=reader.number("EXCHANGE_REQUESTS_PER_S", REQUESTS_PER_S[environment], 1, 1_000_000),
            cancels_per_s=reader.number("EXCHANGE_CANCELS_PER_S", REQUESTS_PER_S[environment], 1, 1_000_000),
            admin_second_factor=reader.choice(
                "EXCHANGE_ADMIN_SECOND_FACTOR", "on" if production else "off", ("on", "off")
            )
            == "on",
            snapshots_kept=reader.number("EXCHANGE_SNAPSHOTS_KEPT", 256, 2, 100_000),
        )
        reader.problems += _secret_problems(settings)
        if reader.problems:
            raise SettingsError(
                "The settings are not valid:\n" + "\n".join(f"- {problem}" for problem in reader.problems)
            )
        return settings

    @property
    def production(self) -> bool:
        return self.environment == "production"


def default_home() -> Path:
    """Where an installation lives unless EXCHANGE_HOME says otherwise."""
    import os

    return Path("/var/lib/exchange") if os.geteuid() == 0 else Path.home() / ".local/share/exchange"


def _secret_problems(settings: Settings) -> list[str]:
    problems = []
    make_one = "make one with `openssl rand -base64 48`"
    if not settings.jwt_secret:
        problems.append(f"JWT_SECRET is not set; {make_one}")
    elif len(settings.jwt_secret.encode()) < JWT_SECRET_BYTES_MIN:
        problems.append(f"JWT_SECRET is shorter than {JWT_SECRET_BYTES_MIN} bytes; {make_one}")
    elif settings.production and _looks_made_up(settings.jwt_secret):
        problems.append(f"JWT_SECRET is a placeholder, which EXCHANGE_ENV=production refuses; {make_one}")
    if settings.production:
        problems += _database_url_problems(settings.database_url)
    return problems


def _looks_made_up(secret: str) -> bool:
    return bool(_PLACEHOLDER.search(secret)) or len(set(secret)) < 8


def _database_url_problems(url: str | None) -> list[str]:
    if url is None:
        example = "postgresql://user:password@host:5432/exchange"
        return [f"DATABASE_URL is not set, and EXCHANGE_ENV=production needs a database server; set {example}"]
    password = unquote(urlsplit(url).password or "")
    if password.lower() in _PLACEHOLDER_PASSWORDS or _PLACEHOLDER.search(password):
        next_step = "make one with `openssl rand -hex 24`"
        return [f"the password in DATABASE_URL is a placeholder, which EXCHANGE_ENV=production refuses; {next_step}"]
    return []


class _Reader:
    """Reads variables; an empty one counts as not set. Collects problems instead of stopping at the first."""

    def __init__(self, environ: Mapping[str, str], problems: list[str] | None = None) -> None:
        self._environ = environ
        self.problems: list[str] = [] if problems is None else problems

    def text(self, name: str) -> str:
        return self._environ.get(name, "").strip()

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.text(name) or default
        for choice in choices:
            if value.lower() == choice.lower():
                return choice
        self.problems.append(f"{name} is {value!r}; set one of {', '.join(choices)}")
        return default

    def number(self, name: str, default: int, least: int, most: int) -> int:
        value = self.text(name) or str(default)
        if value.isascii() and value.isdigit() and least <= int(value) <= most:
            return int(value)
        self.problems.append(f"{name} is {value!r}; set a whole number, {least} to {most}")
        return default

    def port(self, name: str, default: int) -> int:
        value = self.text(name) or str(default)
        if value.isascii() and value.isdigit() and 0 <= int(value) <= 65535:
            return int(value)
        self.problems.append(f"{name} is {value!r}; set a port number, 1 to 65535 (0 for any free one)")
        return default

    def url(self, name: str, schemes: tuple[str, ...], example: str) -> str | None:
        value = self.text(name)
        if not value:
            return None
        # The value is not repeated in the message: it may hold a password.
        try:
            valid = urlsplit(value).scheme in schemes
        except ValueError:
            valid = False
        if not valid:
            self.problems.append(f"{name} is not a {schemes[0]} URL; it looks like {example}")
        return value

    def tiers(self, name: str, default: str) -> tuple[FeeTier, ...]:
        try:
            return parse_tiers(self.text(name) or default)
        except ValueError as error:
            self.problems.append(f"{name}: {error}; write volume:maker:taker, ..., such as {FEE_TIERS}")
            return parse_tiers(default)

    def origins(self, name: str, default: str) -> tuple[str, ...]:
        origins = tuple(part.strip().rstrip("/") for part in (self.text(name) or default).split(",") if part.strip())
        for origin in origins:
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or not parts.netloc or parts.path:
                self.problems.append(
                    f"{name} holds {origin!r}; write https://exchange.local, several with commas between"
                )
        return origins
