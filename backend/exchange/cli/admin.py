"""`exchange admin`: what admins do, over the API of a running exchange; and who is one, in its database."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from exchange.cli.users import DATABASE_URL_OPTION, change_user, on_database

if TYPE_CHECKING:
    from exchange.cli.admin_client import AdminClient
    from exchange.storage.audit_log import Head, Row, Verdict

MARKET_COLUMNS = ("symbol", "mode", "tick_size", "lot_size", "maker_fee", "taker_fee", "quantity_max", "last_price")
USER_COLUMNS = ("account_id", "username", "role", "created_at", "frozen_at", "second_factor", "sessions", "live_orders")
ADJUSTMENT_COLUMNS = (
    "adjustment_id", "username", "direction", "amount", "asset", "status", "proposed_by", "decided_by", "sequence",
    "reason", "refusal",
)  # fmt: skip
NONE = "none"  # takes a limit away

_REASON = click.option("--reason", required=True, help="Why: kept in the audit log.")
_LIMIT = click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
_CURSOR = click.option("--cursor", help="Where the page before ended.")


@click.group()
@click.option("--url", envvar="EXCHANGE_URL", default="http://localhost:8080", show_default=True, help="The exchange.")
@click.option("--token", envvar="EXCHANGE_ADMIN_TOKEN", help="An access token  [default: EXCHANGE_ADMIN_TOKEN]")
@click.option("--username", envvar="EXCHANGE_ADMIN_USERNAME", help="Who logs in where there is no token.")
@click.option("--json", "as_json", is_flag=True, help="Answers as JSON.")
@click.pass_context
def admin(context: click.Context, url: str, token: str | None, username: str | None, as_json: bool) -> None:
    """Run an exchange: markets, users, adjustments, the audit log.

    Without a token each command asks for a password. To be asked once in ten minutes:

    \b
    export EXCHANGE_ADMIN_TOKEN=$(exchange admin --username alice login)
    exchange admin markets mode BTC/USD halted --reason "odd prices"

    The first admin, on the machine of the installation:

    \b
    exchange admin grant alice
    """
    from exchange.cli.admin_client import AdminClient

    context.obj = AdminClient(url, token, username, as_json)


@admin.command()
@click.pass_obj
def login(client: "AdminClient") -> None:
    """Print an access token, good for ten minutes."""
    click.echo(client.log_in())


# In the database


@admin.command()
@click.argument("username")
@DATABASE_URL_OPTION
def grant(username: str, database_url: str | None) -> None:
    """Make USERNAME an admin. In production they need a second factor before it is of use."""
    from exchange.storage.users import set_role

    change_user(
        database_url, username, "admin.grant", lambda connection, account: set_role(connection, account, "admin")
    )
    click.echo(f"{username} is an admin")


@admin.command()
@click.argument("username")
@DATABASE_URL_OPTION
def revoke(username: str, database_url: str | None) -> None:
    """Make USERNAME a user like others. A running exchange knows within a second."""
    from exchange.storage.users import set_role

    change_user(
        database_url, username, "admin.revoke", lambda connection, account: set_role(connection, account, "user")
    )
    click.echo(f"{username} is no admin")


@admin.group("audit-log")
def audit_log() -> None:
    """Read the audit log in the database, and verify that it is whole.

    \b
    exchange admin audit-log show
    exchange admin audit-log verify
    exchange admin audit-log verify --expect-head 17:9f2c...
    """


@audit_log.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="The newest so many.")
@click.option("--action", help="One action only, such as market.set_mode.")
@DATABASE_URL_OPTION
@click.pass_obj
def show(client: "AdminClient", limit: int, action: str | None, database_url: str | None) -> None:
    """Print the newest rows, the newest last."""
    from exchange.contracts.orders import timestamp_text

    rows = on_database(database_url, lambda url: _read_rows(url, limit, action))
    items = [
        {
            "sequence": row.sequence,
            "recorded_at": timestamp_text(row.recorded_ns),
            "actor": row.actor,
            "address": row.address,
            "action": row.action,
            "outcome": row.outcome,
            "parameters": row.parameters,
            "reason": row.reason,
            "intent": row.intent,
            "journal": row.journal_sequence,
            "hash": row.hash.hex(),
        }
        for row in reversed(rows)
    ]
    columns = ("sequence", "recorded_at", "actor", "address", "action", "outcome", "parameters", "reason", "journal")
    client.show({"items": items}, columns)


@audit_log.command()
@click.option("--expect-head", help="A head noted earlier, SEQUENCE:HASH: it must still be there.")
@DATABASE_URL_OPTION
@click.pass_context
def verify(context: click.Context, expect_head: str | None, database_url: str | None) -> None:
    """Seal every row again and compare, and print the head.

    Note the head somewhere that whoever may write to the database cannot: a log that ends too early is whole by
    itself, and only a head noted earlier tells.

    Exit code 0: whole. 1: not, and the first broken row is named.
    """
    from exchange.storage.audit_log import Head

    try:
        pinned = None if expect_head is None else Head.parse(expect_head)
    except ValueError as error:
        raise click.BadParameter(
            "must be SEQUENCE:HASH as this command prints it", param_hint="--expect-head"
        ) from error
    verdict = on_database(database_url, lambda url: _verify(url, pinned))
    if verdict.broken is not None:
        click.echo(f"broken at row {verdict.broken}: {verdict.why}", err=True)
        click.echo(f"whole up to {verdict.head}", err=True)
        context.exit(1)
    click.echo(f"whole: {verdict.head.sequence} rows, head {verdict.head}")


async def _read_rows(url: str, limit: int, action: str | None) -> "list[Row]":
    from exchange.storage.audit_log import page
    from exchange.storage.database import open_database

    database = await open_database(url, pool_size=1)
    try:
        async with database.engine.connect() as connection:
            return list(await page(connection, before=None, action=action, limit=limit))
    finally:
        await database.close()


async def _verify(url: str, pinned: "Head | None") -> "Verdict":
    from exchange.storage import audit_log as log
    from exchange.storage.database import open_database

    database = await open_database(url, pool_size=1, statement_timeout_s=None)
    try:
        async with database.engine.connect() as connection:
            return await log.verify(connection, pinned)
    finally:
        await database.close()


# Assets and markets


@admin.group()
def assets() -> None:
    """List assets.

    \b
    exchange admin assets create SOL --scale 9
    """


@assets.command("list")
@click.pass_obj
def list_assets(client: "AdminClient") -> None:
    """Print every asset."""
    client.show(client.call("GET", "/assets"), ("name", "scale"))


@assets.command("create")
@click.argument("name")
@click.option("--scale", type=click.IntRange(0, 18), required=True, help="Decimals that balances are kept to.")
@click.pass_obj
def create_asset(client: "AdminClient", name: str, scale: int) -> None:
    """List NAME as an asset. Its scale is for ever."""
    client.show(client.call("POST", "/assets", {"name": name.upper(), "scale": scale}), ("name", "scale"))


@admin.group()
def markets() -> None:
    """List markets, change their terms, open and halt them.

    \b
    exchange admin markets create SOL/USD --tick-size 0.01 --lot-size 0.001 --maker-fee 0.001 --taker-fee 0.002
    exchange admin markets change SOL/USD --position-max 5000 --band-width 0.1 --band-action auction --band-auction 300
    exchange admin markets mode SOL/USD auction --for 300
    exchange admin markets mode BTC/USD halted --reason "odd prices"
    """


def _terms(command: Callable[..., None]) -> Callable[..., None]:
    """The options that change the terms of a market."""
    options = (
        click.option("--maker-fee", help="A ratio, such as 0.001."),
        click.option("--taker-fee", help="A ratio, such as 0.002."),
        click.option("--quantity-min"),
        click.option("--quantity-max"),
        click.option("--notional-min", help="What an order must be worth, in quote."),
        click.option("--open-orders-max", help=f"Live orders an account, or {NONE}."),
        click.option("--position-max", help=f"Base that an account may own or have bids for, or {NONE}."),
        click.option("--band-width", help=f"Price band: a ratio of the reference, or {NONE}."),
        click.option("--band-action", type=click.Choice(["reject", "auction"], case_sensitive=False)),
        click.option("--band-interval", type=int, help="Seconds until the reference moves to the last price."),
        click.option("--band-auction", type=int, help="Length of the auction at the band's edge, in seconds."),
        click.option("--reference-price", help="Where the band's reference is from now on."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _terms_body(given: dict[str, Any]) -> dict[str, Any]:
    """Return what options say as a request says it."""
    band = {name: given.pop(f"band_{name}") for name in ("width", "action", "interval", "auction")}
    body: dict[str, Any] = {
        name: None if value == NONE else value for name, value in given.items() if value is not None
    }
    most = body.get("open_orders_max")
    if most is not None:
        if not most.isdigit():
            raise click.BadParameter(f"must be a number or {NONE}", param_hint="--open-orders-max")
        body["open_orders_max"] = int(most)
    if band["width"] == NONE:
        body["price_band"] = None
    elif band["width"] is not None:
        body["price_band"] = {
            "width": band["width"],
            "action": (band["action"] or "reject").title(),
            "interval_s": band["interval"] or 0,
            "auction_s": band["auction"] or 0,
        }
    elif any(value is not None for value in band.values()):
        raise click.UsageError("a price band is set as a whole: give --band-width too")
    return body


@markets.command("list")
@click.pass_obj
def list_markets(client: "AdminClient") -> None:
    """Print every market."""
    client.show(client.call("GET", "/markets"), MARKET_COLUMNS)


@markets.command("create")
@click.argument("symbol")
@click.option("--tick-size", required=True, help="The step of prices, for ever.")
@click.option("--lot-size", required=True, help="The step of quantities, for ever.")
@click.option("--price-max")
@click.option("--mode", default="open", show_default=True, help="In which it begins.")
@_terms
@click.pass_obj
def create_market(client: "AdminClient", /, symbol: str, **given: Any) -> None:
    """List SYMBOL, such as SOL/USD. Both assets are listed before."""
    base, _, quote = symbol.upper().replace("-", "/").partition("/")
    body = {"base": base, "quote": quote} | _terms_body(given)
    client.show(client.call("POST", "/markets", body), MARKET_COLUMNS)


@markets.command("change")
@click.argument("symbol")
@_terms
@click.pass_obj
def change_market(client: "AdminClient", /, symbol: str, **given: Any) -> None:
    """Change terms of SYMBOL from now on; what is not named stays, and so do live orders."""
    client.show(client.call("PATCH", f"/markets/{_in_path(symbol)}", _terms_body(given)), MARKET_COLUMNS)


@markets.command("mode")
@click.argument("symbol")
@click.argument("mode")
@click.option("--until", help="Auction: when it ends by itself, e.g. 2030-01-01T09:00:00Z.")
@click.option("--for", "for_s", type=click.IntRange(1), help="Auction: after so many seconds.")
@click.option("--reason", help="Why: kept in the audit log.")
@click.pass_obj
def market_mode(
    client: "AdminClient", symbol: str, mode: str, until: str | None, for_s: int | None, reason: str | None
) -> None:
    """Let SYMBOL be open, cancel-only, post-only, halted or in an auction."""
    if for_s is not None:
        until = f"{datetime.now(UTC) + timedelta(seconds=for_s):%Y-%m-%dT%H:%M:%SZ}"
    body = {"mode": mode, "until": until, "reason": reason}
    client.show(client.call("PUT", f"/markets/{_in_path(symbol)}/mode", body), MARKET_COLUMNS)


def _in_path(symbol: str) -> str:
    return symbol.replace("/", "-")


# Users


@admin.group()
def users() -> None:
    """See users, freeze and thaw them, end their sessions, cancel their orders.

    \b
    exchange admin users list --search mall
    exchange admin users freeze mallory --reason "asked for by the owner"
    exchange admin users cancel-orders mallory --reason "asked for by the owner"
    """


@users.command("list")
@click.option("--search", help="A part of the username, or the account's number.")
@click.option("--role", type=click.Choice(["user", "admin"]))
@click.option("--frozen/--not-frozen", default=None)
@_LIMIT
@_CURSOR
@click.pass_obj
def list_users(client: "AdminClient", /, frozen: bool | None, **query: Any) -> None:
    """Print users, newest first."""
    asked = query | {"frozen": None if frozen is None else str(frozen).lower()}
    client.show(client.call("GET", "/users", query=asked), USER_COLUMNS)


def _user_command(name: str, path: str, columns: tuple[str, ...], about: str) -> None:
    @users.command(name, help=about)
    @click.argument("username")
    @_REASON
    @click.pass_obj
    def command(client: "AdminClient", username: str, reason: str) -> None:
        account = _account_of(client, username)
        client.show(client.call("POST", f"/users/{account}/{path}", {"reason": reason}), columns)


_user_command("freeze", "freeze", USER_COLUMNS, "Let USERNAME read, cancel and take access away, and nothing else.")
_user_command("thaw", "thaw", USER_COLUMNS, "Let USERNAME trade again.")
_user_command("end-sessions", "end-sessions", ("sessions_ended",), "End all sessions of USERNAME. API keys stay.")
_user_command(
    "cancel-orders",
    "cancel-orders",
    ("orders_cancelled", "sequence"),
    "Cancel all live orders of USERNAME but those in halted markets.",
)


def _account_of(client: "AdminClient", username: str) -> str:
    """Return the account of a username. Raises ClickException."""
    for user in client.call("GET", "/users", query={"username": username})["items"]:
        return str(user["account_id"])
    raise click.ClickException(f"there is no user {username}")


# Adjustments


@admin.group()
def adjustments() -> None:
    """Correct balances: one admin proposes, another approves, and the ledger does it once.

    \b
    exchange admin adjustments propose alice credit 12.50 USD --reason "fee charged twice on trade 17"
    exchange admin adjustments list --status Proposed
    exchange admin adjustments approve 7
    """


@adjustments.command("propose")
@click.argument("username")
@click.argument("direction", type=click.Choice(["credit", "debit"], case_sensitive=False))
@click.argument("amount")
@click.argument("asset")
@_REASON
@click.pass_obj
def propose_adjustment(
    client: "AdminClient", username: str, direction: str, amount: str, asset: str, reason: str
) -> None:
    """Propose to credit or debit USERNAME with AMOUNT of ASSET. Nothing moves until another admin approves."""
    body = {
        "account_id": _account_of(client, username),
        "asset": asset.upper(),
        "direction": direction.title(),
        "amount": amount,
        "reason": reason,
    }
    client.show(client.call("POST", "/adjustments", body), ADJUSTMENT_COLUMNS)


@adjustments.command("list")
@click.option("--status", help="Proposed, Approved, Executed, Refused, Rejected, Withdrawn or Expired.")
@_LIMIT
@_CURSOR
@click.pass_obj
def list_adjustments(client: "AdminClient", status: str | None, limit: int, cursor: str | None) -> None:
    """Print adjustments, newest first."""
    query = {"status": status.title() if status else None, "limit": limit, "cursor": cursor}
    client.show(client.call("GET", "/adjustments", query=query), ADJUSTMENT_COLUMNS)


@adjustments.command("approve")
@click.argument("adjustment", type=click.IntRange(1))
@click.pass_obj
def approve_adjustment(client: "AdminClient", adjustment: int) -> None:
    """Approve what another admin proposed. Doing it again is safe: the money moves once."""
    client.show(client.call("POST", f"/adjustments/{adjustment}/approve"), ADJUSTMENT_COLUMNS)


@adjustments.command("reject")
@click.argument("adjustment", type=click.IntRange(1))
@_REASON
@click.pass_obj
def reject_adjustment(client: "AdminClient", adjustment: int, reason: str) -> None:
    """Decide against what another admin proposed."""
    client.show(client.call("POST", f"/adjustments/{adjustment}/reject", {"reason": reason}), ADJUSTMENT_COLUMNS)


@adjustments.command("withdraw")
@click.argument("adjustment", type=click.IntRange(1))
@click.pass_obj
def withdraw_adjustment(client: "AdminClient", adjustment: int) -> None:
    """Take back what you proposed."""
    client.show(client.call("POST", f"/adjustments/{adjustment}/withdraw"), ADJUSTMENT_COLUMNS)
