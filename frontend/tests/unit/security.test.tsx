import { createMemoryHistory } from "@tanstack/react-router";
import { render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";

import type { ApiKey, NewApiKey, SecondFactor } from "@/api/types";
import { App } from "@/app/App";
import { deviceName } from "@/features/security/device";
import { makeExchange } from "@/state/exchange";

import { at, BASE, exchangeServer, http, HttpResponse, problem, rememberSession } from "./support/server";
import { FakeSocket } from "./support/sockets";

const OFF: SecondFactor = { enabled: false, enabled_at: null, recovery_codes_left: 0 };
const ON: SecondFactor = { enabled: true, enabled_at: "2026-01-01T12:00:00Z", recovery_codes_left: 1 };
const KEY: ApiKey = {
  key_id: "ab".repeat(12), label: "maker", kind: "hmac", status: "active", scopes: ["read"], symbols: null, notional_max: {}, addresses: null,
  receive_window_ms: 5000, created_at: "2026-01-01T12:00:00Z", expires_at: null, last_used_at: null, revoked_at: null,
};
const SESSION = { session_id: "s1", current: true, created_at: "2026-01-01T12:00:00Z", last_used_at: "2026-01-01T12:00:00Z", address: "203.0.113.7", user_agent: "" };

const server = exchangeServer();
const user = userEvent.setup();
beforeAll(() => server.listen({ onUnhandledRequest: "error" }));
beforeEach(() => {
  FakeSocket.made = [];
  vi.stubGlobal("WebSocket", FakeSocket);
  rememberSession();
  server.use(
    http.get(at("/auth/second-factor"), () => HttpResponse.json(OFF)),
    http.get(at("/auth/sessions"), () => HttpResponse.json({ items: [SESSION] })),
    http.get(at("/api-keys"), () => HttpResponse.json({ items: [] })),
  );
});
afterEach(() => server.resetHandlers());
afterAll(() => server.close());

const open = (): void => void render(<App exchange={makeExchange(BASE)} history={createMemoryHistory({ initialEntries: ["/security"] })} />);

describe("the second factor", () => {
  const setUp = async (password: string) => {
    const factor = await screen.findByRole("region", { name: "Second factor" });
    await user.type(await within(factor).findByLabelText("Password"), password);
    await user.click(within(factor).getByRole("button", { name: "Set up" }));
    return factor;
  };

  test("a wrong password is tried once, with the token that there is", async () => {
    let tried = 0;
    let renewed = 0;
    server.use(
      http.post(at("/auth/second-factor"), () => {
        tried += 1;
        return problem(401, "CREDENTIALS_INVALID");
      }),
      http.post(at("/auth/refresh"), () => {
        renewed += 1;
        return HttpResponse.json({ account_id: "2", username: "ann", access_token: "access-1", expires_in: 600, refresh_token: "refresh-1", token_type: "Bearer" });
      }),
    );
    open();
    const factor = await setUp("wrong");
    expect(await within(factor).findByRole("alert")).toHaveTextContent("The password is wrong.");
    expect([tried, renewed]).toEqual([1, 1]); // the page's own first token
  });

  test("recovery codes stay on the page until they are kept, although it is on by then", async () => {
    let state = OFF;
    server.use(
      http.get(at("/auth/second-factor"), () => HttpResponse.json(state)),
      http.post(at("/auth/second-factor"), () => HttpResponse.json({ secret: "GEZDGNBV", otpauth_uri: "otpauth://totp/Exchange:ann?secret=GEZDGNBV" }, { status: 201 })),
      http.post(at("/auth/second-factor/confirm"), () => {
        state = ON;
        return HttpResponse.json({ recovery_codes: ["aaaa-bbbb", "cccc-dddd"] });
      }),
    );
    open();
    const factor = await setUp("correct horse");
    expect(await within(factor).findByText("GEZDGNBV")).toBeInTheDocument();
    expect(within(factor).getByRole("img", { name: "QR code for your authenticator" })).toBeInTheDocument();
    await user.type(within(factor).getByLabelText("Code from your app"), " 123456 ");
    await user.click(within(factor).getByRole("button", { name: "Turn on" }));
    expect(await within(factor).findByText("On")).toBeInTheDocument();
    expect(within(factor).getByText(/aaaa-bbbb\s+cccc-dddd/)).toBeInTheDocument();
    await user.click(within(factor).getByRole("button", { name: "I have kept them" }));
    expect(await within(factor).findByText(/One recovery code is left/)).toBeInTheDocument();
  });

  test("a wrong code is told at its field", async () => {
    server.use(
      http.get(at("/auth/second-factor"), () => HttpResponse.json(ON)),
      http.post(at("/auth/second-factor/disable"), () => problem(401, "SECOND_FACTOR_INVALID")),
    );
    open();
    const factor = await screen.findByRole("region", { name: "Second factor" });
    await user.type(await within(factor).findByLabelText("Password"), "correct horse");
    await user.type(within(factor).getByLabelText("Code"), "000000");
    await user.click(within(factor).getByRole("button", { name: "Turn off" }));
    expect(await within(factor).findByRole("alert")).toHaveTextContent("The code is wrong or was used before.");
    expect(within(factor).getByLabelText("Code")).toBeInvalid();
    expect(within(factor).getByLabelText("Password")).toBeValid();
  });
});

describe("API keys", () => {
  test("an Ed25519 key is made of a public key, for some markets and until the end of a day", async () => {
    const asked: NewApiKey[] = [];
    server.use(
      http.post(at("/api-keys"), async ({ request }) => {
        asked.push((await request.json()) as NewApiKey);
        if (asked.length === 1) return problem(422, "FIELD_INVALID", { field: "public_key", detail: "public_key is not PEM" });
        return HttpResponse.json({ ...KEY, kind: "ed25519", secret: null }, { status: 201 });
      }),
    );
    open();
    await user.click(await screen.findByRole("button", { name: "New key" }));
    const form = await screen.findByRole("form", { name: "New key" });
    const make = within(form).getByRole("button", { name: "Make the key" });
    expect(make).toBeDisabled();
    await user.type(within(form).getByLabelText("Label"), "maker");
    await user.click(within(form).getByLabelText("Ed25519"));
    expect(make).toBeDisabled();
    await user.type(within(form).getByLabelText("Public key (PEM)"), "PEM");
    await user.click(within(form).getByLabelText("Trade"));
    await user.click(await within(form).findByLabelText("BTC/USD"));
    await user.type(within(form).getByLabelText("Last day (optional)"), "2030-12-31");
    await user.click(make);
    expect(await within(form).findByRole("alert")).toHaveTextContent("public_key is not PEM");
    await user.click(make);
    expect(await screen.findByText("Sign with the private key that you hold.")).toBeInTheDocument();
    const expires_at = new Date("2030-12-31T23:59:59").toISOString();
    expect(asked[1]).toEqual({
      label: "maker", kind: "ed25519", public_key: "PEM", scopes: ["read"], symbols: ["BTC/USD"], notional_max: {}, addresses: null, expires_at,
    });
  });

  test("what a key may do is told, and a revoked one cannot be revoked again", async () => {
    const limited: ApiKey = { ...KEY, symbols: ["BTC/USD"], notional_max: { USD: "50000" }, addresses: ["203.0.113.0/24"], status: "revoked", expires_at: "2019-06-15T12:00:00Z" };
    server.use(http.get(at("/api-keys"), () => HttpResponse.json({ items: [limited] })));
    open();
    const row = await screen.findByRole("row", { name: /maker/ });
    expect(row).toHaveTextContent("BTC/USD · 50,000 USD an order");
    expect(row).toHaveTextContent("203.0.113.0/24");
    expect(row).toHaveTextContent("2019"); // of another year than this one it is told
    expect(within(row).queryByRole("button")).toBeNull();
  });
});

test("the kill switch asks first, and is sent until it is answered", async () => {
  let sent = 0;
  server.use(
    http.post(at("/account/kill-switch"), () => {
      sent += 1;
      return sent === 1 ? problem(503, "OUTCOME_UNKNOWN") : HttpResponse.json({ keys_revoked: 2, sessions_ended: 1, orders_cancelled: 3 });
    }),
  );
  open();
  await user.click(await screen.findByRole("button", { name: "Stop everything" }));
  const dialog = await screen.findByRole("dialog", { name: "Stop everything?" });
  expect(sent).toBe(0);
  await user.click(within(dialog).getByRole("button", { name: "Stop everything" }));
  expect(await screen.findByText("Keys revoked: 2, sessions ended: 1, orders cancelled: 3.", {}, { timeout: 10_000 })).toBeInTheDocument();
  expect(sent).toBe(2);
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
});

test("who is signed out is asked to sign in", async () => {
  localStorage.clear();
  open();
  expect(await screen.findByText("Sign in to see who can use your account.")).toBeInTheDocument();
});

test.each([
  ["Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox, Linux"],
  ["Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36 Edg/126.0", "Edge, Windows"],
  ["Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36", "Chrome, Android"],
  ["Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1", "Safari, iOS"],
  ["curl/8.5.0", "curl/8.5.0"],
  ["", ""],
])("%s is %s", (userAgent, name) => {
  expect(deviceName(userAgent)).toBe(name);
});
