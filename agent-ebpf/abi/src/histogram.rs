//! Classic histograms whose buckets double.

/// How long something took, how often: bucket `i` of `N` counts what took at most `2^(SHIFT + i)`
/// ns, the last one all that took longer.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Histogram<const SHIFT: u32, const N: usize> {
    pub sum_ns: u64,
    /// Not cumulative.
    pub counts: [u64; N],
}

/// What programs wait for: 8.192 µs, 16.384 µs, … 8.59 s.
pub type Latency = Histogram<13, 22>;

/// What the whole host does: 1.024 µs, 2.048 µs, … 4.29 s.
pub type Durations = Histogram<10, 24>;

impl<const SHIFT: u32, const N: usize> Histogram<SHIFT, N> {
    pub const NONE: Self = Self { sum_ns: 0, counts: [0; N] };
}

impl<const SHIFT: u32, const N: usize> Default for Histogram<SHIFT, N> {
    fn default() -> Self {
        Self::NONE
    }
}

#[cfg(feature = "user")]
#[expect(unsafe_code, reason = "aya's marker for plain data is an unsafe trait")]
// SAFETY: `repr(C)` struct of integers without padding: any bytes are a valid value.
unsafe impl<const SHIFT: u32, const N: usize> aya::Pod for Histogram<SHIFT, N> {}
