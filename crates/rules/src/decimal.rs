//! `java.math.BigDecimal`: an unscaled integer and a scale, with Java's rounding and text form.

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};
use num_integer::Integer;
use num_traits::{One, Signed, ToPrimitive, Zero};

/// `unscaled * 10^-scale`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    pub(crate) unscaled: BigInt,
    pub(crate) scale: i32,
}

/// `java.math.RoundingMode`, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    Up,
    Down,
    Ceiling,
    Floor,
    HalfUp,
    HalfDown,
    HalfEven,
    Unnecessary,
}

pub(crate) const ROUNDINGS: [(&str, Rounding); 8] = [
    ("UP", Rounding::Up),
    ("DOWN", Rounding::Down),
    ("CEILING", Rounding::Ceiling),
    ("FLOOR", Rounding::Floor),
    ("HALF_UP", Rounding::HalfUp),
    ("HALF_DOWN", Rounding::HalfDown),
    ("HALF_EVEN", Rounding::HalfEven),
    ("UNNECESSARY", Rounding::Unnecessary),
];

/// Digits beyond which a number is refused: arithmetic on it could stall a session.
const MAXIMUM_DIGITS: i32 = 10_000;

fn ten_to(exponent: u32) -> BigInt {
    BigInt::from(10).pow(exponent)
}

/// `numerator / denominator`, rounded; `None` when rounding was declared unnecessary and is not.
fn divide_rounded(numerator: &BigInt, denominator: &BigInt, rounding: Rounding) -> Option<BigInt> {
    let (quotient, remainder) = numerator.div_rem(denominator);
    if remainder.is_zero() {
        return Some(quotient);
    }
    let negative = (numerator.sign() == Sign::Minus) != (denominator.sign() == Sign::Minus);
    let half = (remainder.abs() * 2u8).cmp(&denominator.abs());
    let away = match rounding {
        Rounding::Up => true,
        Rounding::Down => false,
        Rounding::Ceiling => !negative,
        Rounding::Floor => negative,
        Rounding::HalfUp => half != Ordering::Less,
        Rounding::HalfDown => half == Ordering::Greater,
        Rounding::HalfEven => half == Ordering::Greater || half == Ordering::Equal && quotient.is_odd(),
        Rounding::Unnecessary => return None,
    };
    let step = if negative { -BigInt::one() } else { BigInt::one() };
    Some(if away { quotient + step } else { quotient })
}

