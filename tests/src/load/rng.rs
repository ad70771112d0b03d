//! Randomness from a seed: the same on every machine, whatever a crate's next version does.

/// splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03);
        rng.next();
        rng.next();
        rng
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to 1, without 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Below `n`, all alike.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((self.next() >> 32) * n) >> 32
    }

    /// Below `n`, small ones much more often.
    #[expect(clippy::cast_precision_loss, reason = "only small numbers are asked for")]
    pub(crate) fn skewed(&mut self, n: u64) -> u64 {
        let x = self.unit();
        floor(x * x * x * n as f64)
    }

    /// Close to a standard normal distribution.
    pub(crate) fn normal(&mut self) -> f64 {
        (self.unit() + self.unit() + self.unit() - 1.5) * 2.0
    }

    /// Log-normal with this median, close enough.
    pub(crate) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (self.normal() * sigma).exp()
    }

    /// One of `all`, each as often.
    pub(crate) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        let at = self.below(all.len() as u64);
        at_index(all, at)
    }

    /// One of `all`, the first ones much more often.
    pub(crate) fn pick_skewed<T: Copy>(&mut self, all: &[T]) -> T {
        let at = self.skewed(all.len() as u64);
        at_index(all, at)
    }
}

/// The whole part of a number that is not negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is cut off is what floor means"
)]
pub(crate) fn floor(value: f64) -> u64 {
    value as u64
}

fn at_index<T: Copy>(all: &[T], at: u64) -> T {
    let at = usize::try_from(at).unwrap_or(0);
    all.get(at).or(all.first()).copied().expect("the tables of a load are not empty")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_for_ever() {
        let mut rng = Rng::new(1);
        let numbers = [rng.next(), rng.below(1_000), rng.skewed(1_000), rng.next()];
        assert_eq!(numbers, [8_672_369_133_767_061_117, 928, 2, 13_908_387_280_861_866_555]);
    }
}
