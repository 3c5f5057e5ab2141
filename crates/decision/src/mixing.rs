//! Numbers that look as if drawn by lot, and are the same for ever (SplitMix64; Steele, Lea and Flood, "Fast splittable
//! pseudorandom number generators", 2014). Not for secrets.

/// Spreads a number over all bits: no two numbers become the same.
#[must_use]
pub fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

/// The number at a place, counted from 1, of the sequence of a seed.
#[must_use]
pub fn drawn(seed: u64, place: u64) -> u64 {
    mix(seed.wrapping_add(place.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_reference() {
        // From Java's SplittableRandom(1234567) and Vigna's splitmix64.c.
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([1, 2, 3].map(|place| drawn(1_234_567, place)), expected);
    }
}
