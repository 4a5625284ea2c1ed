import { createRequire } from "node:module";

import { expect, test, type Page } from "@playwright/test";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/** Everything that a browser complains about on a page. */
function complaints(page: Page): string[] {
  const heard: string[] = [];
  page.on("pageerror", (error) => heard.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") heard.push(message.text());
  });
  return heard;
}

async function signUp(page: Page): Promise<void> {
  await page.goto("/register");
  await page.getByLabel("Username").fill(`smoke-${Date.now()}-${Math.floor(Math.random() * 1000)}`);
  await page.getByLabel("Password").fill("correct horse battery");
  await page.getByRole("button", { name: "Create account" }).click();
  await expect(page.getByRole("button", { name: "Buy BTC" })).toBeVisible();
}

test("a visitor sees a living market", async ({ page }) => {
  const heard = complaints(page);
  await page.goto("/");
  await expect(page.getByRole("status")).toHaveText("Live");
  await expect(page.getByRole("table", { name: "Order book" }).getByRole("row").nth(5)).toBeAttached();
  await expect(page.getByRole("table", { name: "Recent trades" }).getByRole("row").nth(2)).toBeAttached();
  await expect(page.getByRole("figure", { name: "Chart of BTC/USD" }).locator("canvas").first()).toBeVisible();
  expect(heard).toEqual([]);
});

test("somebody signs up, gets demo money, places an order, sees it and cancels it", async ({ page }) => {
  const heard = complaints(page);
  await signUp(page);
  await page.getByRole("button", { name: "Get demo money" }).click();
  await expect(page.getByTestId("available")).toHaveText("10,000.00 USD");
  await page.getByLabel("Price", { exact: true }).fill("1000.00");
  await page.getByLabel("Quantity").fill("0.5");
  await page.getByRole("button", { name: "Buy BTC" }).click();
  const cancel = page.getByRole("button", { name: /^Cancel order \d+$/ });
  await expect(cancel).toBeVisible();
  await expect(page.getByTestId("available")).toHaveText("9,500.00 USD");
  await cancel.click();
  await expect(page.getByText("No open orders.")).toBeVisible();
  await expect(page.getByTestId("available")).toHaveText("10,000.00 USD");
  expect(heard).toEqual([]);
});

test("a market order trades at once and stands in the fills", async ({ page }) => {
  await signUp(page);
  await page.getByRole("button", { name: "Get demo money" }).click();
  await expect(page.getByTestId("available")).toHaveText("10,000.00 USD");
  await page.getByRole("radio", { name: "Market" }).check();
  await page.getByLabel("Quantity").fill("0.01");
  await page.getByRole("button", { name: "Buy BTC" }).click();
  await page.getByRole("tab", { name: "Fills" }).click();
  await expect(page.getByRole("table", { name: "Fills" }).getByRole("cell", { name: "Taker" }).first()).toBeVisible();
});

test("a click on the ladder puts the price into the ticket", async ({ page }) => {
  await page.goto("/trade/BTC-USD");
  const book = page.getByRole("region", { name: "Order book" });
  await expect(page.getByRole("table", { name: "Order book" }).getByRole("row").nth(5)).toBeAttached();
  const box = (await book.locator("canvas").boundingBox())!;
  await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2 + 60);
  await expect(page.getByLabel("Price", { exact: true })).toHaveValue(/^\d+\.\d\d$/);
});

test("a reload keeps the session, and signing out in one tab signs out in the other", async ({ page, context }) => {
  await signUp(page);
  await page.reload();
  await expect(page.getByRole("button", { name: "Sign out" })).toBeVisible();
  const second = await context.newPage();
  await second.goto("/portfolio");
  await expect(second.getByRole("region", { name: "Balances" })).toBeVisible();
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(second.getByText("Sign in to see your orders and balances.")).toBeVisible();
});

test("a phone shows one pane at a time and nothing runs over the edge", async ({ page }) => {
  await page.setViewportSize({ width: 375, height: 740 });
  await signUp(page);
  for (const [tab, content] of [
    ["Chart", page.getByRole("figure", { name: "Chart of BTC/USD" })],
    ["Book", page.getByRole("region", { name: "Order book" })],
    ["Trades", page.getByRole("region", { name: "Recent trades" })],
    ["Account", page.getByRole("tab", { name: "Open orders" })],
    ["Trade", page.getByRole("button", { name: "Buy BTC" })],
  ] as const) {
    await page.getByRole("tab", { name: tab, exact: true }).click();
    await expect(content).toBeVisible();
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(overflow).toBeLessThanOrEqual(0);
  }
});

test("the theme is the system's until somebody chooses, and the choice is kept", async ({ page }) => {
  await page.emulateMedia({ colorScheme: "light" });
  await page.goto("/login");
  await expect(page.locator("html")).toHaveAttribute("data-theme", "light");
  await page.getByRole("button", { name: "Use the dark theme" }).click();
  await page.reload();
  await expect(page.locator("html")).toHaveAttribute("data-theme", "dark");
});

for (const colorScheme of ["dark", "light"] as const) {
  test(`the pages are accessible in the ${colorScheme} theme`, async ({ page }) => {
    await page.emulateMedia({ colorScheme });
    await signUp(page);
    for (const path of ["/trade/BTC-USD", "/portfolio", "/nowhere"]) {
      await page.goto(path);
      await page.waitForTimeout(1000);
      // Through the debugger, because the page's policy keeps foreign script out.
      const faults = await page.evaluate(`${(await import("node:fs")).readFileSync(AXE, "utf8")};
        axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ": " + nodes.map(({ html }) => html).slice(0, 3).join(" | ")))`);
      expect(faults, path).toEqual([]);
    }
  });
}
