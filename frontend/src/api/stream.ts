import type { TokenSource } from "./client";
import type { Channel, ChannelMessages, PublicChannel, ServerMessage } from "./messages";

export type StreamStatus = "idle" | "connecting" | "live" | "reconnecting";

/** The part of a WebSocket that is used here. */
export interface Socket {
  send(text: string): void;
  close(code?: number): void;
  onopen: (() => void) | null;
  onclose: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
}

export interface StreamOptions {
  readonly url: string;
  /** Tokens for the private channel. */
  readonly tokens: TokenSource;
  readonly connect?: (url: string) => Socket;
  /** In [0, 1): spreads reconnects, so that a restarted exchange is not met by everybody at once. */
  readonly random?: () => number;
}

type Handler<C extends Channel> = (message: ChannelMessages[C]) => void;

interface Subscription {
  readonly channel: Channel;
  readonly symbol: string | null;
  readonly handle: (message: never) => void;
  /** Sequence that what we hold includes; null until the snapshot is here. */
  sequence: number | null;
  /** Snapshots asked for because of a gap, since the last update that fitted. */
  gaps: number;
}

const BACKOFF_MS = 250;
const BACKOFF_MAX_MS = 15_000;
/** The server's heartbeat comes every 5 s: three missed mean that the connection is dead, whatever the socket says. */
const SILENCE_MS = 15_000;
/** Gaps in a row after which the connection itself is given up. */
const GAPS_MAX = 5;

const keyOf = (channel: string, symbol: string | null | undefined): string => (symbol ? `${channel} ${symbol}` : channel);

/** The message, or null where the text is none: then the connection is of no use. */
function parse(text: string): ServerMessage | null {
  try {
    return JSON.parse(text) as ServerMessage | null;
  } catch {
    return null;
  }
}

/**
 * One WebSocket for all channels. It reconnects by itself and subscribes again; every update must follow the one before it, and
 * where one is missing a new snapshot is asked for at once and nothing is passed on until it is here.
 */
export class Stream {
  #socket: Socket | null = null;
  #open = false;
  #status: StreamStatus = "idle";
  #attempts = 0;
  /** What the exchange asked for before it ended the connection. */
  #reconnectAfterMs: number | null = null;
  #nextId = 1;
  #tokenShown: string | null = null;
  #reconnectTimer: ReturnType<typeof setTimeout> | undefined;
  #silenceTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #listeners = new Set<() => void>();

  constructor(private readonly options: StreamOptions) {}

  get status(): StreamStatus {
    return this.#status;
  }

