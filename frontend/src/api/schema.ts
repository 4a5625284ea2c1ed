/**
 * The API's document (openapi/openapi.json) as TypeScript, in the form that `npm run generate` writes and may replace.
 */
export interface paths {
  "/api/v1/auth/register": {
    post: {
      parameters: { };
      requestBody: { content: { "application/json": components["schemas"]["Credentials"] } };
      responses: {
        201: { content: { "application/json": components["schemas"]["Session"] } };
        default: { content: { "application/problem+json": components["schemas"]["Problem"] } };
      };
    };
  };
  "/api/v1/auth/login": {
    post: {
      parameters: { };
      requestBody: { content: { "application/json": components["schemas"]["Credentials"] } };
      responses: {
        200: { content: { "application/json": components["schemas"]["Session"] } };
        default: { content: { "application/problem+json": components["schemas"]["Problem"] } };
      };
    };
  };
  "/api/v1/auth/refresh": {
    post: {
      parameters: { };
      requestBody: { content: { "application/json": components["schemas"]["RefreshToken"] } };
      responses: {
        200: { content: { "application/json": components["schemas"]["Session"] } };
        default: { content: { "application/problem+json": components["schemas"]["Problem"] } };
      };
    };
  };
  "/api/v1/auth/logout": {
    post: {
      parameters: { };
      requestBody: { content: { "application/json": components["schemas"]["RefreshToken"] } };
      responses: {
        204: { content?: never };
        default: { content: { "application/problem+json": components["schemas"]["Problem"] } };
      };
    };
  };
  "/api/v1/auth/me": {
    get: {
      parameters: { };
      responses: {
        200: { content: { "application/json": components["schemas"]["Me"] } };
        default: { content: { "application/problem+json": components["schemas"]["Problem"] } };
      };
    };
  };
  "/api/v1/markets": {
    get: {
      parameters: { };
      responses: {
        200: { content: { "application/json": components["schemas"]["Markets"] } };
        default: { content: { "application/problem+json": components["schemas"]["Problem"] } };
      };
    };
  };
  "/api/v1/markets/{symbol}/candles": {
    get: {
      parameters: { query?: { interval?: string; limit?: number; end?: string }; path: { symbol: string }; };
      responses: {
        200: { content: { "application/json": components["schemas"]["Candles"] } };
        default: { content: { "application/problem+json": components["schemas"]["Problem"] } };
      };
    };
  };
  "/api/v1/orders": {
    get: {
      parameters: { query?: { status?: "open" | "closed" | "all"; symbol?: string; limit?: number; cursor?: string }; };
      responses: {
        200: { content: { "application/json": components["schemas"]["Orders"] } };
        default: { content: { "application/problem+json": components["schemas"]["Problem"] } };
      };
    };
    post: {
      parameters: { };
      requestBody: { content: { "application/json": components["schemas"]["NewOrder"] } };
      responses: {
        201: { content: { "application/json": components["schemas"]["Order"] } };
        default: { content: { "application/problem+json": components["schemas"]["Problem"] } };
      };
    };
  };
  "/api/v1/orders/by-client-id/{client_order_id}": {
    get: {
      parameters: { path: { client_order_id: string }; };
      responses: {
        200: { content: { "application/json": components["schemas"]["Order"] } };
        default: { content: { "application/problem+json": components["schemas"]["Problem"] } };
      };
    };
  };
  "/api/v1/orders/{order_id}/cancel": {
    put: {
      parameters: { path: { order_id: string }; };
      responses: {
        200: { content: { "application/json": components["schemas"]["Order"] } };
        default: { content: { "application/problem+json": components["schemas"]["Problem"] } };
      };
    };
  };
  "/api/v1/balances": {
    get: {
      parameters: { };
      responses: {
        200: { content: { "application/json": components["schemas"]["Balances"] } };
        default: { content: { "application/problem+json": components["schemas"]["Problem"] } };
      };
    };
  };
  "/api/v1/ledger": {
    get: {
      parameters: { query?: { asset?: string; limit?: number; cursor?: string }; };
      responses: {
        200: { content: { "application/json": components["schemas"]["Ledger"] } };
        default: { content: { "application/problem+json": components["schemas"]["Problem"] } };
      };
    };
  };
  "/api/v1/fills": {
    get: {
      parameters: { query?: { symbol?: string; limit?: number; cursor?: string }; };
      responses: {
        200: { content: { "application/json": components["schemas"]["AccountFills"] } };
        default: { content: { "application/problem+json": components["schemas"]["Problem"] } };
      };
    };
  };
  "/api/v1/faucet": {
    post: {
      parameters: { };
      requestBody: { content: { "application/json": components["schemas"]["FaucetRequest"] } };
      responses: {
        201: { content: { "application/json": components["schemas"]["Balance"] } };
        default: { content: { "application/problem+json": components["schemas"]["Problem"] } };
      };
    };
  };
}

