import { createServer } from "node:http";

import { WebSocketServer } from "ws";

import { MockExchange } from "./exchange";
import { MockHttp } from "./http";
import { MockStreams } from "./stream";

/** A small exchange to develop and test pages against, without the backend: `npm run mock`, then `npm run dev`. */
const PORT = Number(process.env.MOCK_PORT ?? 8080);
const STEP_MS = 150;
const WARM_UP_STEPS = 1500;

const exchange = new MockExchange();
for (const market of exchange.markets) {
  for (let step = 0; step < WARM_UP_STEPS; step += 1) exchange.live(market);
  // Spread what has traded so far over the past hours, so that the chart has something to show.
  market.trades.forEach((trade, age) => Object.assign(trade, { atMs: Date.now() - age * 20_000 }));
}

const http = new MockHttp(exchange);
const streams = new MockStreams(exchange, http);
const server = createServer((request, response) => void http.handle(request, response));
new WebSocketServer({ server, path: "/ws/v1" }).on("connection", (socket) => streams.accept(socket));
server.listen(PORT, () => console.log(`mock exchange on http://localhost:${PORT}`));
setInterval(() => exchange.markets.forEach((market) => exchange.live(market)), STEP_MS);
