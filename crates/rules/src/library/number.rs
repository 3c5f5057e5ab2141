//! `Math` and the classes of boxed primitives.

use super::Table;
use super::object::int;
use crate::heap::{Heap, Other, Value};
use crate::machine::{Machine, Outcome, convert};
use crate::program::{Brief, Primitive};
use crate::types::class;

/// `Number.doubleValue()` of any number.
pub(crate) fn number_to_double(heap: &Heap, value: Value) -> Option<f64> {
    match value {
        Value::Other(other) => match heap.other(other) {
            Other::Decimal(decimal) => Some(decimal.to_double()),
            Other::BigInteger(integer) => integer.to_string().parse().ok(),
            Other::Atomic(inner) => inner.as_double(),
            _ => None,
        },
        other => other.as_double(),
    }
}

/// `Number.longValue()` of any number, by its low bits.
pub(crate) fn number_to_long(heap: &Heap, value: Value) -> Option<i64> {
    let low = |integer: &num_bigint::BigInt| {
        let bytes = integer.to_signed_bytes_le();
        let fill = if integer.sign() == num_bigint::Sign::Minus { 0xff } else { 0 };
        i64::from_le_bytes(std::array::from_fn(|index| bytes.get(index).copied().unwrap_or(fill)))
    };
    match value {
        Value::Other(other) => match heap.other(other) {
            Other::Decimal(decimal) => Some(low(&decimal.to_integer())),
            Other::BigInteger(integer) => Some(low(integer)),
            Other::Atomic(inner) => inner.as_long(),
            _ => None,
        },
        other => match convert(other, Primitive::Long)? {
            Value::Long(long) => Some(long),
            _ => None,
        },
    }
}

fn double(value: Value) -> f64 {
    value.as_double().unwrap_or(f64::NAN)
}

fn long(value: Value) -> i64 {
    value.as_long().unwrap_or(0)
}

pub(super) fn register(table: &mut Table) {
    for (signature, target) in [
        ("int intValue()", Primitive::Int),
        ("long longValue()", Primitive::Long),
        ("double doubleValue()", Primitive::Double),
        ("float floatValue()", Primitive::Float),
        ("short shortValue()", Primitive::Short),
        ("byte byteValue()", Primitive::Byte),
    ] {
        let run: super::Native = match target {
            Primitive::Int => |m, a| number_value(m, a[0], Primitive::Int),
            Primitive::Long => |m, a| number_value(m, a[0], Primitive::Long),
            Primitive::Double => |m, a| number_value(m, a[0], Primitive::Double),
            Primitive::Float => |m, a| number_value(m, a[0], Primitive::Float),
            Primitive::Short => |m, a| number_value(m, a[0], Primitive::Short),
            _ => |m, a| number_value(m, a[0], Primitive::Byte),
        };
        table.add(class::NUMBER, signature, run);
    }
    register_integers(table);
    register_reals(table);
    register_others(table);
    register_math(table);
}

fn number_value(machine: &mut Machine<'_>, value: Value, target: Primitive) -> Outcome<Value> {
    if let Some(converted) = convert(value, target) {
        return Ok(converted);
    }
    let plain = match target {
        Primitive::Double | Primitive::Float => number_to_double(&machine.heap, value).map(Value::Double),
        _ => number_to_long(&machine.heap, value).map(Value::Long),
    };
    Ok(plain.and_then(|plain| convert(plain, target)).unwrap_or(Value::Null))
}

