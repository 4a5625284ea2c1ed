import { useEffect, useRef } from "react";

import { frames } from "./frames";

/** Where changes come from: calls back after each one. */
export interface Changes {
  onChange(listener: () => void): () => void;
}

/** Run `draw` in a frame after every change of `source`, and once at the start: stream data goes to the screen past React's state. */
export function useDrawing(source: Changes, draw: () => void): void {
  const latest = useRef(draw);
  useEffect(() => {
    latest.current = draw;
  });
  useEffect(() => {
    const drawing = frames.register(() => latest.current());
    drawing.invalidate();
    const stop = source.onChange(() => drawing.invalidate());
    return () => {
      stop();
      drawing.dispose();
    };
  }, [source]);
}
