// What the server says of the home page, and what can be found in it; every function is pure.

export type Icon =
  | { kind: "file"; name: string }
  | { kind: "built_in"; name: string }
  | { kind: "letters"; text: string; tone: number };

export interface Shown {
  label: string;
  text: string;
}

export interface Check {
  state: "up" | "down" | "waiting" | "off";
  seconds: number | null;
  error: string | null;
  at_ms: number | null;
  certificate_expires_s: number | null;
}

export interface Service {
  name: string;
  href: string | null;
  description: string;
  icon: Icon;
  private: boolean;
  check: Check;
  values: Shown[];
  values_error: string | null;
}

export interface Group {
  name: string;
  private: boolean;
  services: Service[];
}

export interface Bookmark {
  name: string;
  href: string;
  description: string;
  icon: Icon;
}

export interface Bookmarks {
  name: string;
  private: boolean;
  links: Bookmark[];
}

export interface Site {
  name: string;
  /** What tells it from the others. */
  label: string;
  href: string;
  icon: Icon;
  private: boolean;
}

export type FormatName = "text" | "number" | "bytes" | "bytes_per_second" | "percent" | "duration";

interface WidgetHead {
  name: string;
  href: string | null;
  private: boolean;
}

export interface PromqlWidget extends WidgetHead {
  kind: "promql";
  query: string;
  curve: boolean;
  format: FormatName;
  scale: number;
  prefix: string;
  suffix: string;
}

export interface JsonWidget extends WidgetHead {
  kind: "json";
  values: Shown[];
  error: string | null;
}

export type Widget = PromqlWidget | JsonWidget;

export interface Remark {
  file: string;
  line: number;
  key: string;
  text: string;
}

export interface HomeView {
  title: string;
  theme: "system" | "light" | "dark";
  caller: "anonymous" | "viewer" | "admin";
  is_configured: boolean;
  groups: Group[];
  bookmarks: Bookmarks[];
  search: { name: string; url: string }[];
  widgets: Widget[];
  found: { sites: Site[]; units: boolean; hide: string[] };
  faults: Remark[];
  warnings: Remark[];
}

/** As `duration` of server/home/src/html.rs. */
export function responseTime(seconds: number): string {
  const ms = seconds * 1000;
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  return ms < 999.5 ? `${ms.toFixed(0)} ms` : `${seconds.toFixed(1)} s`;
}

/** Whether every word is in one of the texts. */
export function fits(search: string, ...texts: string[]): boolean {
  const all = texts.join(" ").toLowerCase();
  return search
    .toLowerCase()
    .split(/\s+/)
    .every((word) => all.includes(word));
}

/** The view with only what fits. */
export function filtered(view: HomeView, search: string): HomeView {
  if (search.trim() === "") return view;
  const groups = view.groups
    .map((group) => ({
      ...group,
      services: group.services.filter((it) => fits(search, it.name, it.description, group.name)),
    }))
    .filter((group) => group.services.length > 0);
  const bookmarks = view.bookmarks
    .map((group) => ({
      ...group,
      links: group.links.filter((it) => fits(search, it.name, it.description, group.name)),
    }))
    .filter((group) => group.links.length > 0);
  const sites = view.found.sites.filter((site) => fits(search, site.name));
  const widgets = view.widgets.filter((widget) => fits(search, widget.name));
  return { ...view, groups, bookmarks, widgets, found: { ...view.found, sites } };
}

export interface Hit {
  name: string;
  href: string;
}

/** Everything that can be opened, in the order of the page; of those that begin with the search, the
 * first comes first. */
export function hits(view: HomeView | undefined, more: Hit[], search: string): Hit[] {
  if (search.trim() === "") return [];
  const left = view && filtered(view, search);
  const services = (left?.groups ?? []).flatMap((group) =>
    group.services.flatMap(({ name, href }) => (href === null ? [] : [{ name, href }])),
  );
  const links = (left?.bookmarks ?? []).flatMap((group) => group.links);
  const others = more.filter((it) => fits(search, it.name));
  const all = [...services, ...(left?.found.sites ?? []), ...links, ...others];
  const begins = (it: Hit) => it.name.toLowerCase().startsWith(search.trim().toLowerCase());
  return [...all.filter(begins), ...all.filter((it) => !begins(it))];
}

/** Where an engine finds the words. */
export function searchHref(engine: { url: string }, search: string): string {
  return engine.url.replaceAll("{query}", encodeURIComponent(search.trim()));
}

/** What the server has written into the page. */
export function embedded(text: string | null | undefined): HomeView | undefined {
  if (!text) return undefined;
  try {
    return JSON.parse(text) as HomeView;
  } catch {
    return undefined;
  }
}
