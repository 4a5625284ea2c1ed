"""Checks of what is delivered: images, manifests, chart, monitoring, scripts, documents."""
