//! Quantities with their units in the type.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

/// A number of octets, as RADIUS counts traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Octets(pub u64);

impl Octets {
    /// A 64-bit counter from the 32-bit attribute and its Gigawords (RFC 2869 5.1, 5.2).
    #[must_use]
    pub const fn from_gigawords(gigawords: u32, octets: u32) -> Self {
        Self(((gigawords as u64) << 32) | octets as u64)
    }

    /// The difference, or zero where `earlier` is larger.
    #[must_use]
    pub const fn saturating_sub(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Octets {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Octets {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Octets {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.saturating_sub(other)
    }
}

impl Sum for Octets {
    fn sum<I: Iterator<Item = Self>>(octets: I) -> Self {
        octets.fold(Self(0), Add::add)
    }
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A data rate in bit/s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BitsPerSecond(pub u64);

impl BitsPerSecond {
    /// The average rate of `octets` over `seconds`; `None` where no time passed.
    #[must_use]
    pub fn average(octets: Octets, seconds: u64) -> Option<Self> {
        let bits = u128::from(octets.0) * 8;
        bits.checked_div(u128::from(seconds)).map(|rate| Self(u64::try_from(rate).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gigawords_extend_the_counter() {
        assert_eq!(Octets::from_gigawords(1, 205_032_704), Octets(4_500_000_000));
    }

    #[test]
    fn rate_over_no_time_is_unknown() {
        assert_eq!(BitsPerSecond::average(Octets(10), 0), None);
        assert_eq!(BitsPerSecond::average(Octets(75_000_000), 300), Some(BitsPerSecond(2_000_000)));
    }
}