fn register_integers(table: &mut Table) {
    table.add(class::INTEGER, "static int parseInt(String)", |m, a| parse_whole(m, a[0], 10, true));
    table.often(Brief::ParseInt);
    table.add(class::INTEGER, "static int parseInt(String, int)", |m, a| parse_whole(m, a[0], int(a[1]) as u32, true));
    table.add(class::INTEGER, "static Integer valueOf(int)", |_, a| Ok(a[0]));
    table.add(class::INTEGER, "static Integer valueOf(String)", |m, a| parse_whole(m, a[0], 10, true));
    table.add(class::INTEGER, "static Integer new(int)", |_, a| Ok(a[0]));
    table.add(class::INTEGER, "static Integer new(String)", |m, a| parse_whole(m, a[0], 10, true));
    table.add(class::INTEGER, "static int compare(int, int)", |_, a| {
        Ok(Value::Integer(int(a[0]).cmp(&int(a[1])) as i32))
    });
    table.add(class::INTEGER, "static int max(int, int)", |_, a| Ok(Value::Integer(int(a[0]).max(int(a[1])))));
    table.add(class::INTEGER, "static int min(int, int)", |_, a| Ok(Value::Integer(int(a[0]).min(int(a[1])))));
    table.add(class::INTEGER, "static int sum(int, int)", |_, a| Ok(Value::Integer(int(a[0]).wrapping_add(int(a[1])))));
    table.add(class::INTEGER, "static int signum(int)", |_, a| Ok(Value::Integer(int(a[0]).signum())));
    table.add(class::INTEGER, "static int bitCount(int)", |_, a| Ok(Value::Integer(int(a[0]).count_ones() as i32)));
    table.add(class::INTEGER, "static String toString(int)", super::object::to_string);
    table.add(class::INTEGER, "static String toBinaryString(int)", |m, a| {
        let text = format!("{:b}", int(a[0]));
        Ok(m.heap.new_string(text.as_bytes()))
    });
    table.add(class::INTEGER, "static String toHexString(int)", |m, a| {
        let text = format!("{:x}", int(a[0]));
        Ok(m.heap.new_string(text.as_bytes()))
    });
    table.add(class::LONG, "static long parseLong(String)", |m, a| parse_whole(m, a[0], 10, false));
    table.often(Brief::ParseLong);
    table.add(class::LONG, "static Long valueOf(long)", |_, a| Ok(a[0]));
    table.add(class::LONG, "static Long valueOf(String)", |m, a| parse_whole(m, a[0], 10, false));
    table.add(class::LONG, "static Long new(long)", |_, a| Ok(a[0]));
    table.add(class::LONG, "static int compare(long, long)", |_, a| {
        Ok(Value::Integer(long(a[0]).cmp(&long(a[1])) as i32))
    });
    table.add(class::LONG, "static long max(long, long)", |_, a| Ok(Value::Long(long(a[0]).max(long(a[1])))));
    table.add(class::LONG, "static long min(long, long)", |_, a| Ok(Value::Long(long(a[0]).min(long(a[1])))));
    table.add(class::LONG, "static long sum(long, long)", |_, a| Ok(Value::Long(long(a[0]).wrapping_add(long(a[1])))));
    table.add(class::LONG, "static int signum(long)", |_, a| Ok(Value::Integer(long(a[0]).signum() as i32)));
    table.add(class::LONG, "static String toString(long)", super::object::to_string);
    table.add(class::SHORT, "static short parseShort(String)", |m, a| small(m, a[0], Primitive::Short));
    table.add(class::SHORT, "static Short valueOf(short)", |_, a| Ok(a[0]));
    table.add(class::BYTE, "static byte parseByte(String)", |m, a| small(m, a[0], Primitive::Byte));
    table.add(class::BYTE, "static Byte valueOf(byte)", |_, a| Ok(a[0]));
}

fn small(machine: &mut Machine<'_>, text: Value, target: Primitive) -> Outcome<Value> {
    let whole = parse_whole(machine, text, 10, true)?;
    let converted = convert(whole, target).unwrap_or(Value::Null);
    if converted.as_long() == whole.as_long() {
        return Ok(converted);
    }
    let message = format!("Value out of range. Value:\"{}\" Radix:10", machine.heap.to_text(text));
    Err(machine.exception(class::NUMBER_FORMAT, Some(&message)))
}

