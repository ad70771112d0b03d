//! `label_replace` and `label_join`.

use std::sync::Arc;

use skep_proto::{LabelsBuilder, names::METRIC_NAME};

use super::{Eval, EvalError};
use crate::{Grid, Matrix, ast::Call, vector::merge_same_labels};

/// Bounds what one pattern may cost to compile and to hold.
const REGEX_SIZE_BYTES_MAX: usize = 10 << 20;

impl Eval<'_> {
    pub(super) async fn label_replace(&self, call: &Call, grid: Grid) -> Result<Matrix, EvalError> {
        let target = self.string_argument(call, 1, grid).await?;
        let replacement = self.string_argument(call, 2, grid).await?;
        let source = self.string_argument(call, 3, grid).await?;
        let pattern = self.string_argument(call, 4, grid).await?;
        let regex = regex::RegexBuilder::new(&format!("^(?s:{pattern})$"))
            .size_limit(REGEX_SIZE_BYTES_MAX)
            .build()
            .map_err(|_error| {
                EvalError::Execution(format!(
                    "invalid regular expression in label_replace(): {pattern}"
                ))
            })?;
        if !is_valid_name(&target) {
            return Err(EvalError::Execution(format!(
                "invalid destination label name in label_replace(): {target}"
            )));
        }
        let replacement = braced(&replacement);
        let mut matrix = self.argument(call, 0, grid).await?;
        for row in &mut matrix.rows {
            let Some(captures) = regex.captures(row.labels.get(&source)) else {
                continue;
            };
            let mut value = String::new();
            captures.expand(&replacement, &mut value);
            let mut labels: LabelsBuilder = row.labels.to_builder();
            labels.set(&target, &value);
            row.labels = Arc::new(labels.build());
            row.drops_name &= target != METRIC_NAME;
        }
        matrix.rows = merge_same_labels(matrix.rows)?;
        Ok(matrix)
    }

    pub(super) async fn label_join(&self, call: &Call, grid: Grid) -> Result<Matrix, EvalError> {
        let target = self.string_argument(call, 1, grid).await?;
        let separator = self.string_argument(call, 2, grid).await?;
        let mut sources = Vec::new();
        for idx in 3..call.args.len() {
            let source = self.string_argument(call, idx, grid).await?;
            if !is_valid_name(&source) {
                return Err(EvalError::Execution(format!(
                    "invalid source label name in label_join(): {source}"
                )));
            }
            sources.push(source);
        }
        if !is_valid_name(&target) {
            return Err(EvalError::Execution(format!(
                "invalid destination label name in label_join(): {target}"
            )));
        }
        let mut matrix = self.argument(call, 0, grid).await?;
        for row in &mut matrix.rows {
            let parts: Vec<&str> = sources.iter().map(|it| row.labels.get(it)).collect();
            let mut labels = row.labels.to_builder();
            labels.set(&target, &parts.join(&separator));
            row.labels = Arc::new(labels.build());
            row.drops_name &= target != METRIC_NAME;
        }
        matrix.rows = merge_same_labels(matrix.rows)?;
        Ok(matrix)
    }
}

/// Any text is a name, but for bytes that were no UTF-8.
fn is_valid_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('\u{fffd}')
}

/// Go ends a group's name at the first character that cannot be in one, `_` included in names; the
/// regex crate agrees, but only braces keep `$1_x` from differing in digits.
fn braced(replacement: &str) -> String {
    let mut out = String::with_capacity(replacement.len());
    let mut rest = replacement;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let after = after.get(1..).unwrap_or_default();
        if let Some(after) = after.strip_prefix('$') {
            out.push_str("$$");
            rest = after;
        } else if after.starts_with('{') {
            out.push('$');
            rest = after;
        } else {
            let end = after
                .find(|it: char| it != '_' && !it.is_ascii_alphanumeric())
                .unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            if name.is_empty() {
                out.push_str("$$");
            } else {
                out.push_str("${");
                out.push_str(name);
                out.push('}');
            }
            rest = after;
        }
    }
    out.push_str(rest);
    out
}
