//! The fields of one table of a file, taken by name; what is left over is unknown.

use std::path::{Path, PathBuf};

use super::{Fault, Remark};
use crate::tree::{Node, Value};

/// A table, where it stands, and what of it was asked for.
pub(super) struct Fields<'a> {
    file: &'a Path,
    path: String,
    pub(super) line: usize,
    pairs: &'a [(crate::tree::Key, Node)],
    taken: Vec<&'a str>,
}

impl<'a> Fields<'a> {
    /// # Errors
    /// The node is no table.
    pub(super) fn of(file: &'a Path, path: String, node: &'a Node) -> Result<Self, Fault> {
        let pairs: &[_] = match &node.value {
            Value::Map(pairs) => pairs,
            Value::Null => &[],
            other => {
                let text = format!("is {}; write a table of keys and values", other.kind());
                return Err(fault(file, node.line, path, text));
            }
        };
        Ok(Self { file, path, line: node.line, pairs, taken: Vec::new() })
    }

    pub(super) fn node(&mut self, key: &'a str) -> Option<&'a Node> {
        self.taken.push(key);
        let found = self.pairs.iter().find(|(it, _)| it.name == key);
        found.map(|(_, node)| node).filter(|node| node.value != Value::Null)
    }

    /// A scalar as text.
    pub(super) fn text(&mut self, key: &'a str) -> Result<Option<String>, Fault> {
        let Some(node) = self.node(key) else { return Ok(None) };
        match node.value.scalar() {
            Some(text) => Ok(Some(text)),
            None => Err(self.fault(key, format!("is {}; write a text", node.value.kind()))),
        }
    }

    /// A text that must be there and not be empty.
    pub(super) fn needed(&mut self, key: &'a str) -> Result<String, Fault> {
        match self.text(key)? {
            Some(text) if !text.trim().is_empty() => Ok(text),
            _missing => {
                let (path, text) = (self.path_of(key), "is missing; write a text".to_owned());
                Err(fault(self.file, self.line_of(key), path, text))
            }
        }
    }

    /// A text made into something else.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'a str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Fault> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        parse(&text).map(Some).map_err(|text| self.fault(key, text))
    }

    pub(super) fn flag(&mut self, key: &'a str) -> Result<Option<bool>, Fault> {
        let Some(node) = self.node(key) else { return Ok(None) };
        match &node.value {
            Value::Flag(flag) => Ok(Some(*flag)),
            other => Err(self.fault(key, format!("is {}; write true or false", other.kind()))),
        }
    }

    pub(super) fn number(&mut self, key: &'a str) -> Result<Option<f64>, Fault> {
        self.parsed(key, |text| match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _other => Err(format!("{text:?} is not a number")),
        })
    }

    /// A list of scalars; one alone is a list of one.
    pub(super) fn texts(&mut self, key: &'a str) -> Result<Vec<String>, Fault> {
        let Some(node) = self.node(key) else { return Ok(Vec::new()) };
        let nodes = match &node.value {
            Value::List(nodes) => nodes.as_slice(),
            _one => std::slice::from_ref(node),
        };
        nodes
            .iter()
            .map(|it| {
                let wrong = || self.fault(key, format!("has {} in it", it.value.kind()));
                it.value.scalar().ok_or_else(wrong)
            })
            .collect()
    }

    /// A list of tables, each with its path.
    pub(super) fn tables(&mut self, key: &'a str) -> Result<Vec<Fields<'a>>, Fault> {
        let Some(node) = self.node(key) else { return Ok(Vec::new()) };
        let Value::List(nodes) = &node.value else {
            return Err(self.fault(key, format!("is {}; write [[{key}]]", node.value.kind())));
        };
        let path = self.path_of(key);
        nodes
            .iter()
            .enumerate()
            .map(|(i, it)| Fields::of(self.file, format!("{path}[{i}]"), it))
            .collect()
    }

    /// A table, or nothing.
    pub(super) fn table(&mut self, key: &'a str) -> Result<Option<Fields<'a>>, Fault> {
        let path = self.path_of(key);
        self.node(key).map(|it| Fields::of(self.file, path, it)).transpose()
    }

    /// A path of a file, from the folder of this one.
    pub(super) fn file(&mut self, key: &'a str) -> Result<Option<PathBuf>, Fault> {
        let dir = self.file.parent().unwrap_or(Path::new("")).to_owned();
        Ok(self.text(key)?.map(|it| dir.join(it)))
    }

    pub(super) fn fault(&self, key: &str, text: impl Into<String>) -> Fault {
        fault(self.file, self.line_of(key), self.path_of(key), text.into())
    }

    /// Keys that nothing asked for.
    pub(super) fn unknown(&self) -> Vec<Remark> {
        let left = self.pairs.iter().filter(|(key, _)| !self.taken.contains(&key.name.as_str()));
        left.map(|(key, _)| Remark {
            file: self.file.to_owned(),
            line: key.line,
            key: self.path_of(&key.name),
            text: String::new(),
        })
        .collect()
    }

    /// # Errors
    /// There are keys that nothing asked for.
    pub(super) fn finish(self) -> Result<(), Fault> {
        let mut known = self.taken.clone();
        known.sort_unstable();
        match self.unknown().into_iter().next() {
            None => Ok(()),
            Some(mut remark) => {
                remark.text = format!("there is no such key; there are {}", known.join(", "));
                Err(Fault(remark))
            }
        }
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Of the key, or of its table if it is missing.
    fn line_of(&self, key: &str) -> usize {
        let found = self.pairs.iter().find(|(it, _)| it.name == key);
        found.map_or(self.line, |(it, _)| it.line)
    }
}

pub(super) fn fault(file: &Path, line: usize, key: String, text: String) -> Fault {
    Fault(Remark { file: file.to_owned(), line, key, text })
}
