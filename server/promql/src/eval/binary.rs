//! Operators: both sides are asked for at once.

use futures::future::try_join;

use super::{Eval, EvalError, Node};
use crate::{
    Grid,
    ast::{Binary, Unary},
    matrix::is_absent,
    vector::{self, ScalarSide},
};

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

    pub(super) async fn binary(&self, it: &Binary, grid: Grid) -> Result<Node, EvalError> {
        if it.op.is_trim() {
            return Err(EvalError::Unsupported(format!(
                "operator {} (native histograms)",
                it.op.name()
            )));
        }
        let (lhs, rhs) = try_join(self.node(&it.lhs, grid), self.node(&it.rhs, grid)).await?;
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
            (Node::Scalar(lhs), Node::Vector(rhs)) => Node::Vector(vector::vector_scalar(
                it.op,
                it.return_bool,
                rhs,
                &lhs,
                ScalarSide::Left,
            )?),
            (Node::Vector(lhs), Node::Vector(rhs)) if it.op.is_set() => {
                Node::Vector(vector::set_operation(it.op, &it.matching, lhs, rhs)?)
            }
            (Node::Vector(lhs), Node::Vector(rhs)) => Node::Vector(vector::vector_vector(
                it.op,
                it.return_bool,
                &it.matching,
                &lhs,
                &rhs,
            )?),
            _ => {
                return Err(EvalError::BadQuery(
                    "binary expression must contain only scalar and instant vector types"
                        .to_owned(),
                ));
            }
        })
    }
}
