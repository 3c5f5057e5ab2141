//! Java's arithmetic and conversions.

use crate::heap::{ListKind, Value};
use crate::program::{Arithmetic, Primitive};
use crate::types::class;

/// `int` arithmetic; nothing for a division by zero.
pub(super) fn int(operator: Arithmetic, a: i32, b: i32) -> Option<i32> {
    Some(match operator {
        Arithmetic::Add => a.wrapping_add(b),
        Arithmetic::Subtract => a.wrapping_sub(b),
        Arithmetic::Multiply => a.wrapping_mul(b),
        Arithmetic::Divide if b == 0 => return None,
        Arithmetic::Remainder if b == 0 => return None,
        Arithmetic::Divide => a.wrapping_div(b),
        Arithmetic::Remainder => a.wrapping_rem(b),
        Arithmetic::And => a & b,
        Arithmetic::Or => a | b,
        Arithmetic::Xor => a ^ b,
        Arithmetic::ShiftLeft => a.wrapping_shl(b as u32),
        Arithmetic::ShiftRight => a.wrapping_shr(b as u32),
        Arithmetic::ShiftRightUnsigned => (a as u32).wrapping_shr(b as u32) as i32,
    })
}

/// `long` arithmetic; nothing for a division by zero.
pub(super) fn long(operator: Arithmetic, a: i64, b: i64) -> Option<i64> {
    Some(match operator {
        Arithmetic::Add => a.wrapping_add(b),
        Arithmetic::Subtract => a.wrapping_sub(b),
        Arithmetic::Multiply => a.wrapping_mul(b),
        Arithmetic::Divide if b == 0 => return None,
        Arithmetic::Remainder if b == 0 => return None,
        Arithmetic::Divide => a.wrapping_div(b),
        Arithmetic::Remainder => a.wrapping_rem(b),
        Arithmetic::And => a & b,
        Arithmetic::Or => a | b,
        Arithmetic::Xor => a ^ b,
        Arithmetic::ShiftLeft => a.wrapping_shl(b as u32),
        Arithmetic::ShiftRight => a.wrapping_shr(b as u32),
        Arithmetic::ShiftRightUnsigned => (a as u64).wrapping_shr(b as u32) as i64,
    })
}

pub(super) fn float(operator: Arithmetic, a: f32, b: f32) -> f32 {
    match operator {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide => a / b,
        _ => a % b,
    }
}

pub(super) fn double(operator: Arithmetic, a: f64, b: f64) -> f64 {
    match operator {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide => a / b,
        _ => a % b,
    }
}

/// `Math.max`: NaN wins, and 0.0 over -0.0.
pub(crate) fn maximum(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        return f64::NAN;
    }
    if a == b {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}

/// `Math.min`: NaN wins, and -0.0 over 0.0.
pub(crate) fn minimum(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        return f64::NAN;
    }
    if a == b {
        if a.is_sign_negative() { a } else { b }
    } else if a < b {
        a
    } else {
        b
    }
}

pub(super) fn negate(value: Value) -> Value {
    match value {
        Value::Integer(v) => Value::Integer(v.wrapping_neg()),
        Value::Long(v) => Value::Long(v.wrapping_neg()),
        Value::Float(v) => Value::Float(-v),
        Value::Double(v) => Value::Double(-v),
        other => other,
    }
}

pub(super) fn complement(value: Value) -> Value {
    match value {
        Value::Integer(v) => Value::Integer(!v),
        Value::Long(v) => Value::Long(!v),
        Value::Boolean(v) => Value::Boolean(!v),
        other => other,
    }
}

/// A primitive or boxed number, character or boolean as a primitive; nothing where Java has no such conversion.
pub(crate) fn convert(value: Value, target: Primitive) -> Option<Value> {
    if let Value::Boolean(_) = value {
        return (target == Primitive::Boolean).then_some(value);
    }
    let whole: i64 = match value {
        Value::Byte(v) => v.into(),
        Value::Short(v) => v.into(),
        Value::Character(v) => v.into(),
        Value::Integer(v) => v.into(),
        Value::Long(v) => v,
        Value::Float(v) => return from_double(f64::from(v), target, Some(v)),
        Value::Double(v) => return from_double(v, target, None),
        _ => return None,
    };
    Some(match target {
        Primitive::Boolean => return None,
        Primitive::Char => Value::Character(whole as u16),
        Primitive::Byte => Value::Byte(whole as i8),
        Primitive::Short => Value::Short(whole as i16),
        Primitive::Int => Value::Integer(whole as i32),
        Primitive::Long => Value::Long(whole),
        Primitive::Float => Value::Float(whole as f32),
        Primitive::Double => Value::Double(whole as f64),
    })
}

/// Narrowing from a floating-point number saturates, and goes through `int` for the small types.
fn from_double(value: f64, target: Primitive, float: Option<f32>) -> Option<Value> {
    Some(match target {
        Primitive::Boolean => return None,
        Primitive::Char => Value::Character(value as i32 as u16),
        Primitive::Byte => Value::Byte(value as i32 as i8),
        Primitive::Short => Value::Short(value as i32 as i16),
        Primitive::Int => Value::Integer(value as i32),
        Primitive::Long => Value::Long(value as i64),
        Primitive::Float => Value::Float(float.unwrap_or(value as f32)),
        Primitive::Double => Value::Double(value),
    })
}

pub(super) fn boxed(target: Primitive) -> u16 {
    match target {
        Primitive::Boolean => class::BOOLEAN,
        Primitive::Char => class::CHARACTER,
        Primitive::Byte => class::BYTE,
        Primitive::Short => class::SHORT,
        Primitive::Int => class::INTEGER,
        Primitive::Long => class::LONG,
        Primitive::Float => class::FLOAT,
        Primitive::Double => class::DOUBLE,
    }
}

/// Element kinds as the compiler numbers them.
pub(super) fn array_kind(kind: u8) -> ListKind {
    use crate::heap::ArrayKind as A;
    ListKind::Array(match kind {
        0 => A::Boolean,
        1 => A::Char,
        2 => A::Byte,
        3 => A::Short,
        4 => A::Int,
        5 => A::Long,
        6 => A::Float,
        7 => A::Double,
        8 => A::String,
        _ => A::Object,
    })
}

pub(super) fn default_of(kind: u8) -> Value {
    match kind {
        0 => Value::Boolean(false),
        1 => Value::Character(0),
        2 => Value::Byte(0),
        3 => Value::Short(0),
        4 => Value::Integer(0),
        5 => Value::Long(0),
        6 => Value::Float(0.0),
        7 => Value::Double(0.0),
        _ => Value::Null,
    }
}
