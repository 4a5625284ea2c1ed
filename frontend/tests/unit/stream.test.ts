import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { Stream } from "@/api/stream";

import { FakeSocket } from "./support/sockets";

const tokens = { accessToken: vi.fn<() => Promise<string | null>>(), renew: vi.fn<(rejected: string) => Promise<string | null>>() };
const makeStream = (): Stream => new Stream({ url: "ws://exchange/ws/v1", tokens, connect: (url) => new FakeSocket(url), random: () => 0 });
const depth = (sequence: number, prev: number | null): Record<string, unknown> =>
  prev === null
    ? { type: "snapshot", channel: "depth", symbol: "BTC/USD", sequence, bids: [], asks: [] }
    : { type: "update", channel: "depth", symbol: "BTC/USD", sequence, prev_sequence: prev, bids: [], asks: [] };

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.made = [];
  tokens.accessToken.mockResolvedValue("token-1");
  tokens.renew.mockResolvedValue("token-2");
});
afterEach(() => vi.useRealTimers());

/** A stream with the depth channel open, and the messages that its handler was given. */
function following(): { stream: Stream; socket: FakeSocket; seen: string[]; stop: () => void } {
  const stream = makeStream();
  const seen: string[] = [];
  const stop = stream.subscribe("depth", "BTC/USD", (message) => {
    const { type, sequence } = message as unknown as { type: string; sequence: number };
    seen.push(`${type} ${sequence}`);
  });
  const socket = FakeSocket.latest();
  socket.open();
  return { stream, socket, seen, stop };
}

describe("sequence", () => {
  test("a snapshot and the updates that follow it are passed on in order", () => {
    const { socket, seen } = following();
    [depth(10, null), depth(12, 10), depth(13, 12)].forEach((message) => socket.say(message));
    expect(seen).toEqual(["snapshot 10", "update 12", "update 13"]);
    expect(socket.ops("subscribe")).toHaveLength(1);
  });

  test("an update before the first snapshot is not passed on", () => {
    const { socket, seen } = following();
    socket.say(depth(12, 10));
    expect(seen).toEqual([]);
  });

  test("a gap asks for a snapshot at once and passes nothing on until it is here", () => {
    const { socket, seen } = following();
    [depth(10, null), depth(15, 14), depth(16, 15)].forEach((message) => socket.say(message));
    expect(seen).toEqual(["snapshot 10"]);
    expect(socket.ops("subscribe")).toHaveLength(2);
    [depth(16, null), depth(17, 16)].forEach((message) => socket.say(message));
    expect(seen).toEqual(["snapshot 10", "snapshot 16", "update 17"]);
  });

  test("an update that the snapshot includes already is skipped without alarm", () => {
    const { socket, seen } = following();
    [depth(10, null), depth(9, 8), depth(10, 9), depth(11, 10)].forEach((message) => socket.say(message));
    expect(seen).toEqual(["snapshot 10", "update 11"]);
    expect(socket.ops("subscribe")).toHaveLength(1);
  });

  test("gap after gap gives the connection up", () => {
    const { socket } = following();
    for (let round = 0; round < 6; round += 1) {
      socket.say(depth(10 * (round + 1), null));
      socket.say(depth(10 * (round + 1) + 5, 10 * (round + 1) + 4));
    }
    expect(socket.closed).toBe(true);
    expect(socket.ops("subscribe")).toHaveLength(6);
  });

  test("the holder of the data can ask for a snapshot itself", () => {
    const { stream, socket, seen } = following();
    socket.say(depth(10, null));
    stream.resnapshot("depth", "BTC/USD");
    socket.say(depth(11, 10));
    socket.say(depth(12, null));
    expect(seen).toEqual(["snapshot 10", "snapshot 12"]);
  });
});

