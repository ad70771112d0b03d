//! docs/guide/configuration.md: which settings there are, from the types that read them, and what
//! they mean, from the guides. Part of the tests of server and agent, each for its own half.

use std::{cell::RefCell, collections::BTreeMap, fmt, fs, path::Path};

use serde::de::{
    Deserialize, Deserializer, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
    value::StrDeserializer,
};

/// Other names of a table, for files from before.
const ALIASES: [&str; 1] = ["storage"];

/// What a type wants to read at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Table(&'static [&'static str]),
    OneOf(&'static [&'static str]),
    Text,
    Number,
    Switch,
    /// Keys of the reader's choice.
    Names,
    /// Whatever fits.
    Any,
}

#[derive(Debug)]
struct Stop;

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("seen enough")
    }
}

impl std::error::Error for Stop {}

impl serde::de::Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

#[derive(Debug, Default)]
struct Found {
    kind: Option<Kind>,
    is_list: bool,
}

/// Gives a type nothing but the keys of a path, and notes what it wants at the end of it.
#[derive(Clone, Copy)]
struct Probe<'p> {
    path: &'p [&'static str],
    found: &'p RefCell<Found>,
}

impl Probe<'_> {
    fn end<T>(self, kind: Kind) -> Result<T, Stop> {
        if self.path.is_empty() {
            self.found.borrow_mut().kind = Some(kind);
        }
        Err(Stop)
    }
}

macro_rules! ends {
    ($kind:expr, $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
            self.end($kind)
        })*
    };
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Stop;

    ends!(Kind::Switch, deserialize_bool);
    ends!(Kind::Text, deserialize_char deserialize_str deserialize_string deserialize_identifier);
    ends!(Kind::Number, deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64);
    ends!(Kind::Number, deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64);
    ends!(Kind::Number, deserialize_f32 deserialize_f64);
    ends!(Kind::Names, deserialize_map);
    ends!(Kind::Any, deserialize_any deserialize_bytes deserialize_byte_buf deserialize_unit);
    ends!(Kind::Any, deserialize_ignored_any);

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        if self.path.is_empty() {
            self.found.borrow_mut().is_list = true;
        }
        visitor.visit_seq(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: V,
    ) -> Result<V::Value, Stop> {
        self.end(Kind::Any)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        if self.path.is_empty() { self.end(Kind::Table(fields)) } else { visitor.visit_map(self) }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Stop> {
        self.end(Kind::OneOf(variants))
    }
}

impl<'de> MapAccess<'de> for Probe<'_> {
    type Error = Stop;

    fn next_key_seed<K: serde::de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Stop> {
        let Some(key) = self.path.first() else { return Ok(None) };
        let key: StrDeserializer<'_, Stop> = (*key).into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: serde::de::DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Stop> {
        let (_, path) = self.path.split_first().ok_or(Stop)?;
        seed.deserialize(Self { path, found: self.found })
    }
}

impl<'de> SeqAccess<'de> for Probe<'_> {
    type Error = Stop;

    fn next_element_seed<T: serde::de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Stop> {
        seed.deserialize(*self).map(Some)
    }
}

fn found_at<T: Deserialize<'static>>(path: &[&'static str]) -> Found {
    let found = RefCell::default();
    drop(T::deserialize(Probe { path, found: &found }));
    found.into_inner()
}

/// A table of the file and the kinds of its keys.
struct Table {
    /// `front.plain`; lists of tables are `[[sites]]`.
    name: String,
    is_list: bool,
    keys: Vec<(&'static str, String)>,
}

fn tables<T: Deserialize<'static>>(path: &[&'static str], all: &mut Vec<Table>) {
    let found = found_at::<T>(path);
    let Some(Kind::Table(fields)) = found.kind else { return };
    let at = all.len();
    all.push(Table { name: path.join("."), is_list: found.is_list, keys: Vec::new() });
    let mut keys = Vec::new();
    for field in fields.iter().filter(|it| !ALIASES.contains(it)) {
        let below = [path, &[*field]].concat();
        let found = found_at::<T>(&below);
        if matches!(found.kind, Some(Kind::Table(_))) {
            tables::<T>(&below, all);
        } else {
            keys.push((*field, described(&found)));
        }
    }
    all[at].keys = keys;
}

