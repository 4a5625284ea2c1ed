import type { ReactNode } from "react";

import { Button } from "./Button";
import { Empty } from "./DataTable";
import { t } from "./text";

/** The part of a query that is shown. */
interface QueryLike<T> {
  readonly data: T | undefined;
  readonly isError: boolean;
  refetch(): unknown;
}

/** What was read, or that it is being read, or that it could not be. */
export function Loaded<T>({ query, children }: { readonly query: QueryLike<T>; readonly children: (data: T) => ReactNode }) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (!query.isError) return <Empty>{t("app.loading")}</Empty>;
  return (
    <Empty>
      {t("app.loadFailed")}
      <Button onClick={() => void query.refetch()}>{t("app.retry")}</Button>
    </Empty>
  );
}

interface PagedLike {
  readonly hasNextPage: boolean;
  readonly isFetchingNextPage: boolean;
  fetchNextPage(): unknown;
}

/** The way to the next page of a list, where there is one. */
export function More({ query }: { readonly query: PagedLike }) {
  if (!query.hasNextPage) return null;
  return (
    <div className="flex justify-center p-3">
      <Button size="small" disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
        {query.isFetchingNextPage ? t("app.loading") : t("app.loadMore")}
      </Button>
    </div>
  );
}
