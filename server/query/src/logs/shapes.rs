//! What is known of templates, across blocks: looked up by a block's own numbers for them.

use std::{collections::HashMap, ops::Range, sync::Arc};

use skep_logql::{Pipeline, pipeline::Shape};
use skep_proto::{Labels, LogColumnData, LogColumns, TextColumn, Texts};

/// Finding out what a template's lines have costs as much as reading some of them …
const LINES_MIN: u32 = 16;
/// … but one line that has to be read makes its block decode all columns: these many new templates
/// cost less, and one more for …
const NEW_TEMPLATES_FEW: usize = 32;
/// … so many lines.
const LINES_PER_NEW_TEMPLATE: usize = 64;
/// Templates of one leaf; lines of others are read one by one.
const TEMPLATES_MAX: usize = 65_536;

/// The shapes of templates by the names of labels that a stream has, which make a difference.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    by_names: HashMap<String, HashMap<Box<str>, Template>>,
    n_templates: usize,
    /// Of the current stream.
    names: String,
    stream: i64,
    /// Of the current block.
    dictionary: Arc<Texts>,
    slots: Vec<Slot>,
    touched: Vec<u32>,
}

/// A template, whatever dictionary it is in.
#[derive(Debug, Default)]
struct Template {
    n_lines: u32,
    shape: Option<Arc<Shape>>,
}

/// A template of a dictionary.
#[derive(Debug, Default, Clone)]
pub(super) struct Slot {
    /// `None` where its lines are to be read.
    pub(super) shape: Option<Arc<Shape>>,
    /// None of its lines that were prepared last passes.
    pub(super) is_ruled_out: bool,
    /// Where its lines of this stream go.
    pub(super) series: Option<usize>,
    n_lines: u32,
}

impl Shapes {
    pub(super) fn set_stream(&mut self, id: i64, labels: &Labels) {
        if self.stream == id && !self.names.is_empty() {
            return;
        }
        self.stream = id;
        self.slots.iter_mut().for_each(|it| it.series = None);
        let mut names = String::from("\n");
        for (name, _) in labels.iter() {
            names.push_str(name);
            names.push('\n');
        }
        if self.names != names {
            self.names = names;
            self.slots.clear();
        }
    }

    /// Finds out about the templates of these rows; says which columns are needed for them. Then
    /// comes [`Self::rule_out`].
    pub(super) fn prepare(
        &mut self,
        templates: &TextColumn,
        rows: Range<usize>,
        mut shape: impl FnMut(&str) -> Shape,
    ) -> LogColumns {
        if !Arc::ptr_eq(&self.dictionary, &templates.texts) || self.slots.is_empty() {
            self.dictionary = Arc::clone(&templates.texts);
            self.slots.clear();
            self.slots.resize(templates.texts.len(), Slot::default());
        }
        let n_rows = rows.len();
        for &key in templates.keys.get(rows).unwrap_or_default() {
            if let Some(slot) = self.slots.get_mut(key as usize) {
                if slot.n_lines == 0 {
                    self.touched.push(key);
                }
                slot.n_lines += 1;
            }
        }
        let mut columns = LogColumns { templates: true, ..LogColumns::NONE };
        let known = self.by_names.entry(self.names.clone()).or_default();
        let is_new = |key: &&u32| {
            self.slots.get(**key as usize).is_some_and(|it| it.shape.is_none())
                && known
                    .get(self.dictionary.get(**key as usize))
                    .is_none_or(|it| it.shape.is_none())
        };
        let few = NEW_TEMPLATES_FEW + n_rows / LINES_PER_NEW_TEMPLATE;
        let are_few = self.touched.iter().filter(is_new).take(few + 1).count() <= few;
        let lines_min = if are_few { 0 } else { LINES_MIN };
        for &key in &self.touched {
            let Some(slot) = self.slots.get_mut(key as usize) else { continue };
            let n_lines = std::mem::take(&mut slot.n_lines);
            if slot.shape.is_none() {
                let text = self.dictionary.get(key as usize);
                if !known.contains_key(text) && self.n_templates < TEMPLATES_MAX {
                    known.insert(text.into(), Template::default());
                    self.n_templates += 1;
                }
                if let Some(template) = known.get_mut(text) {
                    template.n_lines = template.n_lines.saturating_add(n_lines);
                    if template.shape.is_none() && template.n_lines >= lines_min {
                        template.shape = Some(Arc::new(shape(text)));
                    }
                    slot.shape = template.shape.clone();
                }
            }
            columns.values |= match slot.shape.as_deref() {
                Some(Shape::Never) => 0,
                Some(Shape::Known(known)) => known.values(),
                Some(Shape::Unknown) | None => u8::MAX,
            };
        }
        columns
    }

    /// Looks for the texts of line filters in the values of the rows that were prepared, all at
    /// once.
    pub(super) fn rule_out(&mut self, data: &LogColumnData, pipeline: &Pipeline) {
        let mut found = None;
        for key in self.touched.drain(..) {
            let Some(slot) = self.slots.get_mut(key as usize) else { continue };
            slot.is_ruled_out = false;
            if let Some(Shape::Known(known)) = slot.shape.as_deref()
                && known.has_needles()
            {
                let found = found.get_or_insert_with(|| {
                    let text = |at: usize| {
                        data.values.get(at).and_then(Option::as_ref).map_or("", Texts::text)
                    };
                    pipeline.columns_with_needles(text)
                });
                slot.is_ruled_out = known.is_ruled_out(found);
            }
        }
    }

    pub(super) fn slot(&mut self, key: u32) -> Option<&mut Slot> {
        self.slots.get_mut(key as usize)
    }
}
