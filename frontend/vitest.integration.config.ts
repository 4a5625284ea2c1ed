import { join } from "node:path";

import { defineConfig } from "vitest/config";

/** Tests of src/api against a running backend at $EXCHANGE_API_URL (default http://localhost:8080). */
export default defineConfig({
  resolve: { alias: { "@": join(import.meta.dirname, "src") } },
  test: {
    environment: "node",
    include: ["tests/integration/**/*.test.ts"],
    testTimeout: 30_000,
    fileParallelism: false,
  },
});
