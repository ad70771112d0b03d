//! Function calls, by the way each runs.

use std::sync::Arc;

use futures::future::FutureExt as _;
use skep_proto::Labels;

use super::{
    Eval, EvalError, Node,
    aggregate::has_floats,
    seconds,
    select::{Look, no_range_vector, promised_labels},
};
use crate::{
    Expr, Grid, Matrix, Row, Window,
    ast::{Call, Extended, Span, ValueType},
    functions::{Run, Special, math},
    matrix::{absent, is_absent},
    native::Histogram,
    vector::marked,
};

impl Eval<'_> {
    pub(super) async fn call(&self, call: &Call, grid: Grid) -> Result<Node, EvalError> {
        match call.function.run {
            Run::Window(make) => {
                Ok(Node::Vector(self.window_call(call, make, grid).boxed().await?))
            }
            Run::Map(f) => {
                let input = self.argument(call, 0, grid).await?;
                Ok(Node::Vector(map(input, |_, value| f(value))))
            }
            Run::MapWith(f) => self.map_with(call, f, grid).boxed().await,
            Run::Date(f) => self.date(call, f, grid).boxed().await,
            Run::Special(special) => self.special(call, special, grid).boxed().await,
            Run::OfHistogram(f) => {
                let input = self.argument(call, 0, grid).await?;
                Ok(Node::Vector(of_histograms(input, f)))
            }
        }
    }

    /// The vector argument at `idx`; nothing where it is missing.
    pub(super) async fn argument(
        &self,
        call: &Call,
        idx: usize,
        grid: Grid,
    ) -> Result<Matrix, EvalError> {
        match call.args.get(idx) {
            Some(expr) => self.vector(expr, grid).await,
            None => Ok(Matrix::empty(grid)),
        }
    }

    pub(super) async fn scalar_argument(
        &self,
        call: &Call,
        idx: usize,
        grid: Grid,
    ) -> Result<Vec<f64>, EvalError> {
        match call.args.get(idx) {
            Some(expr) => self.scalar(expr, grid).await,
            None => Ok(vec![f64::NAN; grid.n_steps()]),
        }
    }

    pub(super) async fn string_argument(
        &self,
        call: &Call,
        idx: usize,
        grid: Grid,
    ) -> Result<String, EvalError> {
        match call.args.get(idx) {
            Some(expr) => self.string(expr, grid).await,
            None => Ok(String::new()),
        }
    }

    async fn scalars(&self, call: &Call, grid: Grid) -> Result<Vec<Vec<f64>>, EvalError> {
        let mut scalars = Vec::new();
        for arg in call.args.iter().filter(|it| it.value_type() == ValueType::Scalar) {
            scalars.push(self.scalar(arg, grid).await?);
        }
        Ok(scalars)
    }

    async fn window_call(
        &self,
        call: &Call,
        make: fn(Vec<Vec<f64>>) -> Window,
        grid: Grid,
    ) -> Result<Matrix, EvalError> {
        let window = make(self.scalars(call, grid).await?);
        self.check_window(call, &window)?;
        let Some(range) = call.args.iter().find(|it| it.value_type() == ValueType::Matrix) else {
            return Ok(Matrix::empty(grid));
        };
        check_extended(call, range, &window)?;
        let span = arg_span(call, 0);
        let mut matrix = self.window(range, window.clone(), span, grid).await?;
        for row in matrix.rows.iter().filter(|it| has_floats(it)) {
            self.annotate_counter(&window, row.labels.metric_name(), span);
        }
        if !matches!(window, Window::LastOverTime | Window::FirstOverTime) {
            matrix.rows = marked(matrix.rows);
        }
        Ok(matrix)
    }

    fn check_window(&self, call: &Call, window: &Window) -> Result<(), EvalError> {
        match window {
            Window::QuantileOverTime { quantile } => {
                if let Some(arg) = call.args.first() {
                    self.check_quantiles(quantile, arg.unwrapped().span());
                }
            }
            Window::DoubleExponentialSmoothing { smoothing, trend } => {
                let is_bad = |it: &&f64| !(**it > 0.0 && **it < 1.0);
                for (name, short, values) in
                    [("smoothing", "sf", smoothing), ("trend", "tf", trend)]
                {
                    if let Some(bad) = values.iter().find(is_bad) {
                        return Err(EvalError::Execution(format!(
                            "invalid {name} factor. Expected: 0 < {short} < 1, got: {bad:.6}"
                        )));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A window function over a range vector, with the metric names of its rows; `span` is where
    /// notes on the samples stand.
    pub(super) async fn window(
        &self,
        range: &Expr,
        window: Window,
        span: Span,
        grid: Grid,
    ) -> Result<Matrix, EvalError> {
        let modifiers = match range.unwrapped() {
            Expr::Matrix(it) => &it.selector.modifiers,
            Expr::Subquery(it) => &it.modifiers,
            other => return Err(no_range_vector(other)),
        };
        let lens = self.lens(modifiers, grid)?;
        if lens.is_fixed && grid.n_steps() > 1 && !is_constant(&window) {
            return self.window_by_steps(range, &window, span, grid).await;
        }
        let window = match window {
            Window::PredictLinear { ahead_seconds } => {
                Window::PredictLinear { ahead_seconds: ahead_of(&lens.grid, &grid, ahead_seconds) }
            }
            other => other,
        };
        match range.unwrapped() {
            Expr::Matrix(it) => {
                let look = Look::new(&it.selector, window, span);
                self.range_leaf(look, &it.range, grid).await
            }
            Expr::Subquery(it) => self.subquery_window(it, &window, span, grid).await,
            _ => Ok(Matrix::empty(grid)),
        }
    }

    /// One look a step: `@` holds the window still while a parameter moves.
    async fn window_by_steps(
        &self,
        range: &Expr,
        window: &Window,
        span: Span,
        grid: Grid,
    ) -> Result<Matrix, EvalError> {
        let mut rows = std::collections::HashMap::<Arc<Labels>, Row>::new();
        for (step_idx, at) in grid.steps().enumerate() {
            let (window, grid_of_step) = (of_step(window, step_idx), Grid::instant(at));
            let look = Box::pin(self.window(range, window, span, grid_of_step));
            for row in look.await?.rows {
                let held = rows.entry(Arc::clone(&row.labels)).or_insert_with(|| {
                    let values = vec![absent(); grid.n_steps()];
                    Row { drops_name: row.drops_name, ..Row::floats(row.labels, values) }
                });
                // Windows with parameters give floats only.
                if let (Some(slot), Some(value)) =
                    (held.values.get_mut(step_idx), row.values.first())
                {
                    *slot = *value;
                }
            }
        }
        let mut rows: Vec<Row> = rows.into_values().collect();
        rows.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        Ok(Matrix { grid, rows })
    }

    async fn map_with(
        &self,
        call: &Call,
        f: fn(f64, &[f64]) -> f64,
        grid: Grid,
    ) -> Result<Node, EvalError> {
        let input = self.argument(call, 0, grid).await?;
        let scalars = self.scalars(call, grid).await?;
        let mut by_step: Vec<Vec<f64>> = Vec::with_capacity(grid.n_steps());
        for step_idx in 0..grid.n_steps() {
            by_step.push(scalars.iter().filter_map(|it| it.get(step_idx)).copied().collect());
        }
        let mut matrix =
            map(input, |step_idx, value| by_step.get(step_idx).map_or(f64::NAN, |it| f(value, it)));
        if call.function.name == "clamp" {
            // Bounds that cross leave nothing.
            for row in &mut matrix.rows {
                for (value, step) in row.values.iter_mut().zip(&by_step) {
                    if matches!(step.as_slice(), [low, high] if low > high) {
                        *value = absent();
                    }
                }
            }
            matrix.rows.retain(Row::has_values);
        }
        Ok(Node::Vector(matrix))
    }

    async fn date(&self, call: &Call, f: fn(i64) -> i64, grid: Grid) -> Result<Node, EvalError> {
        let input = if call.args.is_empty() {
            constant(grid, grid.steps().map(seconds).collect())
        } else {
            self.argument(call, 0, grid).await?
        };
        #[expect(clippy::cast_possible_truncation, reason = "saturates at the far ends")]
        #[expect(clippy::cast_precision_loss, reason = "parts of a date are small")]
        let matrix = map(input, |_, value| {
            // Beyond this, a year no longer fits; Go's result is arbitrary there.
            if value.is_finite() && value.abs() < 1e15 { f(value as i64) as f64 } else { f64::NAN }
        });
        Ok(Node::Vector(matrix))
    }

    async fn special(&self, call: &Call, special: Special, grid: Grid) -> Result<Node, EvalError> {
        let repeat = |value: f64| Ok(Node::Scalar(vec![value; grid.n_steps()]));
        match special {
            Special::Pi => repeat(std::f64::consts::PI),
            Special::Start => repeat(seconds(self.outer.start())),
            Special::End => repeat(seconds(self.outer.end())),
            Special::Step => repeat(self.step_seconds()),
            Special::Range => repeat(self.range_seconds()),
            Special::Time => Ok(Node::Scalar(grid.steps().map(seconds).collect())),
            Special::MinOf | Special::MaxOf => {
                let lhs = self.scalar_argument(call, 0, grid).await?;
                let rhs = self.scalar_argument(call, 1, grid).await?;
                let of = if special == Special::MinOf { math::min_of } else { math::max_of };
                Ok(Node::Scalar(lhs.into_iter().zip(rhs).map(|(a, b)| of(a, b)).collect()))
            }
            Special::Scalar => {
                let input = self.argument(call, 0, grid).await?;
                Ok(Node::Scalar(only_value(&input)))
            }
            Special::Vector => {
                Ok(Node::Vector(constant(grid, self.scalar_argument(call, 0, grid).await?)))
            }
            Special::Timestamp => Ok(Node::Vector(self.timestamp(call, grid).await?)),
            Special::Absent | Special::AbsentOverTime => {
                Ok(Node::Vector(self.absent(call, special, grid).await?))
            }
            Special::Sort | Special::SortDesc | Special::SortByLabel | Special::SortByLabelDesc => {
                Ok(Node::Vector(self.sort(call, special, grid).await?))
            }
            Special::LabelReplace => Ok(Node::Vector(self.label_replace(call, grid).await?)),
            Special::LabelJoin => Ok(Node::Vector(self.label_join(call, grid).await?)),
            Special::HistogramQuantile => {
                Ok(Node::Vector(self.histogram_quantile(call, grid).await?))
            }
            Special::HistogramQuantiles => {
                Ok(Node::Vector(self.histogram_quantiles(call, grid).await?))
            }
            Special::HistogramFraction => {
                Ok(Node::Vector(self.histogram_fraction(call, grid).await?))
            }
            Special::Info => Ok(Node::Vector(self.info(call, grid).await?)),
            Special::StartTimestamp => {
                // Samples are stored without start times, for which Prometheus gives nothing.
                self.argument(call, 0, grid).await?;
                Ok(Node::Vector(Matrix::empty(grid)))
            }
        }
    }

    async fn timestamp(&self, call: &Call, grid: Grid) -> Result<Matrix, EvalError> {
        let Some(arg) = call.args.first() else {
            return Ok(Matrix::empty(grid));
        };
        let mut matrix = match arg.unwrapped() {
            Expr::Vector(it) => {
                let look = Look::new(it, Window::LastTimestamp, it.span);
                self.instant_leaf(look, grid).await?
            }
            _ => {
                let mut input = self.vector(arg, grid).await?;
                for row in &mut input.rows {
                    present_as(row, |step_idx| seconds(grid.at(step_idx)));
                }
                input
            }
        };
        matrix.rows = marked(matrix.rows);
        Ok(matrix)
    }

    async fn absent(&self, call: &Call, special: Special, grid: Grid) -> Result<Matrix, EvalError> {
        let Some(arg) = call.args.first() else {
            return Ok(Matrix::empty(grid));
        };
        let input = match special {
            Special::AbsentOverTime => {
                check_extended(call, arg, &Window::PresentOverTime)?;
                self.window(arg, Window::PresentOverTime, arg_span(call, 0), grid).await?
            }
            _ => self.vector(arg, grid).await?,
        };
        let mut values = vec![1.0; grid.n_steps()];
        for row in &input.rows {
            for (step_idx, slot) in values.iter_mut().enumerate() {
                if row.is_present(step_idx) {
                    *slot = absent();
                }
            }
        }
        if values.iter().all(|it| is_absent(*it)) {
            return Ok(Matrix::empty(grid));
        }
        let row = Row::floats(Arc::new(promised_labels(arg)), values);
        Ok(Matrix { grid, rows: vec![row] })
    }
}

/// Where Prometheus has an argument stand: within parentheses, and a subquery, which it replaces by
/// its result, at the beginning of the query.
pub(super) fn arg_span(call: &Call, idx: usize) -> Span {
    match call.args.get(idx).map(Expr::unwrapped) {
        Some(Expr::Subquery(_)) => Span::default(),
        Some(it) => it.span(),
        None => call.span,
    }
}

/// Modifiers of a range that the function cannot have.
fn check_extended(call: &Call, range: &Expr, window: &Window) -> Result<(), EvalError> {
    let Expr::Matrix(it) = range.unwrapped() else {
        return Ok(());
    };
    let Some(extended) = it.selector.modifiers.extended else {
        return Ok(());
    };
    let Some(fit) = window.unfit_for(extended) else {
        return Ok(());
    };
    let modifier = if extended == Extended::Anchored { "anchored" } else { "smoothed" };
    Err(EvalError::Execution(format!(
        "{modifier} modifier can only be used with: {fit} - not with {}",
        call.function.name
    )))
}

/// Something else wherever a row has a value.
fn present_as(row: &mut Row, value: impl Fn(usize) -> f64) {
    for step_idx in 0..row.values.len() {
        if row.is_present(step_idx)
            && let Some(slot) = row.values.get_mut(step_idx)
        {
            *slot = value(step_idx);
        }
    }
    row.histograms = None;
}

/// A number of each histogram, names dropped; floats are left out.
fn of_histograms(mut input: Matrix, f: fn(&Histogram) -> f64) -> Matrix {
    for row in &mut input.rows {
        let histograms = row.histograms.take().unwrap_or_default();
        row.values = vec![absent(); row.values.len()];
        for (slot, histogram) in row.values.iter_mut().zip(histograms) {
            if let Some(it) = histogram {
                *slot = f(&Histogram::from(&*it));
            }
        }
    }
    input.rows.retain(Row::has_values);
    input.rows = marked(input.rows);
    input
}

/// The floats of a vector.
pub(super) fn without_histograms(mut input: Matrix) -> Matrix {
    if input.has_histograms() {
        for row in &mut input.rows {
            row.histograms = None;
        }
        input.rows.retain(Row::has_values);
    }
    input
}

/// Every float through `f`, metric names dropped; histograms are left out.
fn map(input: Matrix, f: impl Fn(usize, f64) -> f64) -> Matrix {
    let mut input = without_histograms(input);
    for row in &mut input.rows {
        for (step_idx, value) in row.values.iter_mut().enumerate() {
            if !is_absent(*value) {
                *value = f(step_idx, *value);
            }
        }
    }
    input.rows = marked(input.rows);
    input
}

/// One row without labels.
fn constant(grid: Grid, values: Vec<f64>) -> Matrix {
    Matrix { grid, rows: vec![Row::floats(Arc::new(Labels::default()), values)] }
}

/// The value of the only row at each step, else NaN.
fn only_value(input: &Matrix) -> Vec<f64> {
    (0..input.grid.n_steps())
        .map(|step_idx| {
            let mut present = input
                .rows
                .iter()
                .filter_map(|it| it.values.get(step_idx))
                .filter(|it| !is_absent(**it));
            match (present.next(), present.next()) {
                (Some(value), None) => *value,
                _ => f64::NAN,
            }
        })
        .collect()
}

/// Whether one look gives the values of every step.
fn is_constant(window: &Window) -> bool {
    let is_flat = |it: &Vec<f64>| it.array_windows::<2>().all(|[a, b]| a.to_bits() == b.to_bits());
    match window {
        // Counts from the step, which moves even where `@` holds the window still.
        Window::PredictLinear { .. } => false,
        Window::QuantileOverTime { quantile } => is_flat(quantile),
        Window::DoubleExponentialSmoothing { smoothing, trend } => {
            is_flat(smoothing) && is_flat(trend)
        }
        _ => true,
    }
}

fn of_step(window: &Window, step_idx: usize) -> Window {
    let of = |it: &Vec<f64>| vec![crate::window::at_step(it, step_idx)];
    match window {
        Window::PredictLinear { ahead_seconds } => {
            Window::PredictLinear { ahead_seconds: of(ahead_seconds) }
        }
        Window::QuantileOverTime { quantile } => {
            Window::QuantileOverTime { quantile: of(quantile) }
        }
        Window::DoubleExponentialSmoothing { smoothing, trend } => {
            Window::DoubleExponentialSmoothing { smoothing: of(smoothing), trend: of(trend) }
        }
        other => other.clone(),
    }
}

/// `predict_linear` counts from the step, not from where offset and `@` let it look.
fn ahead_of(looked: &Grid, grid: &Grid, ahead_seconds: Vec<f64>) -> Vec<f64> {
    let ahead_ms = skep_proto::TimestampMs(grid.start().0.saturating_sub(looked.start().0));
    ahead_seconds.into_iter().map(|it| it + seconds(ahead_ms)).collect()
}
