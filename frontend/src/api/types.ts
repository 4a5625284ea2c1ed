import type { components } from "./schema";

type Schemas = components["schemas"];

export type Market = Schemas["Market"];
export type CandleItem = Schemas["Candle"];
export type NewOrder = Schemas["PlaceOrder"];
export type Order = Schemas["Order"];
export type Fill = Schemas["AccountFill"];
export type Balance = Schemas["Balance"];
export type LedgerEntry = Schemas["LedgerEntry"];
export type Commission = Schemas["Commission"];
export type NewDeposit = Schemas["DepositRequest"];
export type NewWithdrawal = Schemas["WithdrawalRequest"];
export type Withdrawal = Schemas["Withdrawal"];
export type SessionAnswer = Schemas["Session"];
export type TokenPair = Schemas["TokenPair"];
export type SessionInfo = Schemas["SessionInfo"];
export type SecondFactor = Schemas["SecondFactorInfo"];
export type NewApiKey = Schemas["NewApiKey"];
export type ApiKey = Schemas["ApiKeyInfo"];
export type CreatedApiKey = Schemas["CreatedApiKey"];
export type Problem = Schemas["Problem"];
export type AdminMarket = Schemas["AdminMarket"];
export type MarketMode = AdminMarket["mode"];
export type AdminUser = Schemas["UserInfo"];
export type Adjustment = Schemas["Adjustment"];
export type Direction = Adjustment["direction"];
export type AuditLogRow = Schemas["AuditLogRow"];
