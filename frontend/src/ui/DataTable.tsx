import type { ReactNode } from "react";

export interface Column<Row> {
  readonly id: string;
  readonly title: string;
  readonly cell: (row: Row) => ReactNode;
  readonly align?: "left" | "right";
  /** Left out on narrow screens. */
  readonly secondary?: boolean;
}

/** Rows of one kind under fixed headings; scrolls within its parent. */
export function DataTable<Row>({ label, columns, rows, keyOf, empty, after }: {
  readonly label: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string;
  readonly empty: ReactNode;
  readonly after?: ReactNode;
}) {
  if (rows.length === 0) return <Empty>{empty}</Empty>;
  const classOf = ({ align = "left", secondary = false }: Column<Row>): string =>
    `px-1.5 first:pl-3 last:pr-3 md:px-2 ${align === "right" ? "text-right" : "text-left"} ${secondary ? "hidden md:table-cell" : ""}`;
  return (
    <div className="min-h-0 flex-1 overflow-auto">
      <table aria-label={label} className="w-full border-separate border-spacing-0 max-md:text-xs">
        <thead className="sticky top-0 z-10 bg-panel text-xs text-muted">
          <tr>
            {columns.map((column) => (
              <th key={column.id} scope="col" className={`border-b py-1.5 align-bottom font-normal md:whitespace-nowrap ${classOf(column)}`}>
                {column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)} className="hover:bg-raised/60">
              {columns.map((column) => (
                <td key={column.id} className={`h-8 whitespace-nowrap ${classOf(column)}`}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {after}
    </div>
  );
}

/** What stands where there is nothing yet. */
export function Empty({ children }: { readonly children: ReactNode }) {
  return <div className="flex flex-1 flex-col items-center justify-center gap-3 p-6 text-center text-muted">{children}</div>;
}
