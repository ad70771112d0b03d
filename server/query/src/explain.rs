//! What a query did: its tree, and the plan of each leaf with what was read and pruned.

use std::fmt;

use datafusion::physical_plan::{ExecutionPlan, display::DisplayableExecutionPlan};
use skep_proto::Matcher;

/// One leaf's plan after it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafPlan {
    /// `{name="value", …}`.
    pub selector: String,
    /// DataFusion's plan, one operator a line, with its metrics.
    pub text: String,
}

impl LeafPlan {
    pub(crate) fn new(matchers: &[Matcher], plan: &dyn ExecutionPlan) -> Self {
        let matchers: Vec<String> = matchers.iter().map(Matcher::to_string).collect();
        Self {
            selector: format!("{{{}}}", matchers.join(", ")),
            text: DisplayableExecutionPlan::with_metrics(plan).indent(false).to_string(),
        }
    }
}

/// A query with all its leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The parsed query, one node a line.
    pub tree: String,
    pub leaves: Vec<LeafPlan>,
    /// How many, and of what.
    pub n_read: (u64, &'static str),
}

impl fmt::Display for Explanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}", self.tree.trim_end())?;
        for LeafPlan { selector, text } in &self.leaves {
            writeln!(out, "\nleaf {selector}")?;
            for line in text.lines() {
                writeln!(out, "  {line}")?;
            }
        }
        let (n, what) = self.n_read;
        writeln!(out, "\n{n} {what} read")
    }
}
