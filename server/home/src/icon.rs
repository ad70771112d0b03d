//! Which picture a service gets: a file of the user's, one that is built in, or its first letter.

use std::{
    hash::{Hash as _, Hasher as _},
    path::{Path, PathBuf},
};

use serde::Serialize;
use xxhash_rust::xxh3::Xxh3;

/// As the page and the server's HTML draw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Icon {
    /// A file of the icon folder.
    File { name: String },
    /// A symbol of `icons.svg`.
    BuiltIn { name: &'static str },
    /// One or two letters on one of eight colours.
    Letters { text: String, tone: u8 },
}

/// A file of the icon folder and its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IconFile {
    pub path: PathBuf,
    pub content_type: &'static str,
}

const TYPES: [(&str, &str); 6] = [
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("webp", "image/webp"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("ico", "image/x-icon"),
];
/// The colours of letters, `--chart-1` and so on.
const N_TONES: u64 = 8;

/// Words in names of icons and services, and the symbol of `icons.svg` for them; the first counts.
const SYMBOLS: &[(&str, &[&str])] = &[
    (
        "film",
        &[
            "jellyfin",
            "plex",
            "emby",
            "kodi",
            "radarr",
            "sonarr",
            "bazarr",
            "film",
            "movie",
            "video",
            "tv",
            "tautulli",
            "peertube",
            "jellyseerr",
            "overseerr",
            "youtube",
        ],
    ),
    (
        "music",
        &["navidrome", "lidarr", "music", "spotify", "airsonic", "subsonic", "audio", "mopidy"],
    ),
    ("photo", &["immich", "photo", "photoprism", "librephotos", "gallery", "image", "piwigo"]),
    (
        "book",
        &[
            "calibre",
            "readarr",
            "kavita",
            "komga",
            "book",
            "audiobookshelf",
            "paperless",
            "wiki",
            "bookstack",
            "docs",
            "outline",
            "document",
            "mealie",
            "recipe",
        ],
    ),
    (
        "house",
        &[
            "home-assistant",
            "homeassistant",
            "assistant",
            "hass",
            "openhab",
            "domoticz",
            "zigbee",
            "esphome",
            "node-red",
            "house",
            "hue",
        ],
    ),
    (
        "shield",
        &[
            "pi-hole",
            "pihole",
            "adguard",
            "vaultwarden",
            "bitwarden",
            "authelia",
            "authentik",
            "keycloak",
            "wireguard",
            "vpn",
            "crowdsec",
            "security",
            "firewall",
            "opnsense",
            "pfsense",
            "password",
        ],
    ),
    (
        "network",
        &[
            "router",
            "unifi",
            "omada",
            "mikrotik",
            "openwrt",
            "fritz",
            "switch",
            "network",
            "traefik",
            "nginx",
            "caddy",
            "haproxy",
            "proxy",
            "dns",
            "tailscale",
            "headscale",
            "wifi",
            "modem",
        ],
    ),
    (
        "disk",
        &[
            "nas",
            "truenas",
            "synology",
            "openmediavault",
            "unraid",
            "minio",
            "samba",
            "storage",
            "backup",
            "borg",
            "restic",
            "kopia",
            "duplicati",
            "disk",
            "s3",
            "zfs",
        ],
    ),
    (
        "download",
        &[
            "qbittorrent",
            "transmission",
            "deluge",
            "sabnzbd",
            "nzbget",
            "prowlarr",
            "jackett",
            "torrent",
            "download",
            "aria2",
            "rtorrent",
        ],
    ),
    ("cloud", &["nextcloud", "owncloud", "seafile", "cloud", "syncthing", "filebrowser", "drive"]),
    ("mail", &["mail", "roundcube", "mailcow", "stalwart", "postfix", "imap"]),
    (
        "chat",
        &[
            "matrix",
            "element",
            "mattermost",
            "rocket",
            "chat",
            "discord",
            "slack",
            "ntfy",
            "gotify",
            "mumble",
            "signal",
            "telegram",
        ],
    ),
    (
        "code",
        &[
            "gitea",
            "forgejo",
            "gitlab",
            "github",
            "git",
            "code",
            "jenkins",
            "drone",
            "woodpecker",
            "ci",
        ],
    ),
    (
        "database",
        &[
            "postgres",
            "mysql",
            "mariadb",
            "mongo",
            "redis",
            "database",
            "influxdb",
            "adminer",
            "pgadmin",
            "clickhouse",
        ],
    ),
    (
        "chart",
        &[
            "grafana",
            "prometheus",
            "victoria",
            "uptime",
            "kuma",
            "netdata",
            "monitor",
            "skep",
            "scrutiny",
            "speedtest",
            "graph",
            "loki",
            "zabbix",
        ],
    ),
    (
        "box",
        &[
            "docker",
            "portainer",
            "dockge",
            "podman",
            "kubernetes",
            "rancher",
            "argo",
            "container",
            "registry",
            "harbor",
        ],
    ),
    (
        "server",
        &[
            "proxmox", "esxi", "vmware", "server", "cockpit", "webmin", "ipmi", "idrac", "ilo",
            "ssh", "libvirt",
        ],
    ),
    (
        "camera",
        &[
            "frigate",
            "camera",
            "zoneminder",
            "blue-iris",
            "shinobi",
            "motioneye",
            "cctv",
            "doorbell",
        ],
    ),
    ("calendar", &["calendar", "radicale", "baikal", "caldav", "vikunja", "todo", "task"]),
    ("feed", &["freshrss", "miniflux", "rss", "feed", "news", "wallabag", "linkding", "karakeep"]),
    ("printer", &["printer", "cups", "octoprint", "klipper", "mainsail", "fluidd", "bambu"]),
    ("game", &["minecraft", "game", "steam", "valheim", "pterodactyl", "factorio"]),
    ("power", &["power", "ups", "nut", "solar", "energy", "battery", "evcc", "shelly", "tasmota"]),
    ("globe", &["website", "blog", "wordpress", "ghost", "www", "web"]),
];

impl Icon {
    /// `wanted` is what a file says; without it, the name may tell.
    pub(crate) fn choose(dir: Option<&Path>, wanted: Option<&str>, name: &str, abbr: &str) -> Self {
        if let Some(name) = wanted.and_then(|it| file_name(dir?, it)) {
            return Self::File { name };
        }
        if abbr.is_empty() {
            let found = wanted.and_then(symbol).or_else(|| symbol(name));
            if let Some(name) = found {
                return Self::BuiltIn { name };
            }
        }
        Self::Letters { text: letters(abbr, name), tone: tone(name) }
    }
}

/// `jellyfin`, `jellyfin.png`: a file of the folder, if it is there.
fn file_name(dir: &Path, wanted: &str) -> Option<String> {
    let is_there = |name: &str| find(dir, name).is_some_and(|it| it.path.is_file());
    let stem = wanted.rsplit_once('.').map_or(wanted, |(stem, _ending)| stem);
    let others = [wanted, stem]
        .into_iter()
        .flat_map(|stem| TYPES.iter().map(move |(ending, _)| format!("{stem}.{ending}")));
    std::iter::once(wanted.to_owned()).chain(others).find(|name| is_there(name))
}

/// A picture in the folder by its name, which leads nowhere else.
pub(crate) fn find(dir: &Path, name: &str) -> Option<IconFile> {
    let is_plain = !name.is_empty()
        && !name.starts_with('.')
        && name.chars().all(|it| it.is_alphanumeric() || matches!(it, '.' | '-' | '_' | ' '));
    let ending = name.rsplit_once('.')?.1.to_ascii_lowercase();
    let content_type = TYPES.iter().find(|(it, _)| *it == ending)?.1;
    is_plain.then(|| IconFile { path: dir.join(name), content_type })
}

/// gethomepage's `mdi-`, `si-` and `sh-` name a set of pictures, not a picture.
fn symbol(text: &str) -> Option<&'static str> {
    let text = text.to_lowercase();
    let text =
        text.rsplit_once('.').filter(|(_, it)| it.len() <= 4).map_or(&*text, |(stem, _)| stem);
    let bare = ["mdi-", "si-", "sh-"].iter().find_map(|it| text.strip_prefix(it)).unwrap_or(text);
    let words: Vec<_> = bare.split(|it: char| !it.is_alphanumeric()).collect();
    let is_meant = |word: &&str| {
        *word == bare
            || words.contains(word)
            || (word.len() >= 5 && bare.replace(' ', "-").contains(*word))
    };
    let named = SYMBOLS.iter().find(|(name, _)| *name == bare);
    let found = named.or_else(|| SYMBOLS.iter().find(|(_, words)| words.iter().any(&is_meant)));
    found.map(|(name, _)| *name)
}