  onStatus(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Receive a snapshot and then every update of a market's channel. One handler a channel and symbol. Returns the function that stops it. */
  subscribe<C extends PublicChannel>(channel: C, symbol: string, handle: Handler<C>): () => void {
    return this.#add(channel, symbol, handle);
  }

  /** Receive the account's own orders, fills and balances. */
  subscribeOrders(handle: Handler<"orders">): () => void {
    return this.#add("orders", null, handle);
  }

  /** Ask for a new snapshot of what is subscribed: the holder of the data has found that it needs one. */
  resnapshot(channel: PublicChannel, symbol: string): void {
    const subscription = this.#subscriptions.get(keyOf(channel, symbol));
    if (subscription && subscription.sequence !== null) this.#request(subscription);
  }

  /** Prove who we are: at the start, and whenever the access token is another one, before the old one expires. */
  async authenticate(rejected: string | null = null): Promise<void> {
    const orders = this.#subscriptions.get("orders");
    const socket = this.#socket;
    if (!orders || !this.#open) return;
    const { tokens } = this.options;
    const token = await (rejected === null ? tokens.accessToken() : tokens.renew(rejected)).catch(() => null);
    if (token === null || socket !== this.#socket) return;
    this.#tokenShown = token;
    this.#send({ op: "authenticate", token });
    if (orders.sequence === null) this.#request(orders);
  }

  /** Do not wait for the next attempt: the network is back. */
  reconnectNow(): void {
    if (this.#socket === null && this.#subscriptions.size > 0) this.#connect();
  }

  #add(channel: Channel, symbol: string | null, handle: (message: never) => void): () => void {
    const key = keyOf(channel, symbol);
    if (this.#subscriptions.has(key)) throw new Error(`${key} is subscribed already`);
    const subscription: Subscription = { channel, symbol, handle, sequence: null, gaps: 0 };
    this.#subscriptions.set(key, subscription);
    if (this.#socket === null) this.#connect();
    else if (this.#open) this.#start(subscription);
    return () => {
      if (this.#subscriptions.get(key) !== subscription) return;
      this.#subscriptions.delete(key);
      if (this.#open) this.#send({ op: "unsubscribe", channel, ...(symbol ? { symbol } : {}) });
    };
  }

  #connect(): void {
    clearTimeout(this.#reconnectTimer);
    this.#setStatus(this.#attempts === 0 ? "connecting" : "reconnecting");
    const connect = this.options.connect ?? ((url): Socket => new WebSocket(url) as Socket);
    const socket = connect(this.options.url);
    this.#socket = socket;
    socket.onopen = () => this.#opened();
    socket.onmessage = (event) => this.#receive(String(event.data));
    socket.onclose = () => this.#lost(socket);
    this.#listen();
  }

  #opened(): void {
    this.#open = true;
    this.#setStatus("live");
    for (const subscription of this.#subscriptions.values()) this.#start(subscription);
  }

  #start(subscription: Subscription): void {
    if (subscription.channel === "orders") void this.authenticate();
    else this.#request(subscription);
  }

  #request(subscription: Subscription): void {
    const { channel, symbol } = subscription;
    subscription.sequence = null;
    this.#send({ op: "subscribe", channel, ...(symbol ? { symbol } : {}) });
  }

  #send(operation: Record<string, unknown>): void {
    this.#socket?.send(JSON.stringify({ ...operation, id: this.#nextId++ }));
  }

  #receive(text: string): void {
    this.#listen();
    const message = parse(text);
    switch (message?.type) {
      case "snapshot":
      case "update":
        this.#route(message);
        break;
      case "error":
        this.#refused(message);
        break;
      case "shutdown":
        this.#reconnectAfterMs = message.reconnect_after_ms ?? null;
        break;
      case "ack":
      case "heartbeat":
        break;
      default:
        this.#drop();
    }
  }

  #route(message: ServerMessage): void {
    const { channel = "", symbol, sequence = 0 } = message;
    const subscription = this.#subscriptions.get(keyOf(channel, symbol));
    if (!subscription) return;
    if (message.type === "update") {
      if (subscription.sequence === null || sequence <= subscription.sequence) return;
      if (message.prev_sequence !== subscription.sequence) {
        this.#missed(subscription);
        return;
      }
      subscription.gaps = 0;
    }
    this.#attempts = 0;
    subscription.sequence = sequence;
    subscription.handle(message as never);
  }

  #missed(subscription: Subscription): void {
    subscription.gaps += 1;
    if (subscription.gaps > GAPS_MAX) this.#drop();
    else this.#request(subscription);
  }

  #refused(message: ServerMessage): void {
    const orders = this.#subscriptions.get("orders");
    if (!orders || (message.reason !== "TOKEN_EXPIRED" && message.reason !== "UNAUTHENTICATED")) return;
    orders.sequence = null;
    orders.gaps += 1;
    // Turned down again and again, a new token will not help; the next one that the session gets is tried.
    if (orders.gaps <= GAPS_MAX) void this.authenticate(this.#tokenShown);
  }

  /** Give the connection up; `onclose` or its absence leads to the same place. */
  #drop(): void {
    const socket = this.#socket;
    if (!socket) return;
    socket.close();
    this.#lost(socket);
  }

  #lost(socket: Socket): void {
    if (socket !== this.#socket) return;
    clearTimeout(this.#silenceTimer);
    this.#socket = null;
    this.#open = false;
    for (const subscription of this.#subscriptions.values()) {
      subscription.sequence = null;
      subscription.gaps = 0;
    }
    if (this.#subscriptions.size === 0) {
      this.#setStatus("idle");
      return;
    }
    this.#attempts += 1;
    this.#setStatus("reconnecting");
    this.#reconnectTimer = setTimeout(() => this.#connect(), this.#reconnectAfterMs ?? this.#backoffMs());
    this.#reconnectAfterMs = null;
  }

  #backoffMs(): number {
    const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** this.#attempts);
    const random = this.options.random ?? Math.random;
    return ceiling / 2 + (ceiling / 2) * random();
  }

  #listen(): void {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => this.#drop(), SILENCE_MS);
  }

  #setStatus(status: StreamStatus): void {
    if (status === this.#status) return;
    this.#status = status;
    for (const listener of this.#listeners) listener();
  }
}
