//! Pseudo-random numbers that are reproducible on every machine.

/// A pseudo-random number generator (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator with this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Uniform from 0 (inclusive) to 1 (exclusive).
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform from 0 to `count` - 1. `count` must not be 0.
    pub fn below(&mut self, count: u32) -> u32 {
        (((self.next() >> 32) * u64::from(count)) >> 32) as u32
    }

    /// Exponentially distributed with mean 1: the time between independent arrivals.
    ///
    /// Von Neumann's method, which needs only comparisons: accepts the first number of a falling run of odd length.
    pub fn exponential(&mut self) -> f64 {
        let mut whole = 0.0;
        loop {
            let first = self.unit();
            let (mut last, mut count) = (first, 1_u32);
            loop {
                let next = self.unit();
                if next >= last {
                    break;
                }
                last = next;
                count += 1;
            }
            if count % 2 == 1 {
                return whole + first;
            }
            whole += 1.0;
        }
    }

    /// From a distribution given by its quantiles at equal distances, in ascending order, with linear interpolation.
    pub fn of_quantiles(&mut self, quantiles: &[f64]) -> f64 {
        let position = self.unit() * (quantiles.len() - 1) as f64;
        let (index, fraction) = (position as usize, position.fract());
        quantiles[index] + (quantiles[index + 1] - quantiles[index]) * fraction
    }
}

/// A hash of a number: SplitMix64's last step.
pub fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(count: u32, mut number: impl FnMut() -> f64) -> f64 {
        (0..count).map(|_| number()).sum::<f64>() / f64::from(count)
    }

    #[test]
    fn exponential_numbers_have_mean_and_variance_of_one() {
        let mut random = Random::new(1);
        let numbers: Vec<f64> = (0..200_000).map(|_| random.exponential()).collect();
        let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
        let variance = numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / numbers.len() as f64;
        assert!((mean - 1.0).abs() < 0.02 && (variance - 1.0).abs() < 0.05, "{mean}, {variance}");
    }

    #[test]
    fn numbers_from_quantiles_have_their_distribution() {
        let mut random = Random::new(1);
        assert!((mean(100_000, || random.of_quantiles(&[0.0, 2.0, 8.0])) - 3.0).abs() < 0.05);
        let below = mean(100_000, || f64::from(u8::from(random.of_quantiles(&[0.0, 2.0, 8.0]) < 2.0)));
        assert!((below - 0.5).abs() < 0.01);
    }

    #[test]
    fn numbers_below_a_bound_are_uniform() {
        let mut random = Random::new(1);
        let mut counts = [0; 7];
        (0..70_000).for_each(|_| counts[random.below(7) as usize] += 1);
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    }
}
