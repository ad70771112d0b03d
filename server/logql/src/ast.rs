//! The tree of a LogQL query.

use std::ops::Range;

pub use skep_promql::Grouping;
use skep_proto::Matcher;

/// Where in the query a node was written, in bytes.
pub type Span = Range<usize>;

#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    Log(LogExpr),
    Metric(MetricExpr),
}

/// A stream selector and what is done to its lines.
#[derive(Debug, Clone, PartialEq)]
pub struct LogExpr {
    pub matchers: Vec<Matcher>,
    pub stages: Vec<Stage>,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    LineFilter(LineFilter),
    Json,
    JsonExprs(Vec<Extraction>),
    Logfmt { flags: LogfmtFlags, exprs: Vec<Extraction> },
    Pattern(String),
    Regexp(String),
    Unpack,
    Decolorize,
    LabelFilter(LabelFilter),
    LineFormat(String),
    LabelFormat(Vec<LabelFormat>),
    Drop(Vec<LabelPick>),
    Keep(Vec<LabelPick>),
}

impl Stage {
    /// What the stage is called in a query and in an error about it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::LineFilter(_) => "line filter",
            Self::Json | Self::JsonExprs(_) => "json",
            Self::Logfmt { .. } => "logfmt",
            Self::Pattern(_) => "pattern",
            Self::Regexp(_) => "regexp",
            Self::Unpack => "unpack",
            Self::Decolorize => "decolorize",
            Self::LabelFilter(_) => "label filter",
            Self::LineFormat(_) => "line_format",
            Self::LabelFormat(_) => "label_format",
            Self::Drop(_) => "drop",
            Self::Keep(_) => "keep",
        }
    }
}

/// `|= "a" or "b"`: a line passes if one alternative is in it; with a negative operator, if none
/// is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFilter {
    pub op: LineOp,
    pub alternatives: Vec<LineNeedle>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LineOp {
    Contains,
    NotContains,
    Regex,
    NotRegex,
    Pattern,
    NotPattern,
}

