//! `String.format`.

use super::Table;
use super::number::{number_to_double, number_to_long};
use super::string::display;
use crate::decimal::{Decimal, Rounding};
use crate::heap::{Other, Value};
use crate::machine::{Machine, Outcome};
use crate::types::class;

pub(super) fn register(table: &mut Table) {
    table.add(class::STRING, "static String format(String, Object...)", format);
    table.add(class::STRING, "String formatted(Object...)", format);
}

/// One conversion: `%[index$][flags][width][.precision]letter`.
#[derive(Default)]
struct Specifier {
    index: Option<usize>,
    flags: String,
    width: usize,
    precision: Option<usize>,
    letter: char,
}

impl Specifier {
    fn has(&self, flag: char) -> bool {
        self.flags.contains(flag)
    }
}

/// Reads what follows a `%`; returns the rest of the text.
fn specifier(text: &str) -> Option<(Specifier, &str)> {
    let mut spec = Specifier::default();
    let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let mut rest = text;
    let count = digits(rest);
    if count > 0 && rest[count..].starts_with('$') {
        spec.index = rest[..count].parse().ok();
        rest = &rest[count + 1..];
    }
    let flags = rest.len() - rest.trim_start_matches(['-', '#', '+', ' ', '0', ',', '(']).len();
    spec.flags = rest[..flags].to_owned();
    rest = &rest[flags..];
    let count = digits(rest);
    spec.width = rest[..count].parse().unwrap_or(0).min(1000);
    rest = &rest[count..];
    if let Some(after) = rest.strip_prefix('.') {
        let count = digits(after);
        spec.precision = Some(after[..count].parse::<usize>().ok()?.min(1000));
        rest = &after[count..];
    }
    spec.letter = rest.chars().next()?;
    let rest = &rest[spec.letter.len_utf8()..];
    Some((spec, rest))
}

pub(super) fn format(machine: &mut Machine<'_>, arguments: &[Value]) -> Outcome<Value> {
    let pattern = display(machine, arguments[0])?;
    let pattern = crate::text::to_utf8(&pattern).into_owned();
    let items = machine.heap.elements(arguments[1]).unwrap_or_default();
    let mut out = String::new();
    let mut rest = pattern.as_str();
    let mut next = 0;
    while let Some(at) = rest.find('%') {
        out += &rest[..at];
        let Some((spec, after)) = specifier(&rest[at + 1..]) else {
            return Err(machine.exception(class::ILLEGAL_ARGUMENT, Some("Conversion = '%'")));
        };
        rest = after;
        match spec.letter {
            'n' => out.push('\n'),
            '%' => pad(&mut out, "%", &spec),
            _ => {
                let index = spec.index.map_or(next, |index| index.saturating_sub(1));
                if spec.index.is_none() {
                    next += 1;
                }
                let Some(item) = items.get(index).copied() else {
                    let message = format!("Format specifier '%{}'", spec.letter);
                    return Err(machine.exception(class::ILLEGAL_ARGUMENT, Some(&message)));
                };
                let text = convert(machine, &spec, item)?;
                pad(&mut out, &text, &spec);
            }
        }
    }
    out += rest;
    Ok(machine.heap.new_string(out.as_bytes()))
}

fn pad(out: &mut String, text: &str, spec: &Specifier) {
    let missing = spec.width.saturating_sub(text.chars().count());
    let zeros = spec.has('0') && matches!(spec.letter, 'd' | 'f' | 'e' | 'x' | 'X');
    if spec.has('-') {
        out.push_str(text);
        out.extend(std::iter::repeat_n(' ', missing));
    } else if zeros {
        let digits = text.trim_start_matches(['-', '+', ' ', '(']);
        out.push_str(&text[..text.len() - digits.len()]);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(digits);
    } else {
        out.extend(std::iter::repeat_n(' ', missing));
        out.push_str(text);
    }
}

