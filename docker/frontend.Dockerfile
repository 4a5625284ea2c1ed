# The trading UI: static files behind an unprivileged nginx that hands API paths on to exchange-api.
# Build from the repository root: docker build -f docker/frontend.Dockerfile -t exchange/frontend:v0.1.0 .
ARG NODE_VERSION=20
ARG NGINX_VERSION=1.28

FROM node:${NODE_VERSION}-bookworm-slim AS build
WORKDIR /build
COPY frontend/package.json frontend/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY frontend ./
RUN npm run build

FROM nginxinc/nginx-unprivileged:${NGINX_VERSION}-alpine
COPY docker/nginx/nginx.conf docker/nginx/security-headers.conf /etc/nginx/
COPY --from=build /build/dist /usr/share/nginx/html
USER 101:101
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --retries=3 CMD ["wget", "--quiet", "--spider", "http://127.0.0.1:8080/healthz"]
# nginx itself, not the image's entry point: that one rewrites configuration files, which a read-only root refuses.
ENTRYPOINT []
CMD ["nginx", "-g", "daemon off;"]