export interface components {
  schemas: {
    Problem: {
      type: string;
      title: string;
      status: number;
      detail: string;
      code: number;
      reason: string;
      field?: string | null;
      limit?: string | null;
      nearest?: string | null;
      request_id?: string;
      sequence?: number;
    };
    Credentials: {
      username: string;
      password: string;
    };
    RefreshToken: {
      refresh_token: string;
    };
    Session: {
      account_id: string;
      username: string;
      access_token: string;
      expires_in: number;
      refresh_token: string;
      token_type: string;
    };
    Me: {
      account_id: string;
      username: string;
      created_at: string;
    };
    Market: {
      symbol: string;
      base: string;
      quote: string;
      tick_size: string;
      lot_size: string;
      quantity_min: string;
      quantity_max: string;
      notional_min: string;
      price_max: string;
      maker_fee: string;
      taker_fee: string;
      status: string;
      last_price: string | null;
      best_bid: string | null;
      best_ask: string | null;
      volume_24h: string | null;
      change_24h: string | null;
      high_24h: string | null;
      low_24h: string | null;
    };
    Markets: {
      items: components["schemas"]["Market"][];
    };
    Candle: {
      opened_at: string;
      open: string;
      high: string;
      low: string;
      close: string;
      volume: string;
      trades: number;
    };
    Candles: {
      symbol: string;
      interval: string;
      items: components["schemas"]["Candle"][];
    };
    NewOrder: {
      symbol: string;
      side: "Buy" | "Sell";
      quantity: string;
      order_type: "Limit" | "Market";
      price?: string | null;
      time_in_force?: "GTC" | "IOC" | "FOK";
      post_only?: boolean;
      client_order_id?: string;
    };
    Fill: {
      trade_id: string;
      price: string;
      quantity: string;
      liquidity: "Taker" | "Maker";
      fee: string;
      fee_asset: string;
      executed_at: string;
    };
    Order: {
      order_id: string;
      client_order_id: string | null;
      symbol: string;
      side: "Buy" | "Sell";
      order_type: "Limit" | "Market";
      time_in_force: "GTC" | "IOC" | "FOK";
      post_only: boolean;
      price: string | null;
      quantity: string;
      filled_quantity: string;
      remaining_quantity: string;
      filled_quote: string;
      average_price: string | null;
      fees: { [asset: string]: string };
      status: "Open" | "PartiallyFilled" | "Filled" | "Cancelled";
      end_reason: string | null;
      sequence: number;
      created_at: string;
      updated_at: string;
      fills?: components["schemas"]["Fill"][];
    };
    Orders: {
      items: components["schemas"]["Order"][];
      next_cursor: string | null;
    };
    AccountFill: {
      trade_id: string;
      price: string;
      quantity: string;
      liquidity: "Taker" | "Maker";
      fee: string;
      fee_asset: string;
      executed_at: string;
      order_id: string;
      symbol: string;
      side: "Buy" | "Sell";
    };
    AccountFills: {
      items: components["schemas"]["AccountFill"][];
      next_cursor: string | null;
    };
    Balance: {
      asset: string;
      available: string;
      held: string;
      total: string;
    };
    Balances: {
      items: components["schemas"]["Balance"][];
      sequence: number;
    };
    LedgerEntry: {
      entry_id: string;
      asset: string;
      kind: "Deposit" | "Withdrawal" | "Hold" | "Release" | "TradeIn" | "TradeOut" | "Fee";
      available_change: string;
      held_change: string;
      available: string;
      held: string;
      sequence: number;
      order_id: string | null;
      trade_id: string | null;
      created_at: string;
    };
    Ledger: {
      items: components["schemas"]["LedgerEntry"][];
      next_cursor: string | null;
    };
    FaucetRequest: {
      asset: string;
      amount: string;
    };
  };
}
