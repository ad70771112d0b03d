//! Patterns of lines: what many lines share, with `<_>` where they differ, after the Drain
//! algorithm (He et al., 2017).
//!
//! A line is cut into words and what stands between them. Lines that differ only in words with
//! digits have one *shape*, which a hash finds; only a new shape goes down the tree of first words
//! to the clusters it may belong to. A pattern covers the whole line, so that `|> "…"` finds the
//! lines it was made of.

mod cut;

use std::collections::HashMap;

use self::cut::{Piece, cut};

/// What stands for a part that differs.
const ANY: &str = "<_>";
/// Words that lead through the tree.
const DEPTH: usize = 1;
/// Different words at one place of the tree; further ones share a branch.
const N_CHILDREN_MAX: usize = 15;
/// The share of words that must be equal for a shape to join a cluster.
const SIMILARITY_MIN: f64 = 0.5;

/// Bounds of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainLimits {
    /// Lines that fit no pattern once there are so many belong to none.
    pub n_clusters_max: usize,
    /// Lines of a new shape once there are so many belong to no pattern.
    pub n_shapes_max: usize,
}

impl Default for DrainLimits {
    fn default() -> Self {
        Self { n_clusters_max: 1_000, n_shapes_max: 20_000 }
    }
}

/// Lines that differ only in words with digits; [`Drain::cluster_of`] tells its pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShapeId(usize);

/// One pattern of [`Drain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(usize);

#[derive(Debug)]
struct Shape {
    pieces: Vec<Piece>,
    cluster: ClusterId,
}

/// The words all its shapes share; `None` where they differ.
#[derive(Debug)]
struct Cluster {
    pieces: Vec<Option<Piece>>,
    shapes: Vec<ShapeId>,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<String, Node>,
    clusters: Vec<ClusterId>,
}

/// Learns patterns line by line.
#[derive(Debug, Default)]
pub struct Drain {
    limits: DrainLimits,
    shape_of: HashMap<String, ShapeId>,
    shapes: Vec<Shape>,
    clusters: Vec<Cluster>,
    /// By number of pieces.
    roots: HashMap<usize, Node>,
    key: String,
}

impl Drain {
    pub fn new(limits: DrainLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes a line; `None` where it has no words, or a limit is reached.
    pub fn add(&mut self, line: &str) -> Option<ShapeId> {
        let pieces = cut(line);
        if !pieces.iter().any(Piece::is_word) {
            return None;
        }
        self.key.clear();
        pieces.iter().for_each(|it| it.push_key(&mut self.key));
        if let Some(&id) = self.shape_of.get(&self.key) {
            let shape = self.shapes.get_mut(id.0)?;
            shape.pieces.iter_mut().zip(pieces).for_each(|(held, piece)| held.meet(&piece));
            return Some(id);
        }
        if self.shapes.len() >= self.limits.n_shapes_max {
            return None;
        }
        let id = ShapeId(self.shapes.len());
        let cluster = self.join(id, &pieces)?;
        self.shapes.push(Shape { pieces, cluster });
        self.shape_of.insert(self.key.clone(), id);
        Some(id)
    }

    pub fn cluster_of(&self, ShapeId(at): ShapeId) -> Option<ClusterId> {
        self.shapes.get(at).map(|it| it.cluster)
    }

    /// The pattern as `|>` takes it.
    pub fn pattern(&self, ClusterId(at): ClusterId) -> String {
        let Some(cluster) = self.clusters.get(at) else { return String::new() };
        let mut out = String::new();
        for (place, piece) in cluster.pieces.iter().enumerate() {
            let text = piece.as_ref().and_then(|it| self.text(cluster, place, it));
            match text {
                Some(text) => out.push_str(text),
                None if out.ends_with(ANY) => {}
                None => out.push_str(ANY),
            }
        }
        out
    }

    /// What stands at a place of all lines of a cluster.
    fn text<'a>(&'a self, cluster: &Cluster, place: usize, piece: &'a Piece) -> Option<&'a str> {
        if !matches!(piece, Piece::Number(_)) {
            return piece.text();
        }
        let mut texts = cluster.shapes.iter().map(|it| {
            let shape = self.shapes.get(it.0);
            shape.and_then(|it| it.pieces.get(place)).and_then(Piece::text)
        });
        let first = texts.next()??;
        texts.all(|it| it == Some(first)).then_some(first)
    }

    fn join(&mut self, id: ShapeId, pieces: &[Piece]) -> Option<ClusterId> {
        let mut node = self.roots.entry(pieces.len()).or_default();
        for word in pieces.iter().filter(|it| it.is_word()).take(DEPTH) {
            let is_full = node.children.len() >= N_CHILDREN_MAX;
            let name = match word {
                Piece::Word(text) if !is_full || node.children.contains_key(text) => text.as_str(),
                _ => ANY,
            };
            node = node.children.entry(name.to_owned()).or_default();
        }
        let best = node
            .clusters
            .iter()
            .filter_map(|it| Some((*it, self.clusters.get(it.0)?.similarity(pieces)?)))
            .max_by(|(_, a), (_, b)| a.total_cmp(b));
        if let Some((found, similarity)) = best
            && similarity >= SIMILARITY_MIN
            && let Some(cluster) = self.clusters.get_mut(found.0)
        {
            cluster.join(id, pieces);
            return Some(found);
        }
        if self.clusters.len() >= self.limits.n_clusters_max {
            return None;
        }
        let new = ClusterId(self.clusters.len());
        let pieces = pieces.iter().cloned().map(Some).collect();
        self.clusters.push(Cluster { pieces, shapes: vec![id] });
        node.clusters.push(new);
        Some(new)
    }
}

impl Cluster {
    /// The share of equal words; `None` if what stands between them differs.
    #[expect(clippy::cast_precision_loss, reason = "a line has at most some hundred pieces")]
    fn similarity(&self, pieces: &[Piece]) -> Option<f64> {
        let (mut n_words, mut n_equal) = (0usize, 0usize);
        for (held, piece) in self.pieces.iter().zip(pieces) {
            if let Piece::Between(text) = piece {
                let is_same = matches!(held, Some(Piece::Between(it)) if it == text);
                is_same.then_some(())?;
                continue;
            }
            n_words += 1;
            let is_equal = match (held, piece) {
                (Some(Piece::Word(held)), Piece::Word(text)) => held == text,
                (Some(Piece::Number(_)), Piece::Number(_)) | (Some(Piece::Rest), Piece::Rest) => {
                    true
                }
                (Some(Piece::Between(_)), _) => return None,
                _ => false,
            };
            n_equal += usize::from(is_equal);
        }
        (n_words > 0).then(|| n_equal as f64 / n_words as f64)
    }

    fn join(&mut self, id: ShapeId, pieces: &[Piece]) {
        self.shapes.push(id);
        for (held, piece) in self.pieces.iter_mut().zip(pieces) {
            let is_same = match (&*held, piece) {
                (Some(Piece::Number(_)), Piece::Number(_)) => true,
                (Some(held), piece) => held == piece,
                (None, _) => false,
            };
            if !is_same {
                *held = None;
            }
        }
    }
}

#[cfg(test)]
mod tests;
