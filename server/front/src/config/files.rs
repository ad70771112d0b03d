//! Settings of a route that serves files.

use std::path::{Path, PathBuf};

use super::ConfigError;

/// A folder whose files are served.
#[derive(Debug, Clone)]
pub struct FilesConfig {
    root: PathBuf,
    index: Vec<String>,
    fallback: Option<String>,
    pub browse: Browse,
    pub hidden: Hidden,
    pub links: Links,
    pub precompressed: Precompressed,
}

/// Whether a folder without an index file lists what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Browse {
    #[default]
    Off,
    List,
}

/// Names that begin with a dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hidden {
    /// As if they were not there, but for `.well-known`.
    #[default]
    Refused,
    Served,
}

/// Symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Links {
    /// Relative ones that stay below the root; the kernel sees to it.
    #[default]
    Inside,
    /// Wherever they lead.
    Anywhere,
    /// As if they were not there.
    Refused,
}

/// Whether `x.br`, `x.zst` and `x.gz` beside `x` are served to who takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precompressed {
    #[default]
    Off,
    Used,
}

impl FilesConfig {
    pub const INDEX: &str = "index.html";

    pub fn new(root: PathBuf) -> Result<Self, ConfigError> {
        if !root.is_absolute() {
            return Err(ConfigError::FilesRoot(root));
        }
        Ok(Self {
            root,
            index: vec![Self::INDEX.to_owned()],
            fallback: None,
            browse: Browse::default(),
            hidden: Hidden::default(),
            links: Links::default(),
            precompressed: Precompressed::default(),
        })
    }

    /// Names of files that answer for their folder, the first that is there.
    pub fn with_index(mut self, index: &[String]) -> Result<Self, ConfigError> {
        let is_name = |it: &&String| !it.is_empty() && !it.contains('/') && *it != "..";
        match index.iter().find(|it| !is_name(it)) {
            Some(bad) => Err(ConfigError::FileName(bad.clone())),
            None => {
                self.index = index.to_vec();
                Ok(self)
            }
        }
    }

    /// A file below the root that answers for paths where none is: the page of a single-page app.
    pub fn with_fallback(mut self, fallback: &str) -> Result<Self, ConfigError> {
        let path = fallback.strip_prefix('/').unwrap_or(fallback);
        if path.is_empty() || path.split('/').any(|it| matches!(it, "" | "." | "..")) {
            return Err(ConfigError::FileName(fallback.to_owned()));
        }
        self.fallback = Some(path.to_owned());
        Ok(self)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn index(&self) -> &[String] {
        &self.index
    }

    pub(crate) fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }
}
