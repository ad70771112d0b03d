//! Which rows of which parts a filter on lines can leave out, worked out once for a snapshot.

use std::{
    fs::File,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use datafusion::logical_expr::Expr;
use futures::StreamExt as _;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

use super::{index::Index, need::Need};
use crate::{filter::RowFilter, part::Part};

/// Parts that are asked at the same time: some may have to be fetched first.
const PARTS_AT_ONCE: usize = 4;

/// A part's index, once it was asked for.
#[derive(Debug, Default)]
pub(crate) struct PartWords(OnceLock<Loaded>);

#[derive(Debug)]
enum Loaded {
    Absent,
    /// Read, but not usable.
    Damaged,
    Index(Index),
}

impl PartWords {
    /// Whether it was found damaged, in whole or in part.
    pub(crate) fn is_damaged(&self) -> bool {
        match self.0.get() {
            Some(Loaded::Index(index)) => index.is_damaged(),
            Some(Loaded::Damaged) => true,
            Some(Loaded::Absent) | None => false,
        }
    }

    fn get(&self, part: &Part, file: &File) -> Option<&Index> {
        let loaded = self.0.get_or_init(|| match Index::load(part, file) {
            Ok(Some(index)) => Loaded::Index(index),
            Ok(None) => Loaded::Absent,
            Err(error) => {
                tracing::warn!(
                    %error, path = %part.path.display(),
                    "The index of words of a part cannot be used; searches read all of the part."
                );
                Loaded::Damaged
            }
        });
        match loaded {
            Loaded::Index(index) => Some(index),
            Loaded::Absent | Loaded::Damaged => None,
        }
    }
}

/// The last search of a snapshot: a query reads it slice by slice, with the same filter.
#[derive(Debug, Default)]
pub(crate) struct Search {
    last: Mutex<Option<(Need, Arc<Found>)>>,
}

/// For each part that was looked into, which pages may hold what is needed.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// `None` where every page may.
    parts: Vec<Option<Vec<bool>>>,
}

/// What has to be read of a part.
#[derive(Debug)]
pub(crate) struct PartRows {
    /// `None` for all rows.
    pub(crate) rows: Option<RowSelection>,
    /// Pages to read and pages there are, where an index told.
    pub(crate) pages: Option<(usize, usize)>,
}

impl PartRows {
    pub(crate) const ALL: Self = Self { rows: None, pages: None };

    pub(crate) fn is_empty(&self) -> bool {
        self.pages.is_some_and(|(n_read, _)| n_read == 0)
    }
}

impl Search {
    /// Looks for what the filters need in the parts; `None` if they need nothing special.
    pub(crate) async fn find(
        &self,
        parts: &[Arc<Part>],
        filter: &RowFilter,
        exprs: &[Expr],
    ) -> Option<Arc<Found>> {
        let need = Need::of_all(exprs);
        if need.is_anything() {
            return None;
        }
        if let Some((last, found)) = &*self.last()
            && *last == need
        {
            return Some(Arc::clone(found));
        }
        // Not only those of the time that is asked for now: the next slice is of another.
        let mut any_time = filter.clone();
        (any_time.ts_min, any_time.ts_max) = (i64::MIN, i64::MAX);
        let asked = parts.iter().map(|part| {
            let is_wanted = any_time.overlaps(part.info.ids, part.info.ts);
            let (part, need) = (Arc::clone(part), need.clone());
            async move { if is_wanted { ask(part, need).await } else { None } }
        });
        let asked = futures::stream::iter(asked.collect::<Vec<_>>());
        let found = Arc::new(Found { parts: asked.buffered(PARTS_AT_ONCE).collect().await });
        *self.last() = Some((need, Arc::clone(&found)));
        Some(found)
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<(Need, Arc<Found>)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which pages of a part may hold what is needed: for each, how many rows it has. `None` where
/// every page may.
pub(crate) async fn pages_with(part: &Arc<Part>, need: &Need) -> Option<Vec<(usize, bool)>> {
    if need.is_anything() {
        return None;
    }
    let found = ask(Arc::clone(part), need.clone()).await?;
    let Some(Loaded::Index(index)) = part.words.0.get() else { return None };
    Some(index.pages().iter().map(|it| it.n_rows).zip(found).collect())
}

/// What cannot be asked rules out nothing. The file need not stay meanwhile: whoever reads the rows
/// sees to that again.
async fn ask(part: Arc<Part>, need: Need) -> Option<Vec<bool>> {
    let _pin = part.pin().await.ok()?;
    let ask = move || {
        let file = File::open(&part.path).ok()?;
        Some(part.words.get(&part, &file)?.ask(&need, &file))
    };
    tokio::task::spawn_blocking(ask).await.ok().flatten()
}

impl Found {
    /// What to read of the part at this place.
    pub(crate) fn rows(&self, at: usize, part: &Part, filter: &RowFilter) -> PartRows {
        let found = self.parts.get(at).and_then(Option::as_deref);
        let (Some(found), Some(Loaded::Index(index))) = (found, part.words.0.get()) else {
            return PartRows::ALL;
        };
        let selectors: Vec<RowSelector> = index
            .pages()
            .iter()
            .zip(found)
            .map(|(page, found)| RowSelector {
                row_count: page.n_rows,
                skip: !(*found && filter.overlaps(page.ids, page.ts)),
            })
            .collect();
        let n_read = selectors.iter().filter(|it| !it.skip).count();
        let pages = Some((n_read, selectors.len()));
        let is_whole = n_read == selectors.len();
        PartRows { rows: (!is_whole).then(|| RowSelection::from(selectors)), pages }
    }
}
