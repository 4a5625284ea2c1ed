import { Tabs as BaseTabs } from "@base-ui/react/tabs";
import type { ReactNode } from "react";

export interface Tab {
  readonly id: string;
  readonly label: string;
  /** Shown beside the label, outside the tab's name. */
  readonly count?: number | undefined;
  readonly content: ReactNode;
}

/** Panels of which one is seen at a time, with the keyboard's arrow keys between the tabs. `end` stands at the right of the tab row. */
export function Tabs({ label, tabs, value, onChange, end, className = "" }: {
  readonly label: string;
  readonly tabs: readonly Tab[];
  readonly value: string;
  readonly onChange: (id: string) => void;
  readonly end?: ReactNode;
  readonly className?: string;
}) {
  return (
    <BaseTabs.Root
      value={value}
      onValueChange={(next) => onChange(String(next))}
      className={`flex min-h-0 flex-1 flex-col ${className}`}
    >
      <div className="flex shrink-0 flex-wrap items-center border-b">
        <BaseTabs.List aria-label={label} className="flex min-w-0 flex-1 basis-full overflow-x-auto md:basis-0 overflow-y-hidden [scrollbar-width:none]">
          {tabs.map((tab) => (
            <BaseTabs.Tab
              key={tab.id}
              value={tab.id}
              aria-label={tab.label}
              className="border-b-2 border-transparent px-3 py-2.5 font-medium whitespace-nowrap text-muted -outline-offset-2 hover:text-text data-active:border-accent data-active:text-text"
            >
              {tab.label}
              {tab.count ? <span className="ml-1.5 rounded bg-raised px-1.5 py-0.5 text-[11px] text-muted">{tab.count}</span> : null}
            </BaseTabs.Tab>
          ))}
        </BaseTabs.List>
        {end && <div className="ml-auto px-2 py-1.5">{end}</div>}
      </div>
      {tabs.map((tab) => (
        <BaseTabs.Panel key={tab.id} value={tab.id} className="flex min-h-0 flex-1 flex-col -outline-offset-2">
          {tab.content}
        </BaseTabs.Panel>
      ))}
    </BaseTabs.Root>
  );
}
