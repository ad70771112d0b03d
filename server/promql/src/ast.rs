//! The tree a query text becomes, each node with the bytes it was read from.

use skep_proto::{Matcher, TimestampMs};

use crate::{functions::Function, leaf::Grouping};

/// Bytes of the query text, end excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub(crate) fn to(self, end: Self) -> Self {
        Self { start: self.start, end: end.end }
    }
}

/// What an expression evaluates to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    Scalar,
    Vector,
    Matrix,
    String,
}

impl ValueType {
    /// The name the JSON API uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
            Self::String => "string",
        }
    }

    /// The name error messages use.
    pub fn documented(self) -> &'static str {
        match self {
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            other => other.name(),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    Number(NumberLiteral),
    String(StringLiteral),
    Vector(VectorSelector),
    Matrix(MatrixSelector),
    Subquery(Subquery),
    Call(Call),
    Aggregate(Aggregate),
    Binary(Binary),
    Unary(Unary),
    Paren(Paren),
}

/// A number, or a duration in seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberLiteral {
    pub value: f64,
    /// Written as a duration, and printed as one.
    pub is_duration: bool,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StringLiteral {
    pub value: String,
    /// The bytes, where escapes made them no UTF-8; `value` has replacement characters there.
    pub bytes: Option<Vec<u8>>,
    pub span: Span,
}

/// `name{matchers} @ … offset …`.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSelector {
    /// The name where it stands in front of the braces; it is a matcher too.
    pub name: Option<String>,
    pub matchers: Vec<Matcher>,
    pub modifiers: Modifiers,
    /// The second argument of `info()` may match everything.
    pub may_match_all: bool,
    pub span: Span,
}

/// `selector[range]`; offset and `@` are those of the selector.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSelector {
    pub selector: VectorSelector,
    pub range: Length,
    pub span: Span,
}

/// `expr[range:step]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    pub expr: Box<Expr>,
    pub range: Length,
    /// `None` is the default evaluation interval.
    pub step: Option<Length>,
    pub modifiers: Modifiers,
    pub span: Span,
}

/// What may follow a selector or a subquery.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Modifiers {
    pub offset: Length,
    pub at: Option<At>,
    pub extended: Option<Extended>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    Time(TimestampMs),
    Start,
    End,
}

/// `anchored` or `smoothed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extended {
    Anchored,
    Smoothed,
}

/// A length of time, known at once or by the query's step and range.
#[derive(Debug, Clone, PartialEq)]
pub enum Length {
    Millis(i64),
    Expr(DurationExpr),
}

impl Default for Length {
    fn default() -> Self {
        Self::Millis(0)
    }
}

/// Arithmetic on durations, in seconds.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationExpr {
    Literal(NumberLiteral),
    Negative(Box<Self>, Span),
    Binary { op: BinaryOp, lhs: Box<Self>, rhs: Box<Self> },
    Step(Span),
    Range(Span),
    MinOf(Box<Self>, Box<Self>, Span),
    MaxOf(Box<Self>, Box<Self>, Span),
    Paren(Box<Self>, Span),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub function: &'static Function,
    pub args: Vec<Expr>,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    pub op: AggregateOp,
    pub param: Option<Box<Expr>>,
    pub expr: Box<Expr>,
    pub grouping: Grouping,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    pub op: BinaryOp,
    pub lhs: Box<Expr>,
    pub rhs: Box<Expr>,
    /// `bool`: comparisons give 0 or 1 instead of filtering.
    pub return_bool: bool,
    pub matching: Matching,
}

