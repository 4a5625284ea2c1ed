import { useRef } from "react";

import { useDrawing, type Changes } from "./useDrawing";

export interface LiveTextValue {
  readonly text: string;
  readonly className?: string;
}

/** A text that follows a stream: written into its element once a frame. */
export function LiveText<S extends Changes>({ source, read, className = "" }: {
  readonly source: S;
  readonly read: (source: S) => LiveTextValue;
  readonly className?: string;
}) {
  const element = useRef<HTMLSpanElement>(null);
  useDrawing(source, () => {
    const span = element.current;
    if (!span) return;
    const value = read(source);
    if (span.textContent !== value.text) span.textContent = value.text;
    span.className = `${className} ${value.className ?? ""}`;
  });
  return <span ref={element} className={className} />;
}
