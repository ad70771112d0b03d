//! gethomepage's files as they are: what they say and we have not is a warning, not a fault.
//!
//! Source: gethomepage's "Services", "Bookmarks", "Settings", "Information Widgets" and
//! "Custom API".

mod substitute;
mod widgets;

use std::{collections::HashSet, path::Path};

use super::{
    Bookmark, BookmarkGroup, Check, Expected, Fault, Group, HomeFile, Limits, Remark, Service,
    Target, Theme, Trust, Variables, address,
    fields::{Fields, fault},
    href, read,
};
use crate::tree::{self, Key, Node, Value};

const SERVICES: &str = "services.yaml";
const BOOKMARKS: &str = "bookmarks.yaml";
const SETTINGS: &str = "settings.yaml";
const WIDGETS: &str = "widgets.yaml";
/// Files of gethomepage for what we do not do, and why.
const OTHERS: [(&str, &str); 5] = [
    ("docker.yaml", "services are not found by labels of containers"),
    ("kubernetes.yaml", "services are not found by annotations of Kubernetes"),
    ("proxmox.yaml", "Proxmox is not asked"),
    ("custom.css", "the page takes no style of others"),
    ("custom.js", "the page takes no script of others"),
];

pub(super) fn load(
    dir: &Path,
    limits: &Limits,
    variables: Variables<'_>,
) -> Result<HomeFile, Fault> {
    if !dir.is_dir() {
        return Err(fault(dir, 0, String::new(), "is no folder".to_owned()));
    }
    let mut reader = Reader { limits, variables, home: HomeFile::default() };
    for (name, why) in OTHERS {
        let path = dir.join(name);
        let says_something = std::fs::read_to_string(&path).is_ok_and(|text| {
            text.lines().any(|it| {
                !it.trim().is_empty() && !it.trim().starts_with('#') && it.trim() != "---"
            })
        });
        if says_something {
            reader.warn(&path, 0, String::new(), why);
        }
    }
    reader.each_file(&dir.join(SERVICES), Reader::services)?;
    reader.each_file(&dir.join(BOOKMARKS), Reader::bookmarks)?;
    reader.each_file(&dir.join(SETTINGS), Reader::settings)?;
    reader.each_file(&dir.join(WIDGETS), Reader::widgets)?;
    reader.home.check_size(dir, limits)?;
    Ok(reader.home)
}

struct Reader<'a> {
    limits: &'a Limits,
    variables: Variables<'a>,
    home: HomeFile,
}

