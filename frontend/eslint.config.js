import js from "@eslint/js";
import reactHooks from "eslint-plugin-react-hooks";
import tseslint from "typescript-eslint";

/** Imports run one way: api | market | ui -> state -> features -> app, and no feature knows another. */
const forbidden = (folder, others, message) => ({
  files: [`src/${folder}/**/*.{ts,tsx}`],
  rules: {
    "no-restricted-imports": [
      "error",
      { patterns: [{ group: ["../*"], message: "Cross a folder by @/." }, { group: others.map((other) => `@/${other}/**`), message }] },
    ],
  },
});

export default tseslint.config(
  { ignores: ["dist", "coverage", "src/api/schema.ts", "playwright-report", "test-results"] },
  js.configs.recommended,
  ...tseslint.configs.strictTypeChecked,
  reactHooks.configs.flat["recommended-latest"],
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "max-lines": ["error", 300],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
    },
  },
  { files: ["*.js", "scripts/*.js"], extends: [tseslint.configs.disableTypeChecked], languageOptions: { globals: { process: "readonly" } } },
  { files: ["tests/**"], rules: { "@typescript-eslint/no-base-to-string": "off", "@typescript-eslint/no-non-null-assertion": "off" } },
  forbidden("api", ["market", "ui", "state", "features", "app"], "api knows none of our folders."),
  forbidden("market", ["api", "ui", "state", "features", "app"], "market is pure."),
  forbidden("ui", ["api", "market", "state", "features", "app"], "ui knows none of our folders."),
  forbidden("state", ["features", "app"], "state knows api, market and ui."),
  forbidden("features", ["features", "app"], "A feature knows no other feature."),
);
