import { useEffect, useRef } from "react";

import type { Changes } from "./useDrawing";

/** Screen readers and tests read at leisure: no more often than this is the table rewritten. */
const REWRITE_MS = 300;

/** What a canvas shows, as a table that is heard but not seen. */
export function LiveTable({ source, label, headings, rows }: {
  readonly source: Changes;
  readonly label: string;
  readonly headings: readonly string[];
  readonly rows: () => string[][];
}) {
  const body = useRef<HTMLTableSectionElement>(null);
  const latest = useRef(rows);
  useEffect(() => {
    latest.current = rows;
  });
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const rewrite = (): void => {
      timer = undefined;
      body.current?.replaceChildren(...latest.current().map(rowElement));
    };
    const soon = (): void => {
      timer ??= setTimeout(rewrite, REWRITE_MS);
    };
    rewrite();
    const stop = source.onChange(soon);
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [source]);
  return (
    <table aria-label={label} className="sr-only">
      <thead>
        <tr>
          {headings.map((heading) => (
            <th key={heading} scope="col">
              {heading}
            </th>
          ))}
        </tr>
      </thead>
      <tbody ref={body} />
    </table>
  );
}

function rowElement(cells: string[]): HTMLTableRowElement {
  const row = document.createElement("tr");
  for (const text of cells) row.insertCell().textContent = text;
  return row;
}
