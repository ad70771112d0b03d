//! Operators: both sides are asked for at once.

use std::sync::Arc;

use futures::stream::{self, StreamExt as _};

use super::{Eval, EvalError, Node};
use crate::{
    Expr, Grid, Matrix, Row,
    annotations::Notes,
    ast::{Binary, Unary},
    matrix::is_absent,
    native::Histogram,
    vector::{self, ScalarSide},
};

/// How many operands of a chain are asked for together.
const N_OPERANDS_AT_ONCE: usize = 8;

impl Eval<'_> {
    pub(super) async fn unary(&self, it: &Unary, grid: Grid) -> Result<Node, EvalError> {
        let node = self.node(&it.expr, grid).await?;
        if !it.is_negative {
            return Ok(node);
        }
        Ok(match node {
            Node::Scalar(values) => Node::Scalar(values.into_iter().map(|it| -it).collect()),
            Node::Vector(mut matrix) => {
                for row in &mut matrix.rows {
                    negate(row);
                }
                matrix.rows = vector::marked(matrix.rows);
                Node::Vector(matrix)
            }
            Node::String(it) => Node::String(it),
        })
    }

    /// A chain of operators nests to the left; its operands are asked for a few at a time and
    /// folded in a loop, so that its length costs no stack.
    pub(super) async fn binary(&self, it: &Binary, grid: Grid) -> Result<Node, EvalError> {
        let mut links = vec![it];
        let mut first = it.lhs.as_ref();
        while let Expr::Binary(link) = first.unwrapped() {
            links.push(link);
            first = link.lhs.as_ref();
        }
        links.reverse();
        let mut asked = vec![self.node(first, grid)];
        for link in &links {
            asked.push(self.node(&link.rhs, grid));
        }
        let mut nodes = stream::iter(asked).buffered(N_OPERANDS_AT_ONCE);
        let mut links = links.into_iter();
        let mut chain = None;
        while let Some(node) = nodes.next().await {
            let node = node?;
            chain = match (chain, links.as_slice().first()) {
                (None, _) => Some(node),
                (Some(lhs), Some(link)) => {
                    let mut notes = Notes::new();
                    let folded = fold(link, lhs, node, &mut notes)?;
                    self.note(&notes, link.lhs.span());
                    links.next();
                    if let Node::Vector(it) = &folded {
                        self.check_size(it.rows.len(), grid.n_steps())?;
                    }
                    Some(folded)
                }
                (held, None) => held,
            };
        }
        Ok(chain.unwrap_or_else(|| Node::Vector(Matrix::empty(grid))))
    }
}

fn negate(row: &mut Row) {
    for value in &mut row.values {
        if !is_absent(*value) {
            *value = -*value;
        }
    }
    for it in row.histograms.iter_mut().flatten().flatten() {
        let mut negative = Histogram::from(&**it);
        negative.scale(-1.0);
        *it = Arc::new(negative.build());
    }
}

/// `lhs op rhs` at every step.
fn fold(it: &Binary, lhs: Node, rhs: Node, notes: &mut Notes) -> Result<Node, EvalError> {
    Ok(match (lhs, rhs) {
        (Node::Scalar(lhs), Node::Scalar(rhs)) => {
            Node::Scalar(vector::scalar_scalar(it.op, &lhs, &rhs))
        }
        (Node::Vector(lhs), Node::Scalar(rhs)) => Node::Vector(vector::vector_scalar(
            it.op,
            it.return_bool,
            lhs,
            &rhs,
            ScalarSide::Right,
            notes,
        )),
        (Node::Scalar(lhs), Node::Vector(rhs)) => {
            let (op, side) = (it.op, ScalarSide::Left);
            Node::Vector(vector::vector_scalar(op, it.return_bool, rhs, &lhs, side, notes))
        }
        (Node::Vector(lhs), Node::Vector(rhs)) if it.op.is_set() => {
            Node::Vector(vector::set_operation(it.op, &it.matching, lhs, rhs)?)
        }
        (Node::Vector(lhs), Node::Vector(rhs)) => {
            let (op, matching) = (it.op, &it.matching);
            Node::Vector(vector::vector_vector(op, it.return_bool, matching, &lhs, &rhs, notes)?)
        }
        _ => {
            return Err(EvalError::BadQuery(
                "binary expression must contain only scalar and instant vector types".to_owned(),
            ));
        }
    })
}
