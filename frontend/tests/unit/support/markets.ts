import type { Market } from "@/api/types";

export const BTC_USD: Market = {
  symbol: "BTC/USD",
  base: "BTC",
  quote: "USD",
  tick_size: "0.01",
  lot_size: "0.00000001",
  quantity_min: "0.0001",
  quantity_max: "1000",
  notional_min: "1",
  price_max: "10000000",
  maker_fee: "0.001",
  taker_fee: "0.002",
  status: "Open",
  last_price: "50000.00",
  best_bid: "49999.00",
  best_ask: "50001.00",
  volume_24h: "12.5",
  change_24h: "-0.0123",
  high_24h: "51000.00",
  low_24h: "49000.00",
};