/// `Integer.parseInt` and `Long.parseLong`: an optional sign, then decimal digits of any script.
fn parse_whole(machine: &mut Machine<'_>, text: Value, radix: u32, is_int: bool) -> Outcome<Value> {
    let Some(bytes) = machine.heap.string(text) else {
        return Err(machine.exception(class::NUMBER_FORMAT, Some("Cannot parse null string")));
    };
    if !(2..=36).contains(&radix) {
        let message = format!("radix {radix} is not between 2 and 36");
        return Err(machine.exception(class::NUMBER_FORMAT, Some(&message)));
    }
    let parsed = if radix == 10 { few_digits(bytes).map(i64::from) } else { None };
    let parsed = parsed.or_else(|| parse_digits(&crate::text::to_utf8(bytes), radix));
    match parsed {
        Some(value) if !is_int => Ok(Value::Long(value)),
        Some(value) if i32::try_from(value).is_ok() => Ok(Value::Integer(value as i32)),
        _ => {
            let text = crate::text::to_utf8(bytes).into_owned();
            let suffix = if radix == 10 || text.is_empty() { String::new() } else { format!(" under radix {radix}") };
            let message = format!("For input string: \"{text}\"{suffix}");
            Err(machine.exception(class::NUMBER_FORMAT, Some(&message)))
        }
    }
}

/// The number that a few ASCII digits are, as most numbers in text.
#[inline]
pub(crate) fn few_digits(text: &[u8]) -> Option<i32> {
    let fits = (1..10).contains(&text.len());
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| i32::from(byte - b'0'));
    if fits { text.iter().try_fold(0, |sum, byte| Some(sum * 10 + digit(byte)?)) } else { None }
}

fn parse_digits(text: &str, radix: u32) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0i128;
    for character in digits.chars() {
        let digit = character.to_digit(radix).or_else(|| unicode_digit(character).filter(|digit| *digit < radix))?;
        value = value * i128::from(radix) + i128::from(digit);
        if value > 1 << 64 {
            return None;
        }
    }
    i64::try_from(if negative { -value } else { value }).ok()
}

/// The value of a decimal digit of another script, each of which has ten in a row. Only those of one UTF-16
/// unit: Java looks at one unit at a time.
pub(super) fn unicode_digit(character: char) -> Option<u32> {
    const ZEROS: [u32; 36] = [
        0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0, 0xf20,
        0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0,
        0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
    ];
    let code = character as u32;
    ZEROS.iter().find(|zero| (**zero..**zero + 10).contains(&code)).map(|zero| code - zero)
}

fn register_reals(table: &mut Table) {
    table.add(class::DOUBLE, "static double parseDouble(String)", parse_double);
    table.add(class::DOUBLE, "static Double valueOf(double)", |_, a| Ok(a[0]));
    table.add(class::DOUBLE, "static Double valueOf(String)", parse_double);
    table.add(class::DOUBLE, "static Double new(double)", |_, a| Ok(a[0]));
    table.add(class::DOUBLE, "static int compare(double, double)", |_, a| {
        Ok(Value::Integer(crate::heap::order_doubles(double(a[0]), double(a[1])) as i32))
    });
    table.add(class::DOUBLE, "static boolean isNaN(double)", |_, a| Ok(Value::Boolean(double(a[0]).is_nan())));
    table
        .add(class::DOUBLE, "static boolean isInfinite(double)", |_, a| Ok(Value::Boolean(double(a[0]).is_infinite())));
    table.add(class::DOUBLE, "static boolean isFinite(double)", |_, a| Ok(Value::Boolean(double(a[0]).is_finite())));
    table.add(class::DOUBLE, "boolean isNaN()", |_, a| Ok(Value::Boolean(double(a[0]).is_nan())));
    table.add(class::DOUBLE, "boolean isInfinite()", |_, a| Ok(Value::Boolean(double(a[0]).is_infinite())));
    table.add(class::DOUBLE, "static String toString(double)", super::object::to_string);
    table
        .add(class::DOUBLE, "static double sum(double, double)", |_, a| Ok(Value::Double(double(a[0]) + double(a[1]))));
    table.add(class::DOUBLE, "static double max(double, double)", |_, a| {
        Ok(Value::Double(crate::machine::maximum(double(a[0]), double(a[1]))))
    });
    table.add(class::DOUBLE, "static double min(double, double)", |_, a| {
        Ok(Value::Double(crate::machine::minimum(double(a[0]), double(a[1]))))
    });
    table.add(class::FLOAT, "static float parseFloat(String)", |m, a| {
        let text = parse_text(m, a[0])?;
        Ok(Value::Float(text.parse().unwrap_or(f32::NAN)))
    });
    table.add(class::FLOAT, "static Float valueOf(float)", |_, a| Ok(a[0]));
    table.add(class::FLOAT, "static int compare(float, float)", |_, a| {
        Ok(Value::Integer(crate::heap::order_doubles(double(a[0]), double(a[1])) as i32))
    });
}

