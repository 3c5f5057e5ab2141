//! `BigDecimal` and `BigInteger`.

use num_bigint::BigInt;
use num_traits::{Signed, Zero};

use super::Table;
use super::object::int;
use super::string::utf8;
use crate::decimal::{Decimal, ROUNDINGS, Rounding};
use crate::heap::{Other, Value};
use crate::machine::{Machine, Outcome};
use crate::types::class;

/// Longer numbers are refused.
const MAXIMUM_BITS: u64 = 40_000;
const MAXIMUM_SCALE: u32 = 10_000;

/// A scale that arithmetic can afford.
fn scale(machine: &mut Machine<'_>, value: Value) -> Outcome<i32> {
    let scale = int(value);
    if scale.unsigned_abs() > MAXIMUM_SCALE {
        return Err(machine.exception(class::ARITHMETIC_EXCEPTION, Some("the scale is out of range")));
    }
    Ok(scale)
}

pub(super) fn register(table: &mut Table) {
    let c = class::BIG_DECIMAL;
    table.add(c, "static BigDecimal new(String)", |m, a| parse(m, a[0]));
    table.add(c, "static BigDecimal new(int)", |m, a| Ok(from_long(m, int(a[0]).into())));
    table.add(c, "static BigDecimal new(long)", |m, a| Ok(from_long(m, a[0].as_long().unwrap_or(0))));
    table.add(c, "static BigDecimal new(double)", |m, a| {
        let decimal = Decimal::from_double_exact(a[0].as_double().unwrap_or(f64::NAN));
        made(m, decimal, "Infinite or NaN")
    });
    table.add(c, "static BigDecimal new(BigInteger)", |m, a| {
        let integer = integer(m, a[0])?;
        Ok(m.heap.new_other(Other::Decimal(Decimal::from_integer(integer))))
    });
    table.add(c, "static BigDecimal valueOf(long)", |m, a| Ok(from_long(m, a[0].as_long().unwrap_or(0))));
    table.add(c, "static BigDecimal valueOf(double)", |m, a| {
        let decimal = Decimal::from_double(a[0].as_double().unwrap_or(f64::NAN));
        made(m, decimal, "Infinite or NaN")
    });
    table.add(c, "static BigDecimal valueOf(long, int)", |m, a| {
        let decimal = Decimal { unscaled: a[0].as_long().unwrap_or(0).into(), scale: scale(m, a[1])? };
        Ok(m.heap.new_other(Other::Decimal(decimal)))
    });
    table.add(c, "static BigDecimal coerce(Object)", |m, a| match a[0] {
        Value::String(_) => parse(m, a[0]),
        Value::Other(_) => decimal(m, a[0]).map(|_| a[0]),
        value => match (value.as_long(), value.as_double()) {
            (Some(long), _) => Ok(from_long(m, long)),
            (_, Some(double)) => made(m, Decimal::from_double(double), "Infinite or NaN"),
            _ => Err(m.null_pointer("a number is null")),
        },
    });
    table.add(c, "BigDecimal add(BigDecimal)", |m, a| two(m, a, Decimal::add));
    table.add(c, "BigDecimal subtract(BigDecimal)", |m, a| two(m, a, Decimal::subtract));
    table.add(c, "BigDecimal multiply(BigDecimal)", |m, a| two(m, a, Decimal::multiply));
    table.add(c, "BigDecimal max(BigDecimal)", |m, a| {
        two(m, a, |x, y| if x.order(y).is_lt() { y.clone() } else { x.clone() })
    });
    table.add(c, "BigDecimal min(BigDecimal)", |m, a| {
        two(m, a, |x, y| if x.order(y).is_gt() { y.clone() } else { x.clone() })
    });
    table.add(c, "BigDecimal remainder(BigDecimal)", |m, a| {
        divisor(m, a)?;
        two(m, a, Decimal::remainder)
    });
    table.add(c, "BigDecimal divide(BigDecimal)", |m, a| {
        divisor(m, a)?;
        let (x, y) = (decimal(m, a[0])?, decimal(m, a[1])?);
        let quotient = x.divide_exact(&y);
        made(m, quotient, "Non-terminating decimal expansion; no exact representable decimal result.")
    });
    table.add(c, "BigDecimal divideDecimal128(BigDecimal)", |m, a| {
        divisor(m, a)?;
        let (x, y) = (decimal(m, a[0])?, decimal(m, a[1])?);
        let quotient = x.divide_exact(&y).or_else(|| {
            let scale = 34 - (x.precision() - x.scale - y.precision() + y.scale);
            x.divide(&y, scale, Rounding::HalfEven)
        });
        made(m, quotient, "the quotient is out of range")
    });
    table.add(c, "BigDecimal divide(BigDecimal, int, RoundingMode)", |m, a| {
        divide(m, a[0], a[1], Some(int(a[2])), a[3])
    });
    table.add(c, "BigDecimal divide(BigDecimal, RoundingMode)", |m, a| divide(m, a[0], a[1], None, a[2]));
    table.add(c, "BigDecimal setScale(int)", |m, a| {
        let scale = scale(m, a[1])?;
        let scaled = decimal(m, a[0])?.set_scale(scale, Rounding::Unnecessary);
        made(m, scaled, "Rounding necessary")
    });
    table.add(c, "BigDecimal setScale(int, RoundingMode)", |m, a| {
        let rounding = rounding(m, a[2])?;
        let scale = scale(m, a[1])?;
        let scaled = decimal(m, a[0])?.set_scale(scale, rounding);
        made(m, scaled, "Rounding necessary")
    });
    table.add(c, "BigDecimal negate()", |m, a| one(m, a, Decimal::negate));
    table.add(c, "BigDecimal abs()", |m, a| one(m, a, Decimal::abs));
    table.add(c, "BigDecimal stripTrailingZeros()", |m, a| one(m, a, Decimal::strip_trailing_zeros));
    table.add(c, "BigDecimal pow(int)", |m, a| {
        let base = decimal(m, a[0])?;
        let exponent = int(a[1]);
        let too_long = base.unscaled.bits().saturating_mul(exponent.unsigned_abs().into()) > MAXIMUM_BITS
            || base.scale.unsigned_abs().saturating_mul(exponent.unsigned_abs()) > MAXIMUM_SCALE;
        if exponent < 0 || too_long {
            return Err(m.exception(class::ARITHMETIC_EXCEPTION, Some("Invalid operation")));
        }
        let unscaled = base.unscaled.pow(exponent as u32);
        Ok(m.heap.new_other(Other::Decimal(Decimal { unscaled, scale: base.scale * exponent })))
    });
    table.add(c, "BigDecimal movePointLeft(int)", |m, a| {
        let by = int(a[1]).clamp(-9999, 9999);
        one(m, a, |x| {
            Decimal { unscaled: x.unscaled.clone(), scale: x.scale + by }
                .set_scale((x.scale + by).max(0), Rounding::Unnecessary)
                .unwrap_or_else(|| x.clone())
        })
    });
    table.add(c, "int scale()", |m, a| Ok(Value::Integer(decimal(m, a[0])?.scale)));
    table.add(c, "int precision()", |m, a| Ok(Value::Integer(decimal(m, a[0])?.precision())));
    table.add(c, "int signum()", |m, a| Ok(Value::Integer(decimal(m, a[0])?.signum())));
    table.add(c, "int compareTo(BigDecimal)", |m, a| {
        let (x, y) = (decimal(m, a[0])?, decimal(m, a[1])?);
        Ok(Value::Integer(x.order(&y) as i32))
    });
    table.add(c, "String toPlainString()", |m, a| {
        let text = decimal(m, a[0])?.to_plain_string();
        Ok(m.heap.new_string(text.as_bytes()))
    });
    table.add(c, "BigInteger toBigInteger()", |m, a| {
        let integer = decimal(m, a[0])?.to_integer();
        Ok(m.heap.new_other(Other::BigInteger(integer)))
    });
    register_integer(table);
}

