//! Compensated sums (Kahan's, as Neumaier improved it), operation for operation as Prometheus.

/// A running sum and what rounding took from it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Kahan {
    sum: f64,
    compensation: f64,
}

impl Kahan {
    pub fn new(first: f64) -> Self {
        Self { sum: first, compensation: 0.0 }
    }

    pub fn add(&mut self, value: f64) {
        let total = self.sum + value;
        if total.is_infinite() {
            self.compensation = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.compensation += (self.sum - total) + value;
        } else {
            self.compensation += (value - total) + self.sum;
        }
        self.sum = total;
    }

    pub fn total(&self) -> f64 {
        self.sum + self.compensation
    }

    /// The sum so far, and its compensation.
    pub(crate) fn parts(self) -> [f64; 2] {
        [self.sum, self.compensation]
    }

    /// Both parts changed alike.
    pub(crate) fn each(self, change: impl Fn(f64) -> f64) -> Self {
        Self { sum: change(self.sum), compensation: change(self.compensation) }
    }
}

impl FromIterator<f64> for Kahan {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut sum = Self::default();
        for value in values {
            sum.add(value);
        }
        sum
    }
}

/// A running mean: a sum as long as it does not overflow, then corrected step by step.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Mean {
    sum: Kahan,
    n: f64,
    is_incremental: bool,
}

impl Mean {
    pub fn add(&mut self, value: f64) {
        self.n += 1.0;
        if !self.is_incremental {
            let mut next = self.sum;
            next.add(value);
            if self.n == 1.0 || !next.sum.is_infinite() {
                self.sum = next;
                return;
            }
            self.is_incremental = true;
            self.sum.sum /= self.n - 1.0;
            self.sum.compensation /= self.n - 1.0;
        }
        let kept = (self.n - 1.0) / self.n;
        self.sum.sum *= kept;
        self.sum.compensation *= kept;
        self.sum.add(value / self.n);
    }

    pub fn total(&self) -> f64 {
        if self.is_incremental {
            self.sum.total()
        } else {
            self.sum.sum / self.n + self.sum.compensation / self.n
        }
    }
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    let mut mean = Mean::default();
    for value in values {
        mean.add(*value);
    }
    mean.total()
}
