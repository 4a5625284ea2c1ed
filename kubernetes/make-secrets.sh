#!/usr/bin/env bash
# Prints the real secrets of an installation as a manifest, made on the spot from the system's random source:
#     kubernetes/make-secrets.sh [HOST] | kubectl apply -f -
# HOST (default exchange.local) is the name in the self-signed certificate exchange-tls, valid for 90 days.
# Run it once per installation: Postgres keeps the password of its first start in its volume.
set -euo pipefail

host=${1:-exchange.local}
namespace=exchange
command -v openssl >/dev/null || { echo "make-secrets.sh needs openssl: install the package openssl" >&2; exit 1; }

postgres_password=$(openssl rand -hex 24)
redis_password=$(openssl rand -hex 24)
jwt_secret=$(openssl rand -hex 48)

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 \
    -subj "/CN=$host" -addext "subjectAltName=DNS:$host" \
    -keyout "$directory/tls.key" -out "$directory/tls.crt" 2>/dev/null

encoded() { base64 < "$1" | tr -d '\n'; }

cat <<MANIFEST
apiVersion: v1
kind: Secret
metadata:
  name: exchange-secrets
  namespace: $namespace
  labels:
    app.kubernetes.io/part-of: exchange
type: Opaque
stringData:
  POSTGRES_PASSWORD: $postgres_password
  REDIS_PASSWORD: $redis_password
  DATABASE_URL: postgresql://exchange:$postgres_password@postgres:5432/exchange
  REDIS_URL: redis://:$redis_password@redis:6379/0
  JWT_SECRET: $jwt_secret
---
apiVersion: v1
kind: Secret
metadata:
  name: exchange-tls
  namespace: $namespace
  labels:
    app.kubernetes.io/part-of: exchange
type: kubernetes.io/tls
data:
  tls.crt: $(encoded "$directory/tls.crt")
  tls.key: $(encoded "$directory/tls.key")
MANIFEST
