import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider, type RouterHistory } from "@tanstack/react-router";
import { useState, useSyncExternalStore } from "react";
import { Toaster } from "sonner";

import { ExchangeProvider, type Exchange } from "@/state/exchange";
import { currentTheme, themeChanges } from "@/ui/theme";

import { ErrorBoundary } from "./ErrorBoundary";
import { makeRouter } from "./router";

const subscribeTheme = (listener: () => void): (() => void) => themeChanges.onChange(listener);

/** The whole application, on one exchange. */
export function App({ exchange, history }: { readonly exchange: Exchange; readonly history?: RouterHistory }) {
  const [router] = useState(() => makeRouter(history));
  const theme = useSyncExternalStore(subscribeTheme, currentTheme);
  return (
    <ErrorBoundary>
      <ExchangeProvider value={exchange}>
        <QueryClientProvider client={exchange.queries}>
          <RouterProvider router={router} />
          <Toaster theme={theme} position="bottom-right" richColors closeButton visibleToasts={4} />
        </QueryClientProvider>
      </ExchangeProvider>
    </ErrorBoundary>
  );
}