impl Decimal {
    /// `new BigDecimal(text)`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let bare = digits.strip_prefix(['+', '-']).unwrap_or(&digits);
        if bare.is_empty() || !bare.bytes().all(|b| b.is_ascii_digit()) || fraction.starts_with(['+', '-']) {
            return None;
        }
        let scale = (fraction.len() as i32).checked_sub(exponent)?;
        if bare.len() as i32 > MAXIMUM_DIGITS || scale.abs() > MAXIMUM_DIGITS {
            return None;
        }
        Some(Self { unscaled: digits.trim_start_matches('+').parse().ok()?, scale })
    }

    /// `BigDecimal.valueOf(double)`: through the double's shortest text.
    pub(crate) fn from_double(value: f64) -> Option<Self> {
        let mut text = Vec::new();
        crate::text::push_double(&mut text, value);
        Self::parse(std::str::from_utf8(&text).ok()?)
    }

    /// `new BigDecimal(double)`: the double's exact value.
    pub(crate) fn from_double_exact(value: f64) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        if value == 0.0 {
            return Some(Self::from_long(0));
        }
        let bits = value.abs().to_bits();
        let raw = (bits >> 52) as i32;
        let fraction = bits & ((1 << 52) - 1);
        let (mut mantissa, mut exponent) = if raw == 0 { (fraction, -1074) } else { (fraction | 1 << 52, raw - 1075) };
        while mantissa & 1 == 0 {
            mantissa >>= 1;
            exponent += 1;
        }
        let mut unscaled = BigInt::from(mantissa);
        let mut scale = 0;
        if exponent > 0 {
            unscaled <<= exponent;
        } else {
            scale = -exponent;
            unscaled *= BigInt::from(5).pow(scale as u32);
        }
        Some(Self { unscaled: if value < 0.0 { -unscaled } else { unscaled }, scale })
    }

    pub(crate) fn from_long(value: i64) -> Self {
        Self { unscaled: value.into(), scale: 0 }
    }

    pub(crate) fn from_integer(unscaled: BigInt) -> Self {
        Self { unscaled, scale: 0 }
    }

    pub(crate) fn to_double(&self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    /// The whole part.
    pub(crate) fn to_integer(&self) -> BigInt {
        if self.scale <= 0 {
            &self.unscaled * ten_to(-self.scale as u32)
        } else {
            &self.unscaled / ten_to(self.scale as u32)
        }
    }

    pub(crate) fn precision(&self) -> i32 {
        if self.unscaled.is_zero() { 1 } else { self.unscaled.abs().to_string().len() as i32 }
    }

    fn at_scale(&self, scale: i32) -> BigInt {
        &self.unscaled * ten_to((scale - self.scale).max(0) as u32)
    }

    /// `compareTo`: by value, whatever the scale.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        let scale = self.scale.max(other.scale);
        self.at_scale(scale).cmp(&other.at_scale(scale))
    }

    pub(crate) fn add(&self, other: &Self) -> Self {
        let scale = self.scale.max(other.scale);
        Self { unscaled: self.at_scale(scale) + other.at_scale(scale), scale }
    }

    pub(crate) fn negate(&self) -> Self {
        Self { unscaled: -&self.unscaled, scale: self.scale }
    }

    pub(crate) fn subtract(&self, other: &Self) -> Self {
        self.add(&other.negate())
    }

    pub(crate) fn multiply(&self, other: &Self) -> Self {
        Self { unscaled: &self.unscaled * &other.unscaled, scale: self.scale + other.scale }
    }

    pub(crate) fn abs(&self) -> Self {
        Self { unscaled: self.unscaled.abs(), scale: self.scale }
    }

    /// `divide(other, scale, rounding)`. The divisor must not be zero.
    pub(crate) fn divide(&self, other: &Self, scale: i32, rounding: Rounding) -> Option<Self> {
        let shift = scale - self.scale + other.scale;
        let (mut numerator, mut denominator) = (self.unscaled.clone(), other.unscaled.clone());
        if shift >= 0 {
            numerator *= ten_to(shift as u32);
        } else {
            denominator *= ten_to(-shift as u32);
        }
        Some(Self { unscaled: divide_rounded(&numerator, &denominator, rounding)?, scale })
    }

    /// `divide(other)`: the exact quotient at the preferred scale or beyond, if it terminates.
    pub(crate) fn divide_exact(&self, other: &Self) -> Option<Self> {
        let preferred = self.scale - other.scale;
        if self.unscaled.is_zero() {
            return Some(Self { unscaled: BigInt::zero(), scale: preferred });
        }
        let digits = self.precision() + (10.0 * f64::from(other.precision()) / 3.0).ceil() as i32;
        let most = preferred.max(digits + preferred);
        let quotient = self.divide(other, most, Rounding::Unnecessary)?;
        Some(quotient.strip(preferred))
    }

    /// Removes trailing zeros down to a scale.
    fn strip(mut self, least: i32) -> Self {
        while self.scale > least {
            let (quotient, remainder) = self.unscaled.div_rem(&BigInt::from(10));
            if !remainder.is_zero() {
                break;
            }
            self.unscaled = quotient;
            self.scale -= 1;
        }
        self
    }

    /// `stripTrailingZeros`.
    pub(crate) fn strip_trailing_zeros(&self) -> Self {
        if self.unscaled.is_zero() {
            return Self::from_long(0);
        }
        self.clone().strip(-MAXIMUM_DIGITS)
    }

    /// `setScale`; `None` when rounding was declared unnecessary and is not.
    pub(crate) fn set_scale(&self, scale: i32, rounding: Rounding) -> Option<Self> {
        if scale >= self.scale {
            return Some(Self { unscaled: self.at_scale(scale), scale });
        }
        let divisor = ten_to((self.scale - scale) as u32);
        Some(Self { unscaled: divide_rounded(&self.unscaled, &divisor, rounding)?, scale })
    }

    pub(crate) fn remainder(&self, other: &Self) -> Self {
        let scale = self.scale.max(other.scale);
        Self { unscaled: self.at_scale(scale) % other.at_scale(scale), scale }
    }

    pub(crate) fn signum(&self) -> i32 {
        match self.unscaled.sign() {
            Sign::Minus => -1,
            Sign::NoSign => 0,
            Sign::Plus => 1,
        }
    }

    /// `hashCode`.
    pub(crate) fn hash(&self) -> i32 {
        if let Some(small) = self.unscaled.to_i64() {
            let absolute = small.unsigned_abs();
            let folded = ((absolute >> 32) as i32).wrapping_mul(31).wrapping_add(absolute as u32 as i32);
            return (if small < 0 { folded.wrapping_neg() } else { folded }).wrapping_mul(31).wrapping_add(self.scale);
        }
        integer_hash(&self.unscaled).wrapping_mul(31).wrapping_add(self.scale)
    }

    /// `toPlainString`.
    pub(crate) fn to_plain_string(&self) -> String {
        if self.scale <= 0 {
            return self.to_integer().to_string();
        }
        let scale = self.scale as usize;
        let digits = format!("{:0>width$}", self.unscaled.abs().to_string(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        format!("{}{whole}.{fraction}", if self.signum() < 0 { "-" } else { "" })
    }
}

/// `BigInteger.hashCode`.
pub(crate) fn integer_hash(value: &BigInt) -> i32 {
    let (sign, digits) = value.to_u32_digits();
    let magnitude = digits.iter().rev().fold(0i32, |hash, &d| hash.wrapping_mul(31).wrapping_add(d as i32));
    if sign == Sign::Minus { magnitude.wrapping_neg() } else { magnitude }
}

impl std::fmt::Display for Decimal {
    /// `toString`: scientific when the exponent is positive or below -6.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = self.unscaled.abs().to_string();
        let exponent = i64::from(-self.scale) + digits.len() as i64 - 1;
        if self.scale == 0 || self.scale > 0 && exponent >= -6 {
            return f.write_str(&self.to_plain_string());
        }
        let sign = if self.signum() < 0 { "-" } else { "" };
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        write!(f, "{sign}{first}{point}{rest}")?;
        if exponent == 0 { Ok(()) } else { write!(f, "E{exponent:+}") }
    }
}
