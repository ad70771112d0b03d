//! Operators: both sides are asked for at once.

use futures::stream::{self, StreamExt as _};

use super::{Eval, EvalError, Node};
use crate::{
    Expr, Grid, Matrix,
    ast::{Binary, Unary},
    matrix::is_absent,
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
                for value in matrix.rows.iter_mut().flat_map(|it| &mut it.values) {
                    if !is_absent(*value) {
                        *value = -*value;
                    }
                }
                matrix.rows = vector::without_names(matrix.rows)?;
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
                    let folded = fold(link, lhs, node)?;
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

/// `lhs op rhs` at every step.
fn fold(it: &Binary, lhs: Node, rhs: Node) -> Result<Node, EvalError> {
    if it.op.is_trim() {
        return Err(EvalError::Unsupported(format!(
            "operator {} (native histograms)",
            it.op.name()
        )));
    }
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
        )?),
        (Node::Scalar(lhs), Node::Vector(rhs)) => {
            Node::Vector(vector::vector_scalar(it.op, it.return_bool, rhs, &lhs, ScalarSide::Left)?)
        }
        (Node::Vector(lhs), Node::Vector(rhs)) if it.op.is_set() => {
            Node::Vector(vector::set_operation(it.op, &it.matching, lhs, rhs)?)
        }
        (Node::Vector(lhs), Node::Vector(rhs)) => {
            Node::Vector(vector::vector_vector(it.op, it.return_bool, &it.matching, &lhs, &rhs)?)
        }
        _ => {
            return Err(EvalError::BadQuery(
                "binary expression must contain only scalar and instant vector types".to_owned(),
            ));
        }
    })
}