fn register_integer(table: &mut Table) {
    let c = class::BIG_INTEGER;
    table.add(c, "static BigInteger new(String)", |m, a| {
        let text = utf8(&m.heap, a[0]);
        match text.strip_prefix('+').unwrap_or(&text).parse::<BigInt>() {
            Ok(integer) => Ok(m.heap.new_other(Other::BigInteger(integer))),
            Err(_) => {
                let message = format!("For input string: \"{text}\"");
                Err(m.exception(class::NUMBER_FORMAT, Some(&message)))
            }
        }
    });
    table.add(c, "static BigInteger valueOf(long)", |m, a| {
        Ok(m.heap.new_other(Other::BigInteger(a[0].as_long().unwrap_or(0).into())))
    });
    table.add(c, "BigInteger add(BigInteger)", |m, a| integers(m, a, |x, y| x + y));
    table.add(c, "BigInteger subtract(BigInteger)", |m, a| integers(m, a, |x, y| x - y));
    table.add(c, "BigInteger multiply(BigInteger)", |m, a| integers(m, a, |x, y| x * y));
    for (signature, modulus) in [("BigInteger divide(BigInteger)", false), ("BigInteger mod(BigInteger)", true)] {
        let run: super::Native =
            if modulus { |m, a| divide_integers(m, a, true) } else { |m, a| divide_integers(m, a, false) };
        table.add(c, signature, run);
    }
    table.add(c, "BigInteger remainder(BigInteger)", |m, a| {
        if integer(m, a[1])?.is_zero() {
            return Err(m.exception(class::ARITHMETIC_EXCEPTION, Some("BigInteger divide by zero")));
        }
        integers(m, a, |x, y| x % y)
    });
    table.add(c, "BigInteger negate()", |m, a| integers(m, &[a[0], a[0]], |x, _| -x));
    table.add(c, "BigInteger abs()", |m, a| integers(m, &[a[0], a[0]], |x, _| x.abs()));
    table.add(c, "BigInteger pow(int)", |m, a| {
        let (base, exponent) = (integer(m, a[0])?, int(a[1]));
        if exponent < 0 || base.bits().saturating_mul(exponent.unsigned_abs().into()) > MAXIMUM_BITS {
            return Err(m.exception(class::ARITHMETIC_EXCEPTION, Some("the number has too many digits")));
        }
        Ok(m.heap.new_other(Other::BigInteger(base.pow(exponent as u32))))
    });
    table.add(c, "int signum()", |m, a| Ok(Value::Integer(Decimal::from_integer(integer(m, a[0])?).signum())));
    table.add(c, "int compareTo(BigInteger)", super::object::compare_to);
}

