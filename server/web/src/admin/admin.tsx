// The pages of an administrator: one view a subject, by its address.
import { useEffect } from "preact/hooks";
import "./admin.css";
import { Link, useRoute } from "../route";
import { later } from "../ui/later";
import { AccessView } from "./access";
import { Agents } from "./agents";
import { CardinalityView } from "./cardinality";
import { Certificates } from "./certificates";
import { QueriesView } from "./queries";
import { StorageView } from "./storage";

/** With the charts, which the others do without. */
const ServerView = later(() => import("./server").then((it) => it.ServerView));

const VIEWS = [
  { path: "/admin/agents", name: "Agents", View: Agents },
  { path: "/admin/server", name: "Server", View: ServerView },
  { path: "/admin/storage", name: "Storage", View: StorageView },
  { path: "/admin/cardinality", name: "Cardinality", View: CardinalityView },
  { path: "/admin/queries", name: "Queries", View: QueriesView },
  { path: "/admin/certificates", name: "Certificates", View: Certificates },
  { path: "/admin/access", name: "Access", View: AccessView },
];

export function Admin() {
  const { path } = useRoute();
  const shown = path === "/admin" ? VIEWS[0] : VIEWS.find((it) => it.path === path);
  const title = shown ? `${shown.name} · Admin · Skep` : "Skep";
  useEffect(() => {
    document.title = title;
    return () => {
      document.title = "Skep";
    };
  }, [title]);
  return (
    <>
      <div class="admin-head">
        <h1 class="visually-hidden">Administration{shown ? `: ${shown.name}` : ""}</h1>
        <nav class="admin-nav" aria-label="Administration">
          {VIEWS.map((it) => (
            <Link key={it.path} href={it.path} aria-current={it === shown ? "page" : undefined}>
              {it.name}
            </Link>
          ))}
        </nav>
      </div>
      {shown ? <shown.View /> : <p class="panel message">Nothing stands at this address; choose one above.</p>}
    </>
  );
}
