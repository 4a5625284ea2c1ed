import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { makeExchange } from "@/state/exchange";
import { startTheme } from "@/ui/theme";
import "@/ui/theme.css";

import { App } from "./App";

startTheme();

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no element #root");
createRoot(root).render(
  <StrictMode>
    <App exchange={makeExchange(window.location.origin)} />
  </StrictMode>,
);
