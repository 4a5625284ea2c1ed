import { existsSync } from "node:fs";

import { defineConfig } from "@playwright/test";

/**
 * Smoke tests of the built pages in a real browser. With EXCHANGE_API_URL they run against that exchange, otherwise against the mock.
 * The browser is the system's: CHROMIUM_PATH, or /usr/bin/chromium, or what `npx playwright install` has put in place.
 */
const MOCK_PORT = 18_080;
const PREVIEW_PORT = 4173;
const apiUrl = process.env.EXCHANGE_API_URL ?? `http://localhost:${MOCK_PORT}`;
const chromium = process.env.CHROMIUM_PATH ?? (existsSync("/usr/bin/chromium") ? "/usr/bin/chromium" : undefined);

const preview = {
  command: `npm run build && npm run preview -- --port ${PREVIEW_PORT}`,
  url: `http://localhost:${PREVIEW_PORT}`,
  env: { EXCHANGE_API_URL: apiUrl },
  timeout: 180_000,
};
const mock = { command: "npm run mock", url: `http://localhost:${MOCK_PORT}/api/v1/health`, env: { MOCK_PORT: String(MOCK_PORT) }, timeout: 60_000 };

export default defineConfig({
  testDir: "tests/e2e",
  outputDir: "test-results",
  workers: 1,
  timeout: 60_000,
  expect: { timeout: 15_000 },
  reporter: [["list"]],
  use: {
    baseURL: `http://localhost:${PREVIEW_PORT}`,
    trace: "retain-on-failure",
    launchOptions: {
      ...(chromium ? { executablePath: chromium } : {}),
      args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
    },
  },
  webServer: process.env.EXCHANGE_API_URL ? [preview] : [mock, preview],
});
