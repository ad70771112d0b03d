//! What a home page shows, from its files: our own in TOML or those of gethomepage.

mod address;
mod fields;
mod gethomepage;
mod own;
mod values;

use std::{
    fmt,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

pub use address::Target;
pub(crate) use address::href;

/// Where the files are, and what they may cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Without files, the page shows what is found by itself.
    pub source: Option<Source>,
    /// Pictures for services, by file name.
    pub icons_dir: Option<PathBuf>,
    pub visitors: Visitors,
    pub limits: Limits,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// One file of ours.
    File(PathBuf),
    /// A folder with gethomepage's `services.yaml`, `bookmarks.yaml`, `settings.yaml` and
    /// `widgets.yaml`; each may be missing.
    Gethomepage(PathBuf),
}

/// Who may see the page without a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visitors {
    /// Nobody.
    LoggedIn,
    /// Everybody, but what is private.
    Anybody,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Checks and questions to widgets' addresses at once; more wait.
    pub checks_at_once: usize,
    /// Services, bookmarks and widgets of all files together.
    pub entries_max: usize,
    /// Of a file, an icon, or a secret that a file names.
    pub file_bytes_max: u64,
    /// Between two checks of a service that says nothing else.
    pub interval: Duration,
    /// Of a check that says nothing else.
    pub timeout: Duration,
    /// Of an answer to a check; what is beyond is not read.
    pub check_bytes_max: u64,
    /// Of an answer to a widget; a longer one is an error.
    pub widget_bytes_max: u64,
    pub redirects_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            checks_at_once: 16,
            entries_max: 2_000,
            file_bytes_max: 1 << 20,
            interval: Duration::from_mins(1),
            timeout: Duration::from_secs(10),
            check_bytes_max: 64 << 10,
            widget_bytes_max: 1 << 20,
            // As many as a browser follows.
            redirects_max: 20,
        }
    }
}

/// What the files say.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HomeFile {
    pub title: Option<String>,
    /// For who has chosen none.
    pub theme: Theme,
    pub groups: Vec<Group>,
    pub bookmarks: Vec<BookmarkGroup>,
    pub search: Vec<SearchEngine>,
    pub widgets: Vec<Widget>,
    pub found: Found,
    /// What the files say and this server does not do.
    pub warnings: Vec<Remark>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    #[default]
    System,
    Light,
    Dark,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub name: String,
    pub is_private: bool,
    pub services: Vec<Service>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Unique within its group.
    pub name: String,
    pub href: Option<String>,
    pub icon: Option<String>,
    pub description: String,
    pub is_private: bool,
    pub check: Option<Check>,
    /// Values from an address, shown in the tile.
    pub json: Option<JsonSource>,
}

/// How to find out whether a service is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    pub target: Target,
    pub interval: Duration,
    pub timeout: Duration,
    pub expected: Expected,
    pub trust: Trust,
}

/// Which statuses of HTTP mean that a service is up.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// 200 to 399, and 401 and 403: a service that asks for a login is there.
    Usual,
    Among(Vec<RangeInclusive<u16>>),
}

/// Which certificates a service may have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Trust {
    System,
    /// Those of the system, and of the authorities in this file.
    Also(PathBuf),
    /// Any at all.
    Anything,
}

#[derive(Debug, Clone, PartialEq)]
pub struct BookmarkGroup {
    pub name: String,
    pub is_private: bool,
    pub bookmarks: Vec<Bookmark>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Bookmark {
    pub name: String,
    pub href: String,
    /// Two letters or so, in place of an icon.
    pub abbr: String,
    pub icon: Option<String>,
    pub description: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchEngine {
    pub name: String,
    /// With `{query}` where the words go.
    pub url: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Widget {
    pub name: String,
    pub href: Option<String>,
    pub is_private: bool,
    pub kind: WidgetKind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum WidgetKind {
    /// The page asks the Prometheus API.
    Promql {
        query: String,
        /// With the last day as a curve.
        has_curve: bool,
        format: Format,
    },
    /// This server asks the address.
    Json(JsonSource),
}

/// Values of a JSON document at an address.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonSource {
    pub url: String,
    pub interval: Duration,
    pub timeout: Duration,
    pub trust: Trust,
    pub fields: Vec<JsonField>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct JsonField {
    pub label: String,
    pub path: crate::widget::Path,
    pub format: Format,
}

/// How a value is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Format {
    pub kind: FormatKind,
    /// Multiplies numbers.
    pub scale: f64,
    pub prefix: String,
    pub suffix: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormatKind {
    Text,
    Number,
    Bytes,
    BytesPerSecond,
    Percent,
    /// Of seconds.
    Duration,
}

impl FormatKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "bytes_per_second",
            Self::Percent => "percent",
            Self::Duration => "duration",
        }
    }
}

/// What is shown that no file names.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Names of `[[sites]]`.
    pub sites: bool,
    /// Units with listening sockets.
    pub units: bool,
    /// Names of sites or units that are not shown.
    pub hide: Vec<String>,
}

impl Default for Found {
    fn default() -> Self {
        Self { sites: true, units: true, hide: Vec::new() }
    }
}

/// Something about a place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    pub file: PathBuf,
    /// From 1; 0 is the whole file.
    pub line: usize,
    /// `groups[0].services[1].href`; empty where the file is no TOML or YAML at all.
    pub key: String,
    pub text: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.key.is_empty() {
            write!(f, ": {}", self.text)
        } else {
            write!(f, ": {}: {}", self.key, self.text)
        }
    }
}

/// Why files cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub Remark);

/// What `{{HOMEPAGE_VAR_…}}` stands for; none if there is no such variable.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

impl HomeFile {
    /// Reads the files; none of them says nothing.
    ///
    /// # Errors
    /// The file, the line, the key, and what to write instead.
    pub fn load(settings: &Settings, variables: Variables<'_>) -> Result<Self, Fault> {
        match &settings.source {
            None => Ok(Self::default()),
            Some(Source::File(path)) => {
                let text = read(path, settings.limits.file_bytes_max)?;
                own::parse(path, &text, &settings.limits)
            }
            Some(Source::Gethomepage(dir)) => gethomepage::load(dir, &settings.limits, variables),
        }
    }

    fn n_entries(&self) -> usize {
        let services: usize = self.groups.iter().map(|it| it.services.len()).sum();
        let bookmarks: usize = self.bookmarks.iter().map(|it| it.bookmarks.len()).sum();
        services + bookmarks + self.widgets.len()
    }

    fn check_size(&self, file: &Path, limits: &Limits) -> Result<(), Fault> {
        let n_entries = self.n_entries();
        if n_entries <= limits.entries_max {
            return Ok(());
        }
        Err(Fault(Remark {
            file: file.to_owned(),
            line: 0,
            key: String::new(),
            text: format!(
                "{n_entries} services, bookmarks and widgets are more than home.entries_max, {}",
                limits.entries_max
            ),
        }))
    }
}

/// A file of a bounded size.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<String, Fault> {
    let fault =
        |text: String| Fault(Remark { file: path.to_owned(), line: 0, key: String::new(), text });
    let metadata = std::fs::metadata(path);
    let size_bytes = metadata.map_err(|error| fault(format!("cannot be read: {error}")))?.len();
    if size_bytes > bytes_max {
        return Err(fault(format!("has {size_bytes} bytes, more than home.file_max, {bytes_max}")));
    }
    std::fs::read_to_string(path).map_err(|error| fault(format!("cannot be read: {error}")))
}

#[cfg(test)]
mod tests;