fn divide_integers(machine: &mut Machine<'_>, arguments: &[Value], modulus: bool) -> Outcome<Value> {
    if integer(machine, arguments[1])?.is_zero() {
        return Err(machine.exception(class::ARITHMETIC_EXCEPTION, Some("BigInteger divide by zero")));
    }
    integers(machine, arguments, |x, y| if modulus { num_integer::Integer::mod_floor(x, y) } else { x / y })
}

fn integer(machine: &mut Machine<'_>, value: Value) -> Outcome<BigInt> {
    match value {
        Value::Other(other) => match machine.heap.other(other) {
            Other::BigInteger(integer) => Ok(integer.clone()),
            _ => Err(machine.exception(class::CLASS_CAST, Some("the value is not a BigInteger"))),
        },
        _ => Err(machine.null_pointer("the number is null")),
    }
}

fn integers(
    machine: &mut Machine<'_>,
    arguments: &[Value],
    compute: impl Fn(&BigInt, &BigInt) -> BigInt,
) -> Outcome<Value> {
    let result = compute(&integer(machine, arguments[0])?, &integer(machine, arguments[1])?);
    if result.bits() > MAXIMUM_BITS {
        return Err(machine.exception(class::ARITHMETIC_EXCEPTION, Some("the number has too many digits")));
    }
    Ok(machine.heap.new_other(Other::BigInteger(result)))
}

