// The services, sites and bookmarks of the home page, in their groups.
import "./services.css";
import { usePoll } from "../api/poll";
import { days, keyOf, type Days } from "./history";
import { TileIcon } from "./icon";
import { Tile } from "./tile";
import type { Bookmarks, Group, HomeView, Icon, Site } from "./view";

const HISTORY_MS = 5 * 60_000;
/** As `SITES` of server/home/src/html.rs. */
const SITES = "Sites";

interface Props {
  view: HomeView;
  /** What of it fits the search. */
  shown: HomeView;
}

export function Services({ view, shown }: Props) {
  const isChecked = view.groups.some((group) => group.services.some((it) => it.check.state !== "off"));
  const { data } = usePoll("days", HISTORY_MS, days, !isChecked);
  const isEmpty = shown.groups.length + shown.bookmarks.length + shown.found.sites.length === 0;
  if (isEmpty) return null;
  return (
    <div class="services" data-testid="services">
      {shown.groups.map((group) => (
        <ServiceGroup key={group.name} group={group} days={data} />
      ))}
      {shown.found.sites.length > 0 && <Sites sites={shown.found.sites} />}
      {shown.bookmarks.map((group) => (
        <BookmarkGroup key={group.name} group={group} />
      ))}
    </div>
  );
}

function Head({ name, isPrivate }: { name: string; isPrivate: boolean }) {
  return (
    <h2>
      {name}
      {isPrivate && <span class="private small">private</span>}
    </h2>
  );
}

function ServiceGroup({ group, days }: { group: Group; days: Days | undefined }) {
  return (
    <section class="tile-group" aria-label={group.name}>
      <Head name={group.name} isPrivate={group.private} />
      <ul class="tiles">
        {group.services.map((service) => (
          <Tile
            key={service.name}
            service={service}
            isGroupPrivate={group.private}
            day={days?.of.get(keyOf(group.name, service.name))}
            window={days?.window ?? [0, 1]}
          />
        ))}
      </ul>
    </section>
  );
}

function Sites({ sites }: { sites: Site[] }) {
  return (
    <section class="tile-group" aria-label={SITES}>
      <Head name={SITES} isPrivate={false} />
      <ul class="tiles compact">
        {sites.map((site) => (
          <LinkTile key={site.name} {...site} name={site.label} description={site.name} />
        ))}
      </ul>
    </section>
  );
}

function BookmarkGroup({ group }: { group: Bookmarks }) {
  return (
    <section class="tile-group" aria-label={group.name}>
      <Head name={group.name} isPrivate={group.private} />
      <ul class="tiles compact">
        {group.links.map((link) => (
          <LinkTile key={`${link.name} ${link.href}`} {...link} private={false} />
        ))}
      </ul>
    </section>
  );
}

interface LinkProps {
  name: string;
  href: string;
  description: string;
  icon: Icon;
  private: boolean;
}

function LinkTile({ name, href, description, icon, private: isPrivate }: LinkProps) {
  return (
    <li>
      <a class="panel tile" href={href}>
        <TileIcon icon={icon} />
        <span class="tile-text">
          <span class="tile-name ellipsis" title={name}>
            {name}
          </span>
          {description !== "" && (
            <span class="muted small ellipsis" title={description}>
              {description}
            </span>
          )}
        </span>
        {isPrivate && (
          <span class="tile-state small">
            <span class="private">private</span>
          </span>
        )}
      </a>
    </li>
  );
}