fn described(found: &Found) -> String {
    let kind = match &found.kind {
        Some(Kind::OneOf(variants)) => {
            let quoted: Vec<_> = variants.iter().map(|it| format!("`\"{it}\"`")).collect();
            quoted.join(", ")
        }
        Some(Kind::Text) => "text".to_owned(),
        Some(Kind::Number) => "number".to_owned(),
        Some(Kind::Switch) => "`true`, `false`".to_owned(),
        Some(Kind::Names) => "table".to_owned(),
        Some(Kind::Table(_) | Kind::Any) | None => "see the guide".to_owned(),
    };
    if found.is_list { format!("list of {kind}") } else { kind }
}

/// What a guide says of a key: its value there and the comment above.
type Said = BTreeMap<(String, String), (String, String)>;

/// Reads the TOML examples of a guide.
fn said(guide: &str, said: &mut Said) {
    let blocks = guide.split("```toml").skip(1).filter_map(|it| it.split("```").next());
    for block in blocks {
        let (mut table, mut comment) = (String::new(), Vec::new());
        let mut is_comment_done = false;
        for line in block.lines().skip(1).map(str::trim) {
            let setting = line.strip_prefix("# ").unwrap_or(line).split_once(" = ");
            let setting = setting.filter(|(key, _)| {
                key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            });
            if let Some(name) = line.trim_start_matches("# ").strip_prefix('[') {
                table = name.trim_matches(['[', ']']).to_owned();
                comment.clear();
            } else if let Some((key, value)) = setting {
                let at = (table.clone(), key.to_owned());
                let text = comment.join(" ");
                said.entry(at).or_insert_with(|| (value.to_owned(), text));
                is_comment_done = true;
            } else if let Some(text) = line.strip_prefix("# ") {
                if std::mem::take(&mut is_comment_done) {
                    comment.clear();
                }
                comment.push(text.to_owned());
            } else if line.is_empty() {
                comment.clear();
            }
        }
    }
}

/// The settings of a type as Markdown.
pub(crate) fn settings<T: Deserialize<'static>>(guides: &[&str]) -> String {
    let mut known = Said::new();
    guides.iter().for_each(|it| said(it, &mut known));
    let mut all = Vec::new();
    tables::<T>(&[], &mut all);
    let mut out = String::new();
    for Table { name, is_list, keys } in all.iter().filter(|it| !it.keys.is_empty()) {
        match (name.as_str(), is_list) {
            ("", _) => out.push_str("### Before the first table\n\n"),
            (name, true) => out.push_str(&format!("### `[[{name}]]`\n\n")),
            (name, false) => out.push_str(&format!("### `[{name}]`\n\n")),
        }
        out.push_str("| key | kind | as in the guide | |\n| :-- | :-- | :-- | :-- |\n");
        for (key, kind) in keys {
            let at = (name.clone(), (*key).to_owned());
            let (value, text) = known.get(&at).cloned().unwrap_or_default();
            let value = if value.is_empty() { value } else { format!("`{value}`") };
            let (value, text) = (cell(&value), cell(&text));
            out.push_str(&format!("| `{key}` | {kind} | {value} | {text} |\n"));
        }
        out.push('\n');
    }
    out
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Compares the part of a page between two lines, or writes it with `UPDATE_EXPECT=1`.
#[track_caller]
pub(crate) fn check(page: &Path, part: &str, expected: &str) {
    let text = fs::read_to_string(page).expect("the page is there");
    let (begin, end) = (format!("<!-- {part} -->\n"), format!("<!-- end of {part} -->"));
    let (before, rest) = text.split_once(&begin).expect("the page has the part");
    let (found, after) = rest.split_once(&end).expect("the part ends");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let text = [before, &begin, expected, &end, after].concat();
        fs::write(page, text).expect("the page can be written");
    } else {
        assert_eq!(found, expected, "UPDATE_EXPECT=1 writes {} anew", page.display());
    }
}
