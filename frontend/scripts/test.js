// Run the unit tests once. Vitest names its test-name filter -t; people also know it as --grep.
import { spawnSync } from "node:child_process";

const forwarded = process.argv.slice(2).map((word) => word.replace(/^--grep(?==|$)/, "--testNamePattern"));
const { status } = spawnSync("vitest", ["run", ...forwarded], { stdio: "inherit" });
process.exit(status ?? 1);