impl LineOp {
    pub fn is_negative(self) -> bool {
        matches!(self, Self::NotContains | Self::NotRegex | Self::NotPattern)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Contains => "|=",
            Self::NotContains => "!=",
            Self::Regex => "|~",
            Self::NotRegex => "!~",
            Self::Pattern => "|>",
            Self::NotPattern => "!>",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineNeedle {
    pub text: String,
    /// `ip("…")`: an address, a range or a prefix instead of a text.
    pub is_ip: bool,
}

/// `label="expression"`: what to take out of a JSON or logfmt line, and under which name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extraction {
    pub label: String,
    pub path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogfmtFlags {
    pub strict: bool,
    pub keep_empty: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum LabelFilter {
    And(Box<LabelFilter>, Box<LabelFilter>),
    Or(Box<LabelFilter>, Box<LabelFilter>),
    Text(Matcher),
    Number {
        label: String,
        op: CompareOp,
        value: f64,
    },
    /// In nanoseconds.
    Duration {
        label: String,
        op: CompareOp,
        value: i64,
    },
    Bytes {
        label: String,
        op: CompareOp,
        value: u64,
    },
    Ip {
        label: String,
        negative: bool,
        pattern: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompareOp {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl CompareOp {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    pub fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

/// One item of `label_format`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelFormat {
    pub label: String,
    pub value: LabelFormatValue,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelFormatValue {
    Rename(String),
    Template(String),
}

/// One item of `drop` or `keep`: a label by name, or only where its value matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelPick {
    Name(String),
    Matching(Matcher),
}

#[derive(Debug, Clone, PartialEq)]
pub enum MetricExpr {
    Literal(f64),
    Vector(f64),
    Range(RangeAggregation),
    Vectors(Box<VectorAggregation>),
    Binary(Box<Binary>),
    LabelReplace(Box<LabelReplace>),
    Variants(Box<Variants>),
}

/// `variants(count_over_time({…}[5m]), …) of ({…}[5m])`: several metrics of the same lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Variants {
    pub variants: Vec<MetricExpr>,
    /// The lines all variants are of, as they are written behind `of`.
    pub of: LogRange,
}

/// `{…} | stage … [5m] offset 1h`
#[derive(Debug, Clone, PartialEq)]
pub struct LogRange {
    pub log: LogExpr,
    pub unwrap: Option<Unwrap>,
    pub interval_ns: i64,
    pub offset_ns: i64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct RangeAggregation {
    pub op: RangeOp,
    pub quantile: Option<f64>,
    pub log: LogExpr,
    pub unwrap: Option<Unwrap>,
    pub interval_ns: i64,
    pub offset_ns: i64,
    pub grouping: Option<Grouping>,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Unwrap {
    pub label: String,
    pub conversion: Conversion,
    pub filters: Vec<LabelFilter>,
}

/// How the text of an unwrapped label becomes a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Conversion {
    Number,
    /// `duration()` in seconds.
    Duration,
    /// `duration_seconds()`: the same.
    DurationSeconds,
    Bytes,
}

impl Conversion {
    /// The function's name; empty for a plain number.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Number => "",
            Self::Duration => "duration",
            Self::DurationSeconds => "duration_seconds",
            Self::Bytes => "bytes",
        }
    }
}

/// Defines an enum of operators with their names in queries and a table of all.
macro_rules! named_ops {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($variant,)+
        }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

named_ops! {
    /// What happens to the lines, or the unwrapped values, of one window.
    RangeOp {
        Rate = "rate",
        RateCounter = "rate_counter",
        CountOverTime = "count_over_time",
        BytesRate = "bytes_rate",
        BytesOverTime = "bytes_over_time",
        AvgOverTime = "avg_over_time",
        SumOverTime = "sum_over_time",
        MinOverTime = "min_over_time",
        MaxOverTime = "max_over_time",
        StdvarOverTime = "stdvar_over_time",
        StddevOverTime = "stddev_over_time",
        QuantileOverTime = "quantile_over_time",
        FirstOverTime = "first_over_time",
        LastOverTime = "last_over_time",
        AbsentOverTime = "absent_over_time",
    }
}

named_ops! {
    /// What happens to the series of one step.
    VectorOp {
        Sum = "sum",
        Avg = "avg",
        Max = "max",
        Min = "min",
        Stddev = "stddev",
        Stdvar = "stdvar",
        Count = "count",
        Bottomk = "bottomk",
        Topk = "topk",
        ApproxTopk = "approx_topk",
        Sort = "sort",
        SortDesc = "sort_desc",
    }
}

named_ops! {
    BinaryOp {
        Or = "or",
        And = "and",
        Unless = "unless",
        Add = "+",
        Sub = "-",
        Mul = "*",
        Div = "/",
        Mod = "%",
        Pow = "^",
        Equal = "==",
        NotEqual = "!=",
        Greater = ">",
        GreaterOrEqual = ">=",
        Less = "<",
        LessOrEqual = "<=",
    }
}

impl BinaryOp {
    pub fn is_set(self) -> bool {
        matches!(self, Self::Or | Self::And | Self::Unless)
    }

    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal
                | Self::NotEqual
                | Self::Greater
                | Self::GreaterOrEqual
                | Self::Less
                | Self::LessOrEqual
        )
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct VectorAggregation {
    pub op: VectorOp,
    /// `k` of topk, bottomk and approx_topk.
    pub k: Option<usize>,
    pub inner: MetricExpr,
    pub grouping: Option<Grouping>,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    pub op: BinaryOp,
    pub left: MetricExpr,
    pub right: MetricExpr,
    pub return_bool: bool,
    pub matching: Option<Matching>,
}

/// `on (…)` or `ignoring (…)`, and which side may have many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matching {
    pub on: bool,
    pub labels: Vec<String>,
    pub group: Option<Group>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub side: GroupSide,
    pub include: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupSide {
    Left,
    Right,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelReplaceArgs {
    pub dst: String,
    pub replacement: String,
    pub src: String,
    pub regex: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LabelReplace {
    pub inner: MetricExpr,
    pub args: LabelReplaceArgs,
}
