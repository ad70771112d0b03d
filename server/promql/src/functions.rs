//! The function table: what each takes, gives and does. A function is one entry here and its loop in
//! a family file.

pub(crate) mod date;
pub(crate) mod histogram;
pub(crate) mod math;
mod window_param;

use crate::{
    ast::ValueType,
    leaf::Window,
    native::{Histogram, variance},
};

/// One function of the language.
#[derive(Debug)]
pub struct Function {
    pub name: &'static str,
    /// The declared arguments; with `variadic`, the last may be missing or repeated.
    pub args: &'static [ValueType],
    /// How many arguments the last declared one stands for: 0 exactly one, n up to n, -1 any.
    pub variadic: i8,
    pub returns: ValueType,
    pub experimental: bool,
    pub doc: &'static str,
    pub(crate) run: Run,
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

const MATRIX: ValueType = ValueType::Matrix;
const VECTOR: ValueType = ValueType::Vector;
const SCALAR: ValueType = ValueType::Scalar;
const STRING: ValueType = ValueType::String;

impl Function {
    const fn new(
        name: &'static str,
        args: &'static [ValueType],
        returns: ValueType,
        run: Run,
        doc: &'static str,
    ) -> Self {
        Self { name, args, variadic: 0, returns, experimental: false, doc, run }
    }

    const fn variadic(self, variadic: i8) -> Self {
        Self { variadic, ..self }
    }

    const fn experimental(self) -> Self {
        Self { experimental: true, ..self }
    }
}

/// How a function is evaluated.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Run {
    /// A window function over a range vector, from its scalar arguments.
    Window(fn(Vec<Vec<f64>>) -> Window),
    /// Value by value.
    Map(fn(f64) -> f64),
    /// Value by value, with the scalar arguments of the step.
    MapWith(fn(f64, &[f64]) -> f64),
    /// Value by value, each a time in seconds; the time of the step where no vector is given.
    Date(fn(i64) -> i64),
    Special(Special),
    /// A number of each native histogram; floats are left out.
    OfHistogram(fn(&Histogram) -> f64),
}

/// Functions with an evaluation of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Special {
    Absent,
    AbsentOverTime,
    Start,
    End,
    Step,
    Range,
    MinOf,
    MaxOf,
    Pi,
    Time,
    Scalar,
    Vector,
    Timestamp,
    Sort,
    SortDesc,
    SortByLabel,
    SortByLabelDesc,
    LabelReplace,
    LabelJoin,
    HistogramQuantile,
    HistogramQuantiles,
    HistogramFraction,
    Info,
    StartTimestamp,
}

/// The function of that name.
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|it| it.name.cmp(name)).ok().and_then(|idx| FUNCTIONS.get(idx))
}