impl Reader<'_> {
    fn each_file(
        &mut self,
        path: &Path,
        take: impl FnOnce(&mut Self, &Path, &Node) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if !path.exists() {
            return Ok(());
        }
        let text = read(path, self.limits.file_bytes_max)?;
        let text = substitute::variables(&text, self.variables, self.limits.file_bytes_max)
            .map_err(|(line, text)| fault(path, line, String::new(), text))?;
        let tree =
            tree::parse_yaml(&text).map_err(|it| fault(path, it.line, String::new(), it.text))?;
        take(self, path, &tree)
    }

    fn warn(&mut self, file: &Path, line: usize, key: String, text: impl Into<String>) {
        self.home.warnings.push(Remark { file: file.to_owned(), line, key, text: text.into() });
    }

    fn warn_unknown(&mut self, fields: &Fields<'_>, text: &str) {
        let unknown = fields.unknown().into_iter();
        self.home.warnings.extend(unknown.map(|it| Remark { text: text.to_owned(), ..it }));
    }

    fn services(&mut self, file: &Path, tree: &Node) -> Result<(), Fault> {
        for (path, key, node) in named(file, String::new(), tree)? {
            self.group(file, &key.name, path, node)?;
        }
        Ok(())
    }

    /// A group; groups within it follow it under its name and theirs.
    fn group(&mut self, file: &Path, name: &str, path: String, node: &Node) -> Result<(), Fault> {
        let mut group = Group { name: name.to_owned(), is_private: false, services: Vec::new() };
        let mut names = HashSet::new();
        let mut nested = Vec::new();
        for (path, key, node) in named(file, path, node)? {
            if matches!(node.value, Value::List(_)) {
                nested.push((path, key, node));
                continue;
            }
            let mut service = self.service(file, &key.name, path.clone(), node)?;
            let mut n_same = 1;
            while !names.insert(service.name.clone()) {
                n_same += 1;
                service.name = format!("{} {n_same}", key.name);
            }
            if n_same > 1 {
                let text = format!("is there twice; the other is shown as {:?}", service.name);
                self.warn(file, key.line, path, text);
            }
            group.services.push(service);
        }
        if !group.services.is_empty() || nested.is_empty() {
            self.home.groups.push(group);
        }
        for (path, key, node) in nested {
            self.group(file, &format!("{name} / {}", key.name), path, node)?;
        }
        Ok(())
    }

    fn service(
        &mut self,
        file: &Path,
        name: &str,
        path: String,
        node: &Node,
    ) -> Result<Service, Fault> {
        let mut fields = Fields::of(file, path, node)?;
        let link = self.soft(&mut fields, "href", href)?;
        let icon = self.icon(&mut fields)?;
        let description = fields.text("description")?.unwrap_or_default();
        let monitor = self.soft(&mut fields, "siteMonitor", address::http)?;
        let ping = self.soft(&mut fields, "ping", |it| {
            // An address stands for its host.
            let host = it.split_once("://").map_or(it, |(_scheme, rest)| rest);
            let host = host.split(['/', '?']).next().unwrap_or(host);
            Target::parse(&format!("ping://{}", without_port(host)), None)
        })?;
        let target = monitor.map(Target::Http).or_else(|| ping.flatten());
        let target = target.or_else(|| Target::of_link(link.as_deref()?));
        let json = self.service_widget(&mut fields, file)?;
        // How its own page would open a link or draw a dot is of no consequence here.
        for key in ["target", "statusStyle", "weight", "id", "showStats", "hideErrors"] {
            fields.node(key);
        }
        self.warn_unknown(&fields, "there is nothing like it here");
        Ok(Service {
            name: name.to_owned(),
            href: link,
            icon,
            description,
            is_private: false,
            check: target.map(|target| Check {
                target,
                interval: self.limits.interval,
                timeout: self.limits.timeout,
                expected: Expected::Usual,
                trust: Trust::System,
            }),
            json,
        })
    }

    /// A field that is left out if it is wrong.
    fn soft<'k, T>(
        &mut self,
        fields: &mut Fields<'k>,
        key: &'k str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Fault> {
        match fields.text(key)?.filter(|it| !it.trim().is_empty()).as_deref().map(parse) {
            None => Ok(None),
            Some(Ok(it)) => Ok(Some(it)),
            Some(Err(text)) => {
                self.home.warnings.push(fields.fault(key, text).0);
                Ok(None)
            }
        }
    }

    /// The name of a picture; one on another host is not fetched.
    fn icon(&mut self, fields: &mut Fields<'_>) -> Result<Option<String>, Fault> {
        self.soft(fields, "icon", |it| {
            if it.contains("://") {
                return Err(format!(
                    "{it:?} is on another host, which the page does not ask; put the picture into \
                     home.icons_dir and write its name"
                ));
            }
            Ok(it.trim_start_matches("/icons/").to_owned())
        })
    }

    fn bookmarks(&mut self, file: &Path, tree: &Node) -> Result<(), Fault> {
        for (path, key, node) in named(file, String::new(), tree)? {
            let mut bookmarks = Vec::new();
            for (path, key, node) in named(file, path, node)? {
                // gethomepage writes the fields of a bookmark as a list of one table.
                let node = match &node.value {
                    Value::List(nodes) => nodes.first().unwrap_or(node),
                    _table => node,
                };
                let mut fields = Fields::of(file, path, node)?;
                let link = self.soft(&mut fields, "href", href)?;
                let bookmark = Bookmark {
                    name: key.name.clone(),
                    href: link.unwrap_or_default(),
                    abbr: fields.text("abbr")?.unwrap_or_default(),
                    icon: self.icon(&mut fields)?,
                    description: fields.text("description")?.unwrap_or_default(),
                };
                for key in ["target", "id"] {
                    fields.node(key);
                }
                self.warn_unknown(&fields, "there is nothing like it here");
                if bookmark.href.is_empty() {
                    let text = "has no address and is left out";
                    self.warn(file, key.line, fields.path_of("href"), text);
                } else {
                    bookmarks.push(bookmark);
                }
            }
            let name = key.name.clone();
            self.home.bookmarks.push(BookmarkGroup { name, is_private: false, bookmarks });
        }
        Ok(())
    }

    fn settings(&mut self, file: &Path, tree: &Node) -> Result<(), Fault> {
        let mut fields = Fields::of(file, String::new(), tree)?;
        self.home.title = fields.text("title")?;
        self.home.theme = match fields.text("theme")?.as_deref() {
            Some("light") => Theme::Light,
            Some("dark") => Theme::Dark,
            _other => Theme::System,
        };
        if let Some(layout) = fields.node("layout") {
            self.layout(file, layout)?;
        }
        if let Some(mut launch) = fields.table("quicklaunch")? {
            self.search_engine(&mut launch)?;
            self.warn_unknown(&launch, "the search of this page cannot be changed by it");
        }
        self.warn_unknown(&fields, "there is nothing like it here");
        Ok(())
    }

    /// The order of groups; how they look is ours.
    fn layout(&mut self, file: &Path, node: &Node) -> Result<(), Fault> {
        let groups = named(file, "layout".to_owned(), node)?;
        let place = |name: &str| {
            let found = groups.iter().position(|(_, key, _)| {
                name == key.name || name.starts_with(&format!("{} / ", key.name))
            });
            found.unwrap_or(usize::MAX)
        };
        self.home.groups.sort_by_key(|it| place(&it.name));
        self.home.bookmarks.sort_by_key(|it| place(&it.name));
        for (path, _key, node) in groups {
            if matches!(node.value, Value::Map(_)) {
                let fields = Fields::of(file, path, node)?;
                self.warn_unknown(&fields, "groups are laid out by the width of the window");
            }
        }
        Ok(())
    }
}