describe("connection", () => {
  test("a lost connection is opened again and everything is subscribed again", () => {
    const { stream, socket, seen } = following();
    socket.say(depth(10, null));
    socket.lose();
    expect(stream.status).toBe("reconnecting");
    vi.advanceTimersByTime(250);
    const next = FakeSocket.latest();
    expect(next).not.toBe(socket);
    next.open();
    expect(stream.status).toBe("live");
    expect(next.ops("subscribe")).toMatchObject([{ channel: "depth", symbol: "BTC/USD" }]);
    next.say(depth(30, 10));
    next.say(depth(40, null));
    expect(seen).toEqual(["snapshot 10", "snapshot 40"]);
  });

  test("attempts become rarer and are spread at random", () => {
    const delays: number[] = [];
    const random = vi.fn(() => 0.5);
    const stream = new Stream({ url: "ws://x", tokens, connect: (url) => new FakeSocket(url), random });
    stream.subscribe("ticker", "BTC/USD", () => undefined);
    for (let attempt = 0; attempt < 9; attempt += 1) {
      const made = FakeSocket.made.length;
      FakeSocket.latest().lose();
      let waited = 0;
      while (FakeSocket.made.length === made) {
        vi.advanceTimersByTime(5);
        waited += 5;
      }
      delays.push(waited);
    }
    expect(delays.slice(0, 4)).toEqual([375, 750, 1500, 3000]);
    expect(Math.max(...delays)).toBe(11_250);
    expect(random).toHaveBeenCalledTimes(9);
  });

  test("an exchange that shuts down says when to come back", () => {
    const { socket } = following();
    socket.say({ type: "shutdown", reason: "the exchange is restarting", reconnect_after_ms: 2_345, sequence: 10 });
    socket.lose();
    vi.advanceTimersByTime(2_344);
    expect(FakeSocket.made).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(FakeSocket.made).toHaveLength(2);
  });

  test("silence longer than three heartbeats counts as a lost connection", () => {
    const { socket } = following();
    socket.say(depth(10, null));
    vi.advanceTimersByTime(14_000);
    socket.say({ type: "heartbeat", sequence: 10 });
    vi.advanceTimersByTime(14_000);
    expect(socket.closed).toBe(false);
    vi.advanceTimersByTime(1_500);
    expect(socket.closed).toBe(true);
    expect(FakeSocket.made).toHaveLength(2);
  });

  test("what an old connection still says is not heard twice, and its end is not a second end", () => {
    const { socket } = following();
    socket.lose();
    socket.lose();
    vi.advanceTimersByTime(10_000);
    expect(FakeSocket.made).toHaveLength(2);
  });

  test("a message that cannot be read ends the connection", () => {
    const { socket } = following();
    socket.onmessage?.({ data: "{broken" });
    expect(socket.closed).toBe(true);
  });

  test("after unsubscribing nothing is passed on and the exchange is told", () => {
    const { socket, seen, stop } = following();
    socket.say(depth(10, null));
    stop();
    socket.say(depth(11, 10));
    expect(seen).toEqual(["snapshot 10"]);
    expect(socket.ops("unsubscribe")).toMatchObject([{ channel: "depth", symbol: "BTC/USD" }]);
  });

  test("the network's return does not wait for the next attempt", () => {
    const { stream, socket } = following();
    socket.lose();
    stream.reconnectNow();
    expect(FakeSocket.made).toHaveLength(2);
  });
});

describe("the private channel", () => {
  const flush = () => vi.advanceTimersByTimeAsync(0);
  async function signedIn(): Promise<{ stream: Stream; socket: FakeSocket; seen: unknown[] }> {
    const stream = makeStream();
    const seen: unknown[] = [];
    stream.subscribeOrders((message) => seen.push(message));
    const socket = FakeSocket.latest();
    socket.open();
    await flush();
    return { stream, socket, seen };
  }

  test("authenticates before it subscribes", async () => {
    const { socket } = await signedIn();
    expect(socket.sent.map(({ op, token, channel }) => [op, token ?? channel])).toEqual([["authenticate", "token-1"], ["subscribe", "orders"]]);
  });

  test("an expired token is renewed, and the channel subscribed again", async () => {
    const { socket, seen } = await signedIn();
    socket.say({ type: "snapshot", channel: "orders", sequence: 5, orders: [], balances: [] });
    socket.say({ type: "error", reason: "TOKEN_EXPIRED" });
    await flush();
    expect(tokens.renew).toHaveBeenCalledWith("token-1");
    expect(socket.ops("authenticate").at(-1)?.token).toBe("token-2");
    expect(socket.ops("subscribe")).toHaveLength(2);
    expect(seen).toHaveLength(1);
  });

  test("a token that is turned down again and again is not tried for ever", async () => {
    const { socket } = await signedIn();
    for (let round = 0; round < 50; round += 1) {
      socket.say({ type: "error", reason: "UNAUTHENTICATED" });
      await flush();
    }
    expect(socket.ops("authenticate").length).toBeLessThan(10);
  });

  test("a new token is shown before the old one expires, without a new snapshot", async () => {
    const { stream, socket } = await signedIn();
    socket.say({ type: "snapshot", channel: "orders", sequence: 5, orders: [], balances: [] });
    tokens.accessToken.mockResolvedValue("token-9");
    await stream.authenticate();
    expect(socket.ops("authenticate").at(-1)?.token).toBe("token-9");
    expect(socket.ops("subscribe")).toHaveLength(1);
  });
});