fn parse(machine: &mut Machine<'_>, text: Value) -> Outcome<Value> {
    if text.is_null() {
        return Err(machine.null_pointer("the text is null"));
    }
    let text = utf8(&machine.heap, text);
    match Decimal::parse(&text) {
        Some(decimal) => Ok(machine.heap.new_other(Other::Decimal(decimal))),
        None => Err(machine.exception(class::NUMBER_FORMAT, None)),
    }
}

fn from_long(machine: &mut Machine<'_>, value: i64) -> Value {
    machine.heap.new_other(Other::Decimal(Decimal::from_long(value)))
}

fn made(machine: &mut Machine<'_>, decimal: Option<Decimal>, otherwise: &str) -> Outcome<Value> {
    match decimal {
        Some(decimal) if decimal.unscaled.bits() <= MAXIMUM_BITS && decimal.scale.unsigned_abs() <= MAXIMUM_SCALE => {
            Ok(machine.heap.new_other(Other::Decimal(decimal)))
        }
        _ => {
            let class =
                if otherwise.starts_with("Infinite") { class::NUMBER_FORMAT } else { class::ARITHMETIC_EXCEPTION };
            Err(machine.exception(class, Some(otherwise)))
        }
    }
}

pub(super) fn decimal(machine: &mut Machine<'_>, value: Value) -> Outcome<Decimal> {
    match value {
        Value::Other(other) => match machine.heap.other(other) {
            Other::Decimal(decimal) => Ok(decimal.clone()),
            Other::BigInteger(integer) => Ok(Decimal::from_integer(integer.clone())),
            _ => Err(machine.exception(class::CLASS_CAST, Some("the value is not a BigDecimal"))),
        },
        _ => Err(machine.null_pointer("the number is null")),
    }
}

fn one(machine: &mut Machine<'_>, arguments: &[Value], compute: impl Fn(&Decimal) -> Decimal) -> Outcome<Value> {
    let result = compute(&decimal(machine, arguments[0])?);
    made(machine, Some(result), "the number has too many digits")
}

fn two(
    machine: &mut Machine<'_>,
    arguments: &[Value],
    compute: impl Fn(&Decimal, &Decimal) -> Decimal,
) -> Outcome<Value> {
    let (left, right) = (decimal(machine, arguments[0])?, decimal(machine, arguments[1])?);
    if (i64::from(left.scale) - i64::from(right.scale)).abs() > 10_000
        || left.scale.saturating_add(right.scale).abs() > 20_000
    {
        return Err(machine.exception(class::ARITHMETIC_EXCEPTION, Some("the number has too many digits")));
    }
    let result = compute(&left, &right);
    made(machine, Some(result), "the number has too many digits")
}

fn divisor(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<()> {
    if decimal(machine, arguments[1])?.signum() != 0 {
        return Ok(());
    }
    let undefined = decimal(machine, arguments[0])?.signum() == 0;
    let message = if undefined { "Division undefined" } else { "Division by zero" };
    Err(machine.exception(class::ARITHMETIC_EXCEPTION, Some(message)))
}

fn divide(machine: &mut Machine<'_>, left: Value, right: Value, scale: Option<i32>, mode: Value) -> Outcome<Value> {
    let rounding = rounding(machine, mode)?;
    let (x, y) = (decimal(machine, left)?, decimal(machine, right)?);
    if y.signum() == 0 {
        let message = if x.signum() == 0 { "Division undefined" } else { "Division by zero" };
        return Err(machine.exception(class::ARITHMETIC_EXCEPTION, Some(message)));
    }
    let scale = scale.unwrap_or(x.scale).clamp(-9999, 9999);
    let quotient = x.divide(&y, scale, rounding);
    made(machine, quotient, "Rounding necessary")
}

fn rounding(machine: &mut Machine<'_>, mode: Value) -> Outcome<Rounding> {
    if let Value::Other(other) = mode {
        if let Other::Constant { class: class::ROUNDING_MODE, ordinal } = machine.heap.other(other) {
            return Ok(ROUNDINGS[usize::from(*ordinal)].1);
        }
    }
    Err(machine.null_pointer("the rounding mode is null"))
}
