#!/usr/bin/env bash
# Prints the .env file that docker/compose.yaml needs, with fresh random secrets:
#     docker/make-env.sh > docker/.env
# Make it once: Postgres keeps the password of its first start in its volume.
set -euo pipefail

command -v openssl >/dev/null || { echo "make-env.sh needs openssl: install the package openssl" >&2; exit 1; }

cat <<ENV
POSTGRES_PASSWORD=$(openssl rand -hex 24)
REDIS_PASSWORD=$(openssl rand -hex 24)
JWT_SECRET=$(openssl rand -hex 48)
GRAFANA_ADMIN_PASSWORD=$(openssl rand -hex 24)
ENV