fn letters(abbr: &str, name: &str) -> String {
    let from = if abbr.trim().is_empty() { name } else { abbr };
    let n_letters = if abbr.trim().is_empty() { 1 } else { 2 };
    let letters: String = from.chars().filter(|it| it.is_alphanumeric()).take(n_letters).collect();
    if letters.is_empty() { "?".to_owned() } else { letters.to_uppercase() }
}

/// The same name has the same colour for ever.
fn tone(name: &str) -> u8 {
    let mut hasher = Xxh3::new();
    name.hash(&mut hasher);
    u8::try_from(hasher.finish() % N_TONES + 1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_folder_comes_first_then_a_symbol_then_a_letter() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("jellyfin.svg"), "<svg/>").unwrap();
        let choose = |wanted, name| Icon::choose(Some(dir.path()), wanted, name, "");
        let file = Icon::File { name: "jellyfin.svg".to_owned() };
        assert_eq!(choose(Some("jellyfin.png"), "TV"), file);
        assert_eq!(choose(Some("jellyfin"), "TV"), file);
        assert_eq!(choose(Some("mdi-music"), "x"), Icon::BuiltIn { name: "music" });
        assert_eq!(choose(None, "Home Assistant"), Icon::BuiltIn { name: "house" });
        assert!(matches!(choose(None, "Zebra"), Icon::Letters { text, .. } if text == "Z"));
        let abbr = Icon::choose(None, None, "Github", "GH");
        assert!(matches!(abbr, Icon::Letters { text, .. } if text == "GH"));
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        for bad in ["../secret.png", "/etc/passwd", ".hidden.png", "a/b.png", "x.html", "", "x"] {
            assert_eq!(find(Path::new("/icons"), bad), None, "{bad:?} was taken");
        }
        assert!(find(Path::new("/icons"), "nas-1.svg").is_some());
    }
}