/// Which rows of the two sides belong together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matching {
    pub on: bool,
    /// The labels of `on (…)` or `ignoring (…)`.
    pub labels: Vec<String>,
    pub card: Cardinality,
    /// The labels of `group_left (…)` or `group_right (…)`.
    pub include: Vec<String>,
    /// What stands for a missing row of the left and of the right side.
    pub fill: (Option<f64>, Option<f64>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cardinality {
    #[default]
    OneToOne,
    ManyToOne,
    OneToMany,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Unary {
    pub is_negative: bool,
    pub expr: Box<Expr>,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Paren {
    pub expr: Box<Expr>,
    pub span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    /// `</`: histograms only.
    TrimUpper,
    /// `>/`: histograms only.
    TrimLower,
    And,
    Or,
    Unless,
}

impl BinaryOp {
    pub const ALL: [Self; 18] = [
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::Mod,
        Self::Pow,
        Self::Atan2,
        Self::Equal,
        Self::NotEqual,
        Self::Less,
        Self::LessEqual,
        Self::Greater,
        Self::GreaterEqual,
        Self::TrimUpper,
        Self::TrimLower,
        Self::And,
        Self::Or,
        Self::Unless,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }

    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal
                | Self::NotEqual
                | Self::Less
                | Self::LessEqual
                | Self::Greater
                | Self::GreaterEqual
        )
    }

    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    pub fn is_trim(self) -> bool {
        matches!(self, Self::TrimUpper | Self::TrimLower)
    }

    /// Higher binds tighter; only `^` is right-associative.
    pub(crate) fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            Self::Add | Self::Sub => 4,
            Self::Mul | Self::Div | Self::Mod | Self::Atan2 => 5,
            Self::Pow => 6,
            _ => 3,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    CountValues,
    Quantile,
    Limitk,
    LimitRatio,
}

impl AggregateOp {
    pub const ALL: [Self; 14] = [
        Self::Sum,
        Self::Avg,
        Self::Count,
        Self::Min,
        Self::Max,
        Self::Group,
        Self::Stddev,
        Self::Stdvar,
        Self::Topk,
        Self::Bottomk,
        Self::CountValues,
        Self::Quantile,
        Self::Limitk,
        Self::LimitRatio,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::CountValues => "count_values",
            Self::Quantile => "quantile",
            Self::Limitk => "limitk",
            Self::LimitRatio => "limit_ratio",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// What stands before the vector: `None`, a scalar, or the label name of `count_values`.
    pub fn param_type(self) -> Option<ValueType> {
        match self {
            Self::Topk | Self::Bottomk | Self::Quantile | Self::Limitk | Self::LimitRatio => {
                Some(ValueType::Scalar)
            }
            Self::CountValues => Some(ValueType::String),
            _ => None,
        }
    }

    pub fn is_experimental(self) -> bool {
        matches!(self, Self::Limitk | Self::LimitRatio)
    }
}

impl Expr {
    pub fn span(&self) -> Span {
        match self {
            Self::Number(it) => it.span,
            Self::String(it) => it.span,
            Self::Vector(it) => it.span,
            Self::Matrix(it) => it.span,
            Self::Subquery(it) => it.span,
            Self::Call(it) => it.span,
            Self::Aggregate(it) => it.span,
            Self::Binary(it) => it.lhs.span().to(it.rhs.span()),
            Self::Unary(it) => it.span,
            Self::Paren(it) => it.span,
        }
    }

    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Number(_) => ValueType::Scalar,
            Self::String(_) => ValueType::String,
            Self::Matrix(_) | Self::Subquery(_) => ValueType::Matrix,
            Self::Vector(_) | Self::Aggregate(_) => ValueType::Vector,
            Self::Call(it) => it.function.returns,
            Self::Unary(it) => it.expr.value_type(),
            Self::Paren(it) => it.expr.value_type(),
            Self::Binary(it) => {
                let both = (it.lhs.value_type(), it.rhs.value_type());
                if both == (ValueType::Scalar, ValueType::Scalar) {
                    ValueType::Scalar
                } else {
                    ValueType::Vector
                }
            }
        }
    }

    /// All selectors in it, from left to right.
    pub fn selectors(&self) -> Vec<&VectorSelector> {
        match self {
            Self::Number(_) | Self::String(_) => Vec::new(),
            Self::Vector(it) => vec![it],
            Self::Matrix(it) => vec![&it.selector],
            Self::Subquery(it) => it.expr.selectors(),
            Self::Unary(it) => it.expr.selectors(),
            Self::Paren(it) => it.expr.selectors(),
            Self::Call(it) => it.args.iter().flat_map(Self::selectors).collect(),
            Self::Aggregate(it) => {
                let param = it.param.iter().flat_map(|it| it.selectors());
                param.chain(it.expr.selectors()).collect()
            }
            Self::Binary(it) => [&it.lhs, &it.rhs].iter().flat_map(|it| it.selectors()).collect(),
        }
    }

    /// The expression inside any parentheses.
    pub fn unwrapped(&self) -> &Self {
        let mut expr = self;
        while let Self::Paren(it) = expr {
            expr = &it.expr;
        }
        expr
    }
}

impl DurationExpr {
    pub fn span(&self) -> Span {
        match self {
            Self::Literal(it) => it.span,
            Self::Binary { lhs, rhs, .. } => lhs.span().to(rhs.span()),
            Self::Negative(_, span)
            | Self::Step(span)
            | Self::Range(span)
            | Self::MinOf(_, _, span)
            | Self::MaxOf(_, _, span)
            | Self::Paren(_, span) => *span,
        }
    }
}