fn convert(machine: &mut Machine<'_>, spec: &Specifier, value: Value) -> Outcome<String> {
    let upper = spec.letter.is_ascii_uppercase();
    let letter = spec.letter.to_ascii_lowercase();
    let text = match letter {
        's' | 'b' | 'c' | 'h' => {
            let mut text = match letter {
                'b' => match value {
                    Value::Boolean(v) => v.to_string(),
                    other => (!other.is_null()).to_string(),
                },
                'h' if !value.is_null() => format!("{:x}", machine.heap.hash(value)),
                _ => machine.heap.to_text(value),
            };
            if let Some(precision) = spec.precision {
                text = text.chars().take(precision).collect();
            }
            text
        }
        _ if value.is_null() => "null".to_owned(),
        'd' => whole(machine, spec, value)?,
        'x' | 'o' => match value {
            Value::Integer(v) if letter == 'x' => format!("{v:x}"),
            Value::Integer(v) => format!("{v:o}"),
            Value::Long(v) if letter == 'x' => format!("{v:x}"),
            Value::Long(v) => format!("{v:o}"),
            other => return Err(mismatch(machine, spec, other)),
        },
        'f' | 'e' | 'g' => real(machine, spec, letter, value)?,
        _ => {
            let message = format!("Conversion = '{}'", spec.letter);
            return Err(machine.exception(class::ILLEGAL_ARGUMENT, Some(&message)));
        }
    };
    Ok(if upper { text.to_uppercase() } else { text })
}

fn mismatch(machine: &mut Machine<'_>, spec: &Specifier, value: Value) -> crate::machine::Throw {
    let message = format!("{} != {}", spec.letter, machine.heap.class_name(value).full);
    machine.exception(class::ILLEGAL_ARGUMENT, Some(&message))
}

fn whole(machine: &mut Machine<'_>, spec: &Specifier, value: Value) -> Outcome<String> {
    let digits = match value {
        Value::Other(other) => match machine.heap.other(other) {
            Other::BigInteger(integer) => integer.to_string(),
            _ => return Err(mismatch(machine, spec, value)),
        },
        _ => match value.as_long() {
            Some(_) => number_to_long(&machine.heap, value).unwrap_or(0).to_string(),
            None => return Err(mismatch(machine, spec, value)),
        },
    };
    Ok(signed(spec, &digits))
}

/// Grouping and signs.
fn signed(spec: &Specifier, digits: &str) -> String {
    let (negative, bare) = match digits.strip_prefix('-') {
        Some(bare) => (true, bare),
        None => (false, digits),
    };
    let (whole, fraction) = bare.split_at(bare.find(['.', 'e']).unwrap_or(bare.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if spec.has(',') && index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped += fraction;
    match (negative, spec.has('('), spec.has('+'), spec.has(' ')) {
        (true, true, ..) => format!("({grouped})"),
        (true, ..) => format!("-{grouped}"),
        (_, _, true, _) => format!("+{grouped}"),
        (.., true) => format!(" {grouped}"),
        _ => grouped,
    }
}

fn real(machine: &mut Machine<'_>, spec: &Specifier, letter: char, value: Value) -> Outcome<String> {
    let decimal = match value {
        Value::Other(other) => match machine.heap.other(other) {
            Other::Decimal(decimal) => Some(decimal.clone()),
            _ => None,
        },
        // Float's own short digits, not those of the double it widens to.
        Value::Float(v) => {
            let mut text = Vec::new();
            crate::text::push_float(&mut text, v);
            Decimal::parse(&String::from_utf8_lossy(&text))
        }
        Value::Double(v) => Decimal::from_double(v),
        _ => return Err(mismatch(machine, spec, value)),
    };
    let Some(decimal) = decimal else {
        let double = number_to_double(&machine.heap, value).unwrap_or(f64::NAN);
        let text = if double.is_nan() { "NaN" } else { "Infinity" };
        return Ok(if double < 0.0 { format!("-{text}") } else { text.to_owned() });
    };
    let precision = spec.precision.unwrap_or(6) as i32;
    let minus = matches!(value, Value::Double(v) if v == 0.0 && v.is_sign_negative());
    let text = if letter == 'e' {
        scientific(&decimal, precision)
    } else {
        let rounded = decimal.set_scale(precision, Rounding::HalfUp).unwrap_or(decimal);
        rounded.to_plain_string()
    };
    let negative_zero = minus || value.as_double().is_some_and(|v| v < 0.0) && !text.starts_with('-');
    Ok(signed(spec, &if negative_zero { format!("-{text}") } else { text }))
}

/// `d.ddde+xx`.
fn scientific(decimal: &Decimal, precision: i32) -> String {
    let digits = decimal.precision();
    let mut exponent = digits - 1 - decimal.scale;
    let mantissa = Decimal { unscaled: decimal.unscaled.clone(), scale: digits - 1 };
    let mut rounded = mantissa.set_scale(precision, Rounding::HalfUp).unwrap_or(mantissa);
    if rounded.precision() > precision + 1 {
        rounded = Decimal { unscaled: rounded.unscaled / 10, scale: precision };
        exponent += 1;
    }
    if decimal.signum() == 0 {
        exponent = 0;
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", rounded.to_plain_string(), exponent.abs())
}
