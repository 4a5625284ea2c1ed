"""`exchange openapi`."""

import click


@click.command()
def openapi() -> None:
    """Print the OpenAPI document that this version serves.

    \b
    exchange openapi > openapi/openapi.json
    """
    from exchange.gateway.openapi import render_openapi

    click.echo(render_openapi(), nl=False)
