"""Settings: defaults, production's demands, and one table of ports."""

from collections import Counter
from pathlib import Path

import pytest

from exchange.settings import FAUCET_DAILY_LIMITS, PORT_OF, PORTS, Settings, SettingsError

SECRET = "kJ8s0ZrQ3vT1mYwE5uHn7bLcXa9dGf2oPqRiStUv"
DATABASE = "postgresql://exchange:9f2b61c0d7e84a53@postgres:5432/exchange"
PRODUCTION = {"EXCHANGE_ENV": "production", "JWT_SECRET": SECRET, "DATABASE_URL": DATABASE}


def test_development_needs_only_the_installations_secret() -> None:
    settings = Settings.load({}, {"JWT_SECRET": SECRET})
    assert (settings.environment, settings.host, settings.port) == ("development", "127.0.0.1", 8080)
    assert (settings.database_url, settings.redis_url, settings.faucet) == (None, None, True)
    assert settings.cors_origins == ("http://localhost:5173",)
    assert settings.log_level == "INFO"


def test_the_environment_wins_over_the_installations_secrets_and_empty_counts_as_not_set() -> None:
    secrets = {"JWT_SECRET": SECRET, "DATABASE_URL": DATABASE}
    own = "own-" + SECRET
    assert Settings.load({"JWT_SECRET": own, "DATABASE_URL": ""}, secrets).jwt_secret == own
    assert Settings.load({"JWT_SECRET": ""}, secrets).database_url == DATABASE


def test_every_variable_is_read() -> None:
    settings = Settings.load(
        {
            "EXCHANGE_HOME": "/srv/exchange",
            "EXCHANGE_HOST": "0.0.0.0",
            "EXCHANGE_PORT": "9000",
            "DATABASE_URL": "postgresql://u:p@/exchange?host=/run/pg",
            "REDIS_URL": "redis://cache:6379",
            "JWT_SECRET": SECRET,
            "LOG_LEVEL": "debug",
            "EXCHANGE_CORS_ORIGINS": "https://exchange.local, https://other.local/",
            "EXCHANGE_FRONTEND_DIR": "/srv/dist",
            "EXCHANGE_FAUCET": "off",
        }
    )
    assert (settings.home, settings.host, settings.port) == (Path("/srv/exchange"), "0.0.0.0", 9000)
    assert (settings.redis_url, settings.log_level, settings.faucet) == ("redis://cache:6379", "DEBUG", False)
    assert settings.cors_origins == ("https://exchange.local", "https://other.local")
    assert settings.frontend_dir == Path("/srv/dist")


def test_production_starts_with_real_secrets_and_without_a_faucet() -> None:
    settings = Settings.load(PRODUCTION)
    assert settings.production
    assert not settings.faucet


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "short",
        "REPLACE_ME_WITH_48_RANDOM_BYTES_IN_BASE64",
        "your-super-secret-jwt-key-here-change-in-production",
        "changeme-changeme-changeme-changeme-changeme",
        "a" * 64,
        "0123456" * 8,
    ],
)
def test_production_refuses_a_made_up_jwt_secret_and_names_the_next_step(secret: str) -> None:
    with pytest.raises(SettingsError, match=r"JWT_SECRET .*openssl rand -base64 48") as caught:
        Settings.load(PRODUCTION | {"JWT_SECRET": secret}, {"JWT_SECRET": SECRET})
    assert len(secret) < 10 or secret not in str(caught.value)


@pytest.mark.parametrize(
    "password", ["REPLACE_ME", "password", "changeme", "postgres", "REPLACE%5FME", "your-password"]
)
def test_production_refuses_a_placeholder_database_password_without_repeating_it(password: str) -> None:
    url = f"postgresql://operator:{password}@db:5432/exchange"
    with pytest.raises(SettingsError, match=r"DATABASE_URL.*openssl rand -hex 24") as caught:
        Settings.load(PRODUCTION | {"DATABASE_URL": url})
    assert url not in str(caught.value)


def test_production_refuses_to_start_without_a_database() -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL is not set"):
        Settings.load(PRODUCTION | {"DATABASE_URL": ""})


def test_a_short_secret_is_refused_in_development_too() -> None:
    with pytest.raises(SettingsError, match="shorter than 32 bytes"):
        Settings.load({"JWT_SECRET": "x" * 31})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EXCHANGE_ENV", "staging"),
        ("EXCHANGE_PORT", "http"),
        ("EXCHANGE_PORT", "65536"),
        ("EXCHANGE_PORT", "-1"),
        ("DATABASE_URL", "mysql://root@db/exchange"),
        ("DATABASE_URL", "postgresql://[::1"),
        ("REDIS_URL", "localhost:6379"),
        ("LOG_LEVEL", "LOUD"),
        ("EXCHANGE_CORS_ORIGINS", "*"),
        ("EXCHANGE_CORS_ORIGINS", "https://a.local/path"),
        ("EXCHANGE_FAUCET", "sometimes"),
        ("EXCHANGE_TRANSFERS", "swift"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.load({"JWT_SECRET": SECRET, name: value})


def test_money_moves_in_a_sandbox_in_development_and_not_at_all_in_production_unless_it_is_said() -> None:
    assert Settings.load({"JWT_SECRET": SECRET}).transfers == "sandbox"
    assert Settings.load({"JWT_SECRET": SECRET, "EXCHANGE_TRANSFERS": "off"}).transfers == "off"
    assert Settings.load(PRODUCTION).transfers == "off"
    assert Settings.load(PRODUCTION | {"EXCHANGE_TRANSFERS": "sandbox"}).transfers == "sandbox"


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load({"EXCHANGE_PORT": "x", "LOG_LEVEL": "y"})
    assert all(name in str(caught.value) for name in ("EXCHANGE_PORT", "LOG_LEVEL", "JWT_SECRET"))


def test_secrets_do_not_show_when_settings_are_printed() -> None:
    settings = Settings.load(PRODUCTION | {"REDIS_URL": "redis://:hidden-word@cache:6379"})
    shown = repr(settings)
    assert SECRET not in shown
    assert "9f2b61c0d7e84a53" not in shown
    assert "hidden-word" not in shown


def test_no_two_roles_listen_on_one_port_of_a_host() -> None:
    assert [number for number, uses in Counter(port.number for port in PORTS).items() if uses > 1] == []
    assert len(PORT_OF) == len(PORTS)
    assert PORT_OF["exchange-api"] == 8080
    assert PORT_OF["frontend-development"] == 5173


def test_the_faucets_limits_are_amounts_of_the_demo_assets() -> None:
    assert FAUCET_DAILY_LIMITS == {"USD": "10000000", "BTC": "10000", "ETH": "100000"}
