import { copyFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { configDefaults, defineConfig } from "vitest/config";

const API_URL = process.env.EXCHANGE_API_URL ?? "http://localhost:8080";
const PROXIED_PATHS = ["/api", "/api-docs", "/swagger-ui", "/metrics"];
const SWAGGER_UI_FILES = ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png", "favicon-16x16.png"];

const CONTENT_SECURITY_POLICY = [
  "default-src 'self'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'", // toasts and chart write their own style elements
  "img-src 'self' data:",
  "connect-src 'self' ws: wss:",
  "frame-ancestors 'none'",
].join("; ");

/** Put Swagger UI's own files into dist/swagger-ui, so that the API serves its page without a CDN. */
function swaggerUiAssets(): Plugin {
  return {
    name: "swagger-ui-assets",
    apply: "build",
    writeBundle({ dir = "dist" }) {
      const source = dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));
      const target = join(dir, "swagger-ui");
      mkdirSync(target, { recursive: true });
      for (const file of SWAGGER_UI_FILES) copyFileSync(join(source, file), join(target, file));
    },
  };
}

const proxied = Object.fromEntries(PROXIED_PATHS.map((path) => [path, { target: API_URL, changeOrigin: true }]));

const server = {
  port: 5173,
  strictPort: true,
  proxy: { ...proxied, "/ws": { target: API_URL.replace(/^http/, "ws"), ws: true, changeOrigin: true } },
};

export default defineConfig({
  plugins: [react(), swaggerUiAssets()],
  resolve: { alias: { "@": join(import.meta.dirname, "src") } },
  server,
  // The built pages are looked at under the policy that production serves them with.
  preview: { ...server, port: 4173, headers: { "Content-Security-Policy": CONTENT_SECURITY_POLICY } },
  build: { target: "es2022", sourcemap: true, chunkSizeWarningLimit: 700 },
  test: {
    environment: "jsdom",
    environmentOptions: { jsdom: { url: "http://localhost:5173/" } },
    include: ["tests/unit/**/*.test.{ts,tsx}"],
    exclude: configDefaults.exclude,
    setupFiles: ["tests/unit/setup.ts"],
    restoreMocks: true,
    testTimeout: 60_000,
    coverage: { include: ["src/**"], exclude: ["src/api/schema.ts"] },
  },
});