/// Every function, by name.
#[rustfmt::skip]
pub static FUNCTIONS: &[Function] = &[
    Function::new("abs", &[VECTOR], VECTOR, Run::Map(f64::abs), "absolute value"),
    Function::new("absent", &[VECTOR], VECTOR, Run::Special(Special::Absent), "1 where the vector has nothing"),
    Function::new("absent_over_time", &[MATRIX], VECTOR, Run::Special(Special::AbsentOverTime), "1 where the range has no sample"),
    Function::new("acos", &[VECTOR], VECTOR, Run::Map(f64::acos), "arc cosine"),
    Function::new("acosh", &[VECTOR], VECTOR, Run::Map(math::acosh), "inverse hyperbolic cosine"),
    Function::new("asin", &[VECTOR], VECTOR, Run::Map(f64::asin), "arc sine"),
    Function::new("asinh", &[VECTOR], VECTOR, Run::Map(f64::asinh), "inverse hyperbolic sine"),
    Function::new("atan", &[VECTOR], VECTOR, Run::Map(f64::atan), "arc tangent"),
    Function::new("atanh", &[VECTOR], VECTOR, Run::Map(f64::atanh), "inverse hyperbolic tangent"),
    Function::new("avg_over_time", &[MATRIX], VECTOR, Run::Window(|_| Window::AvgOverTime), "mean of the range"),
    Function::new("ceil", &[VECTOR], VECTOR, Run::Map(f64::ceil), "next integer up"),
    Function::new("changes", &[MATRIX], VECTOR, Run::Window(|_| Window::Changes), "how often the value changed"),
    Function::new("clamp", &[VECTOR, SCALAR, SCALAR], VECTOR, Run::MapWith(math::clamp), "bounds values from below and above"),
    Function::new("clamp_max", &[VECTOR, SCALAR], VECTOR, Run::MapWith(math::clamp_max), "bounds values from above"),
    Function::new("clamp_min", &[VECTOR, SCALAR], VECTOR, Run::MapWith(math::clamp_min), "bounds values from below"),
    Function::new("cos", &[VECTOR], VECTOR, Run::Map(f64::cos), "cosine"),
    Function::new("cosh", &[VECTOR], VECTOR, Run::Map(f64::cosh), "hyperbolic cosine"),
    Function::new("count_over_time", &[MATRIX], VECTOR, Run::Window(|_| Window::CountOverTime), "number of samples"),
    Function::new("day_of_month", &[VECTOR], VECTOR, Run::Date(date::day_of_month), "day of the month, from 1").variadic(1),
    Function::new("day_of_week", &[VECTOR], VECTOR, Run::Date(date::day_of_week), "day of the week, Sunday is 0").variadic(1),
    Function::new("day_of_year", &[VECTOR], VECTOR, Run::Date(date::day_of_year), "day of the year, from 1").variadic(1),
    Function::new("days_in_month", &[VECTOR], VECTOR, Run::Date(date::days_in_month), "number of days of the month").variadic(1),
    Function::new("deg", &[VECTOR], VECTOR, Run::Map(math::degrees), "radians to degrees"),
    Function::new("delta", &[MATRIX], VECTOR, Run::Window(|_| Window::Delta), "difference over the range, extrapolated"),
    Function::new("deriv", &[MATRIX], VECTOR, Run::Window(|_| Window::Deriv), "slope per second by least squares"),
    Function::new("double_exponential_smoothing", &[MATRIX, SCALAR, SCALAR], VECTOR, Run::Window(window_param::smoothing), "smoothed value with trend").experimental(),
    Function::new("end", &[], SCALAR, Run::Special(Special::End), "last time of the query").experimental(),
    Function::new("exp", &[VECTOR], VECTOR, Run::Map(f64::exp), "e to the power"),
    Function::new("first_over_time", &[MATRIX], VECTOR, Run::Window(|_| Window::FirstOverTime), "oldest sample"),
    Function::new("floor", &[VECTOR], VECTOR, Run::Map(f64::floor), "next integer down"),
    Function::new("histogram_avg", &[VECTOR], VECTOR, Run::OfHistogram(|it| it.sum / it.count), "mean of native histograms"),
    Function::new("histogram_count", &[VECTOR], VECTOR, Run::OfHistogram(|it| it.count), "observations of native histograms"),
    Function::new("histogram_fraction", &[SCALAR, SCALAR, VECTOR], VECTOR, Run::Special(Special::HistogramFraction), "share of observations between two bounds"),
    Function::new("histogram_quantile", &[SCALAR, VECTOR], VECTOR, Run::Special(Special::HistogramQuantile), "quantile of histogram buckets"),
    Function::new("histogram_quantiles", &[VECTOR, STRING, SCALAR, SCALAR], VECTOR, Run::Special(Special::HistogramQuantiles), "several quantiles of histogram buckets").variadic(9).experimental(),
    Function::new("histogram_stddev", &[VECTOR], VECTOR, Run::OfHistogram(|it| variance(it).sqrt()), "standard deviation of native histograms"),
    Function::new("histogram_stdvar", &[VECTOR], VECTOR, Run::OfHistogram(variance), "variance of native histograms"),
    Function::new("histogram_sum", &[VECTOR], VECTOR, Run::OfHistogram(|it| it.sum), "sum of native histograms"),
    Function::new("hour", &[VECTOR], VECTOR, Run::Date(date::hour), "hour of the day").variadic(1),
    Function::new("idelta", &[MATRIX], VECTOR, Run::Window(|_| Window::Idelta), "difference of the last two samples"),
    Function::new("increase", &[MATRIX], VECTOR, Run::Window(|_| Window::Increase), "growth of a counter over the range, extrapolated"),
    Function::new("info", &[VECTOR, VECTOR], VECTOR, Run::Special(Special::Info), "adds labels of info metrics").variadic(1).experimental(),
    Function::new("irate", &[MATRIX], VECTOR, Run::Window(|_| Window::Irate), "growth of a counter per second by the last two samples"),
    Function::new("label_join", &[VECTOR, STRING, STRING, STRING], VECTOR, Run::Special(Special::LabelJoin), "joins labels to a new one").variadic(-1),
    Function::new("label_replace", &[VECTOR, STRING, STRING, STRING, STRING], VECTOR, Run::Special(Special::LabelReplace), "sets a label by a pattern on another"),
    Function::new("last_over_time", &[MATRIX], VECTOR, Run::Window(|_| Window::LastOverTime), "newest sample"),
    Function::new("ln", &[VECTOR], VECTOR, Run::Map(f64::ln), "natural logarithm"),
    Function::new("log10", &[VECTOR], VECTOR, Run::Map(f64::log10), "decimal logarithm"),
    Function::new("log2", &[VECTOR], VECTOR, Run::Map(f64::log2), "binary logarithm"),
    Function::new("mad_over_time", &[MATRIX], VECTOR, Run::Window(|_| Window::MadOverTime), "median absolute deviation").experimental(),
    Function::new("max_of", &[SCALAR, SCALAR], SCALAR, Run::Special(Special::MaxOf), "larger of two scalars").experimental(),
    Function::new("max_over_time", &[MATRIX], VECTOR, Run::Window(|_| Window::MaxOverTime), "largest sample"),
    Function::new("min_of", &[SCALAR, SCALAR], SCALAR, Run::Special(Special::MinOf), "smaller of two scalars").experimental(),
    Function::new("min_over_time", &[MATRIX], VECTOR, Run::Window(|_| Window::MinOverTime), "smallest sample"),
    Function::new("minute", &[VECTOR], VECTOR, Run::Date(date::minute), "minute of the hour").variadic(1),
    Function::new("month", &[VECTOR], VECTOR, Run::Date(date::month), "month of the year, from 1").variadic(1),
    Function::new("pi", &[], SCALAR, Run::Special(Special::Pi), "the number pi"),
    Function::new("predict_linear", &[MATRIX, SCALAR], VECTOR, Run::Window(window_param::predict_linear), "value some seconds ahead by least squares"),
    Function::new("present_over_time", &[MATRIX], VECTOR, Run::Window(|_| Window::PresentOverTime), "1 where the range has a sample"),
    Function::new("quantile_over_time", &[SCALAR, MATRIX], VECTOR, Run::Window(window_param::quantile), "quantile of the samples"),
    Function::new("rad", &[VECTOR], VECTOR, Run::Map(math::radians), "degrees to radians"),
    Function::new("range", &[], SCALAR, Run::Special(Special::Range), "length of the query in seconds").experimental(),
    Function::new("rate", &[MATRIX], VECTOR, Run::Window(|_| Window::Rate), "growth of a counter per second, extrapolated"),
    Function::new("resets", &[MATRIX], VECTOR, Run::Window(|_| Window::Resets), "how often a counter fell"),
    Function::new("round", &[VECTOR, SCALAR], VECTOR, Run::MapWith(math::round), "nearest multiple of the second argument, or integer").variadic(1),
    Function::new("scalar", &[VECTOR], SCALAR, Run::Special(Special::Scalar), "the value of the only element"),
    Function::new("sgn", &[VECTOR], VECTOR, Run::Map(math::sign), "-1, 0 or 1"),
    Function::new("sin", &[VECTOR], VECTOR, Run::Map(f64::sin), "sine"),
    Function::new("sinh", &[VECTOR], VECTOR, Run::Map(f64::sinh), "hyperbolic sine"),
    Function::new("sort", &[VECTOR], VECTOR, Run::Special(Special::Sort), "by value, rising (instant queries)"),
    Function::new("sort_by_label", &[VECTOR, STRING], VECTOR, Run::Special(Special::SortByLabel), "by labels, rising (instant queries)").variadic(-1).experimental(),
    Function::new("sort_by_label_desc", &[VECTOR, STRING], VECTOR, Run::Special(Special::SortByLabelDesc), "by labels, falling (instant queries)").variadic(-1).experimental(),
    Function::new("sort_desc", &[VECTOR], VECTOR, Run::Special(Special::SortDesc), "by value, falling (instant queries)"),
    Function::new("sqrt", &[VECTOR], VECTOR, Run::Map(f64::sqrt), "square root"),
    Function::new("start", &[], SCALAR, Run::Special(Special::Start), "first time of the query").experimental(),
    Function::new("start_timestamp", &[VECTOR], VECTOR, Run::Special(Special::StartTimestamp), "start time of each sample").experimental(),
    Function::new("stddev_over_time", &[MATRIX], VECTOR, Run::Window(|_| Window::StddevOverTime), "standard deviation"),
    Function::new("stdvar_over_time", &[MATRIX], VECTOR, Run::Window(|_| Window::StdvarOverTime), "variance"),
    Function::new("step", &[], SCALAR, Run::Special(Special::Step), "step of the query in seconds").experimental(),
    Function::new("sum_over_time", &[MATRIX], VECTOR, Run::Window(|_| Window::SumOverTime), "sum of the samples"),
    Function::new("tan", &[VECTOR], VECTOR, Run::Map(f64::tan), "tangent"),
    Function::new("tanh", &[VECTOR], VECTOR, Run::Map(f64::tanh), "hyperbolic tangent"),
    Function::new("time", &[], SCALAR, Run::Special(Special::Time), "time of the step in seconds"),
    Function::new("timestamp", &[VECTOR], VECTOR, Run::Special(Special::Timestamp), "time of each sample"),
    Function::new("ts_of_first_over_time", &[MATRIX], VECTOR, Run::Window(|_| Window::TsOfFirstOverTime), "time of the oldest sample").experimental(),
    Function::new("ts_of_last_over_time", &[MATRIX], VECTOR, Run::Window(|_| Window::TsOfLastOverTime), "time of the newest sample").experimental(),
    Function::new("ts_of_max_over_time", &[MATRIX], VECTOR, Run::Window(|_| Window::TsOfMaxOverTime), "time of the largest sample").experimental(),
    Function::new("ts_of_min_over_time", &[MATRIX], VECTOR, Run::Window(|_| Window::TsOfMinOverTime), "time of the smallest sample").experimental(),
    Function::new("vector", &[SCALAR], VECTOR, Run::Special(Special::Vector), "a scalar as a vector without labels"),
    Function::new("year", &[VECTOR], VECTOR, Run::Date(date::year), "year").variadic(1),
];

#[cfg(test)]
mod tests {
    use super::FUNCTIONS;

    #[test]
    fn the_table_is_sorted_so_that_names_are_found() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
    }
}
