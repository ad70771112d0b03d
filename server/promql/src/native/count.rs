//! What histograms count in: plain floats, or floats with what rounding took from them.

use crate::kahan::Kahan;

/// A count that others are added to.
pub(crate) trait Count: Copy {
    fn new(value: f64) -> Self;
    fn add(&mut self, value: f64);
    /// Adds what another has counted.
    fn merge(&mut self, other: Self);
    fn scale(&mut self, factor: f64);
    fn divide(&mut self, by: f64);
    fn total(self) -> f64;
    fn is_infinite(self) -> bool;
}

impl Count for f64 {
    fn new(value: f64) -> Self {
        value
    }

    fn add(&mut self, value: f64) {
        *self += value;
    }

    fn merge(&mut self, other: Self) {
        *self += other;
    }

    fn scale(&mut self, factor: f64) {
        *self *= factor;
    }

    fn divide(&mut self, by: f64) {
        *self /= by;
    }

    fn total(self) -> f64 {
        self
    }

    fn is_infinite(self) -> bool {
        self.is_infinite()
    }
}

impl Count for Kahan {
    fn new(value: f64) -> Self {
        Self::new(value)
    }

    fn add(&mut self, value: f64) {
        self.add(value);
    }

    fn merge(&mut self, other: Self) {
        for part in other.parts() {
            self.add(part);
        }
    }

    fn scale(&mut self, factor: f64) {
        *self = self.each(|it| it * factor);
    }

    fn divide(&mut self, by: f64) {
        *self = self.each(|it| it / by);
    }

    fn total(self) -> f64 {
        Self::total(&self)
    }

    fn is_infinite(self) -> bool {
        let [sum, _] = self.parts();
        sum.is_infinite()
    }
}