fn without_port(host: &str) -> &str {
    if host.starts_with('[') {
        return host.split_inclusive(']').next().unwrap_or(host);
    }
    match host.split_once(':') {
        Some((name, port)) if !port.contains(':') => name,
        _other => host,
    }
}

/// `- Name: …` once or more, or `Name: …` pairs: each with its path and name.
fn named<'a>(
    file: &Path,
    path: String,
    node: &'a Node,
) -> Result<Vec<(String, &'a Key, &'a Node)>, Fault> {
    let below = |key: &Key| {
        if path.is_empty() { key.name.clone() } else { format!("{path}.{}", key.name) }
    };
    let pairs: Vec<&(Key, Node)> = match &node.value {
        Value::Null => Vec::new(),
        Value::Map(pairs) => pairs.iter().collect(),
        Value::List(nodes) => {
            let mut all = Vec::new();
            for it in nodes {
                match &it.value {
                    Value::Map(pairs) => all.extend(pairs),
                    Value::Null => {}
                    other => {
                        let text = format!("has {} in it; write `- Name:`", other.kind());
                        return Err(fault(file, it.line, path, text));
                    }
                }
            }
            all
        }
        other => {
            let text = format!("is {}; write a list of `- Name:`", other.kind());
            return Err(fault(file, node.line, path, text));
        }
    };
    Ok(pairs.into_iter().map(|(key, node)| (below(key), key, node)).collect())
}