fn parse_double(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<Value> {
    let text = parse_text(machine, arguments[0])?;
    Ok(Value::Double(text.parse().unwrap_or(f64::NAN)))
}

/// The text of a floating-point number in a form that Rust parses too, or Java's exception.
fn parse_text(machine: &mut Machine<'_>, value: Value) -> Outcome<String> {
    let Some(bytes) = machine.heap.string(value) else {
        return Err(machine.exception(class::NULL_POINTER, None));
    };
    let whole = crate::text::to_utf8(bytes).into_owned();
    let trimmed = whole.trim_matches(|c: char| c <= ' ');
    let (sign, bare) = match trimmed.as_bytes().first() {
        Some(b'+' | b'-') => trimmed.split_at(1),
        _ => ("", trimmed),
    };
    if bare == "NaN" || bare == "Infinity" {
        return Ok(if bare == "NaN" { "NaN".to_owned() } else { format!("{sign}inf") });
    }
    let digits = bare.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(bare);
    let valid = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'))
        && digits.bytes().any(|b| b.is_ascii_digit())
        && digits.parse::<f64>().is_ok();
    if valid {
        return Ok(format!("{sign}{digits}"));
    }
    let message = if trimmed.is_empty() { "empty String".to_owned() } else { format!("For input string: \"{whole}\"") };
    Err(machine.exception(class::NUMBER_FORMAT, Some(&message)))
}

fn register_others(table: &mut Table) {
    table.add(class::BOOLEAN, "static boolean parseBoolean(String)", |m, a| {
        Ok(Value::Boolean(m.heap.string(a[0]).is_some_and(|text| text.eq_ignore_ascii_case(b"true"))))
    });
    table.add(class::BOOLEAN, "static Boolean valueOf(boolean)", |_, a| Ok(a[0]));
    table.add(class::BOOLEAN, "static Boolean valueOf(String)", |m, a| {
        Ok(Value::Boolean(m.heap.string(a[0]).is_some_and(|text| text.eq_ignore_ascii_case(b"true"))))
    });
    table.add(class::BOOLEAN, "boolean booleanValue()", |_, a| Ok(a[0]));
    table.add(class::BOOLEAN, "static String toString(boolean)", super::object::to_string);
    table.add(class::BOOLEAN, "static int compare(boolean, boolean)", super::object::compare_to);
    table.add(class::BOOLEAN, "static boolean logicalAnd(boolean, boolean)", |_, a| {
        Ok(Value::Boolean(truth_of(a[0]) & truth_of(a[1])))
    });
    table.add(class::BOOLEAN, "static boolean logicalOr(boolean, boolean)", |_, a| {
        Ok(Value::Boolean(truth_of(a[0]) | truth_of(a[1])))
    });
    table.add(class::BOOLEAN, "static boolean logicalXor(boolean, boolean)", |_, a| {
        Ok(Value::Boolean(truth_of(a[0]) ^ truth_of(a[1])))
    });
    table.add(class::CHARACTER, "char charValue()", |_, a| Ok(a[0]));
    table.add(class::CHARACTER, "static Character valueOf(char)", |_, a| Ok(a[0]));
    table.add(class::CHARACTER, "static String toString(char)", super::object::to_string);
    table.add(class::CHARACTER, "static boolean isDigit(char)", |_, a| {
        Ok(Value::Boolean(character(a[0]).is_some_and(|c| c.is_ascii_digit() || unicode_digit(c).is_some())))
    });
    table.add(class::CHARACTER, "static boolean isLetter(char)", |_, a| {
        Ok(Value::Boolean(character(a[0]).is_some_and(char::is_alphabetic)))
    });
    table.add(class::CHARACTER, "static boolean isLetterOrDigit(char)", |_, a| {
        Ok(Value::Boolean(
            character(a[0]).is_some_and(|c| c.is_alphabetic() || unicode_digit(c).is_some() || c.is_ascii_digit()),
        ))
    });
    table.add(class::CHARACTER, "static boolean isAlphabetic(int)", |_, a| {
        Ok(Value::Boolean(char::from_u32(int(a[0]) as u32).is_some_and(char::is_alphabetic)))
    });
    table.add(class::CHARACTER, "static boolean isUpperCase(char)", |_, a| {
        Ok(Value::Boolean(character(a[0]).is_some_and(char::is_uppercase)))
    });
    table.add(class::CHARACTER, "static boolean isLowerCase(char)", |_, a| {
        Ok(Value::Boolean(character(a[0]).is_some_and(char::is_lowercase)))
    });
    table.add(class::CHARACTER, "static boolean isWhitespace(char)", |_, a| {
        let white = character(a[0]).is_some_and(|c| {
            c.is_whitespace() && !matches!(c, '\u{a0}' | '\u{2007}' | '\u{202f}') || ('\u{1c}'..='\u{1f}').contains(&c)
        });
        Ok(Value::Boolean(white))
    });
    table.add(class::CHARACTER, "static int getNumericValue(char)", |_, a| {
        let value = character(a[0]).and_then(|c| c.to_digit(36).or_else(|| unicode_digit(c)));
        Ok(Value::Integer(value.map_or(-1, |digit| digit as i32)))
    });
    table.add(class::CHARACTER, "static int digit(char, int)", |_, a| {
        let value = character(a[0]).and_then(|c| c.to_digit(int(a[1]).clamp(2, 36) as u32));
        Ok(Value::Integer(value.map_or(-1, |digit| digit as i32)))
    });
    table.add(class::CHARACTER, "static char toUpperCase(char)", |_, a| Ok(Value::Character(case(a[0], true))));
    table.add(class::CHARACTER, "static char toLowerCase(char)", |_, a| Ok(Value::Character(case(a[0], false))));
    table.add(class::CHARACTER, "static int compare(char, char)", |_, a| Ok(Value::Integer(int(a[0]) - int(a[1]))));
}

fn truth_of(value: Value) -> bool {
    matches!(value, Value::Boolean(true))
}

fn character(value: Value) -> Option<char> {
    match value {
        Value::Character(unit) => char::from_u32(unit.into()),
        _ => None,
    }
}

fn case(value: Value, upper: bool) -> u16 {
    let Value::Character(unit) = value else {
        return 0;
    };
    let Some(character) = char::from_u32(unit.into()) else {
        return unit;
    };
    let one = |mut mapped: Box<dyn Iterator<Item = char>>| match (mapped.next(), mapped.next()) {
        (Some(single), None) => u16::try_from(single as u32).ok(),
        _ => None,
    };
    let mapped = if upper { one(Box::new(character.to_uppercase())) } else { one(Box::new(character.to_lowercase())) };
    mapped.unwrap_or(unit)
}

fn register_math(table: &mut Table) {
    table.add(class::MATH, "static int abs(int)", |_, a| Ok(Value::Integer(int(a[0]).wrapping_abs())));
    table.add(class::MATH, "static long abs(long)", |_, a| Ok(Value::Long(long(a[0]).wrapping_abs())));
    table.add(class::MATH, "static float abs(float)", |_, a| Ok(Value::Float(double(a[0]).abs() as f32)));
    table.add(class::MATH, "static double abs(double)", |_, a| Ok(Value::Double(double(a[0]).abs())));
    table.add(class::MATH, "static int max(int, int)", |_, a| Ok(Value::Integer(int(a[0]).max(int(a[1])))));
    table.add(class::MATH, "static long max(long, long)", |_, a| Ok(Value::Long(long(a[0]).max(long(a[1])))));
    table.add(class::MATH, "static float max(float, float)", |_, a| {
        Ok(Value::Float(crate::machine::maximum(double(a[0]), double(a[1])) as f32))
    });
    table.add(class::MATH, "static double max(double, double)", |_, a| {
        Ok(Value::Double(crate::machine::maximum(double(a[0]), double(a[1]))))
    });
    table.add(class::MATH, "static int min(int, int)", |_, a| Ok(Value::Integer(int(a[0]).min(int(a[1])))));
    table.add(class::MATH, "static long min(long, long)", |_, a| Ok(Value::Long(long(a[0]).min(long(a[1])))));
    table.add(class::MATH, "static float min(float, float)", |_, a| {
        Ok(Value::Float(crate::machine::minimum(double(a[0]), double(a[1])) as f32))
    });
    table.add(class::MATH, "static double min(double, double)", |_, a| {
        Ok(Value::Double(crate::machine::minimum(double(a[0]), double(a[1]))))
    });
    table.add(class::MATH, "static int round(float)", |_, a| Ok(Value::Integer((double(a[0]) + 0.5).floor() as i32)));
    table.add(class::MATH, "static long round(double)", |_, a| Ok(Value::Long(round(double(a[0])))));
    table.add(class::MATH, "static double floor(double)", |_, a| Ok(Value::Double(double(a[0]).floor())));
    table.add(class::MATH, "static double ceil(double)", |_, a| Ok(Value::Double(double(a[0]).ceil())));
    table.add(class::MATH, "static double rint(double)", |_, a| Ok(Value::Double(double(a[0]).round_ties_even())));
    table.add(class::MATH, "static double sqrt(double)", |_, a| Ok(Value::Double(double(a[0]).sqrt())));
    table.add(class::MATH, "static double cbrt(double)", |_, a| Ok(Value::Double(double(a[0]).cbrt())));
    table.add(class::MATH, "static double pow(double, double)", |_, a| {
        let (base, exponent) = (double(a[0]), double(a[1]));
        let special = exponent.is_nan() || base.abs() == 1.0 && exponent.is_infinite();
        Ok(Value::Double(if special { f64::NAN } else { base.powf(exponent) }))
    });
    table.add(class::MATH, "static double exp(double)", |_, a| Ok(Value::Double(double(a[0]).exp())));
    table.add(class::MATH, "static double log(double)", |_, a| Ok(Value::Double(double(a[0]).ln())));
    table.add(class::MATH, "static double log10(double)", |_, a| Ok(Value::Double(double(a[0]).log10())));
    table.add(class::MATH, "static double log1p(double)", |_, a| Ok(Value::Double(double(a[0]).ln_1p())));
    table.add(class::MATH, "static double hypot(double, double)", |_, a| {
        Ok(Value::Double(double(a[0]).hypot(double(a[1]))))
    });
    table.add(class::MATH, "static double sin(double)", |_, a| Ok(Value::Double(double(a[0]).sin())));
    table.add(class::MATH, "static double cos(double)", |_, a| Ok(Value::Double(double(a[0]).cos())));
    table.add(class::MATH, "static double tan(double)", |_, a| Ok(Value::Double(double(a[0]).tan())));
    table.add(class::MATH, "static double asin(double)", |_, a| Ok(Value::Double(double(a[0]).asin())));
    table.add(class::MATH, "static double acos(double)", |_, a| Ok(Value::Double(double(a[0]).acos())));
    table.add(class::MATH, "static double atan(double)", |_, a| Ok(Value::Double(double(a[0]).atan())));
    table.add(class::MATH, "static double atan2(double, double)", |_, a| {
        Ok(Value::Double(double(a[0]).atan2(double(a[1]))))
    });
    table.add(class::MATH, "static double toRadians(double)", |_, a| Ok(Value::Double(double(a[0]).to_radians())));
    table.add(class::MATH, "static double toDegrees(double)", |_, a| Ok(Value::Double(double(a[0]).to_degrees())));
    table.add(class::MATH, "static int negateExact(int)", |m, a| exact(m, -i64::from(int(a[0]))));
    table.add(class::MATH, "static int incrementExact(int)", |m, a| exact(m, i64::from(int(a[0])) + 1));
    table.add(class::MATH, "static double signum(double)", |_, a| {
        let value = double(a[0]);
        Ok(Value::Double(if value == 0.0 || value.is_nan() { value } else { value.signum() }))
    });
    table.add(class::MATH, "static int floorMod(int, int)", |m, a| floor(m, a, true).map(|v| Value::Integer(v as i32)));
    table.add(class::MATH, "static long floorMod(long, long)", |m, a| floor(m, a, true).map(Value::Long));
    table
        .add(class::MATH, "static int floorDiv(int, int)", |m, a| floor(m, a, false).map(|v| Value::Integer(v as i32)));
    table.add(class::MATH, "static long floorDiv(long, long)", |m, a| floor(m, a, false).map(Value::Long));
    table.add(class::MATH, "static int addExact(int, int)", |m, a| {
        exact(m, i64::from(int(a[0])) + i64::from(int(a[1])))
    });
    table.add(class::MATH, "static int subtractExact(int, int)", |m, a| {
        exact(m, i64::from(int(a[0])) - i64::from(int(a[1])))
    });
    table.add(class::MATH, "static int multiplyExact(int, int)", |m, a| {
        exact(m, i64::from(int(a[0])) * i64::from(int(a[1])))
    });
    table.add(class::MATH, "static int toIntExact(long)", |m, a| exact(m, long(a[0])));
}

/// `Math.round`: half up, by floor of the exact sum.
fn round(value: f64) -> i64 {
    let floor = value.floor();
    let up = value - floor >= 0.5;
    (if up { floor + 1.0 } else { floor }) as i64
}

fn floor(machine: &mut Machine<'_>, arguments: &[Value], modulus: bool) -> Outcome<i64> {
    let (a, b) = (long(arguments[0]), long(arguments[1]));
    if b == 0 {
        return Err(machine.exception(class::ARITHMETIC_EXCEPTION, Some("/ by zero")));
    }
    let (quotient, remainder) = (a.wrapping_div(b), a.wrapping_rem(b));
    let adjust = remainder != 0 && (remainder < 0) != (b < 0);
    Ok(match (modulus, adjust) {
        (true, true) => remainder + b,
        (true, false) => remainder,
        (false, true) => quotient - 1,
        (false, false) => quotient,
    })
}

fn exact(machine: &mut Machine<'_>, value: i64) -> Outcome<Value> {
    match i32::try_from(value) {
        Ok(value) => Ok(Value::Integer(value)),
        Err(_) => Err(machine.exception(class::ARITHMETIC_EXCEPTION, Some("integer overflow"))),
    }
}
