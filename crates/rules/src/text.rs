//! Java strings as WTF-8: UTF-8 that may also carry unpaired surrogates.
//!
//! Rule files count in UTF-16 units, cases arrive as UTF-8, and nearly all text is ASCII, where both
//! agree. Surrogate pairs are always joined, so equal strings are equal bytes.

/// Whether two texts of one length are equal: most are too short for a call to be worth it.
#[inline(always)]
pub(crate) fn same_bytes(left: &[u8], right: &[u8]) -> bool {
    // The last bytes overlap those before them where the length is no multiple.
    if let (Some(left_end), Some(right_end)) = (left.last_chunk::<8>(), right.last_chunk::<8>()) {
        let (left, right) = (left.as_chunks::<8>().0, right.as_chunks::<8>().0);
        return left.iter().zip(right).all(|(a, b)| word(a) == word(b)) && word(left_end) == word(right_end);
    }
    if let (Some(left_end), Some(right_end)) = (left.last_chunk::<4>(), right.last_chunk::<4>()) {
        return left.first_chunk::<4>() == right.first_chunk::<4>() && left_end == right_end;
    }
    left.iter().zip(right).all(|(a, b)| a == b)
}

fn word(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes)
}

/// Appends one UTF-16 unit, joining it with a high surrogate that ends `text`.
pub(crate) fn push_unit(text: &mut Vec<u8>, unit: u16) {
    if (0xdc00..0xe000).contains(&unit) {
        if let [.., 0xed, second @ 0xa0..=0xaf, third] = text[..] {
            let high = 0xd000 | u32::from(second & 0x3f) << 6 | u32::from(third & 0x3f);
            let joined = 0x10000 + ((high - 0xd800) << 10) + (u32::from(unit) - 0xdc00);
            text.truncate(text.len() - 3);
            push_code_point(text, joined);
            return;
        }
    }
    push_code_point(text, u32::from(unit));
}

fn push_code_point(text: &mut Vec<u8>, code: u32) {
    let tail = |shift: u32| 0x80 | (code >> shift & 0x3f) as u8;
    match code {
        0..0x80 => text.push(code as u8),
        0x80..0x800 => text.extend([0xc0 | (code >> 6) as u8, tail(0)]),
        0x800..0x10000 => text.extend([0xe0 | (code >> 12) as u8, tail(6), tail(0)]),
        _ => text.extend([0xf0 | (code >> 18) as u8, tail(12), tail(6), tail(0)]),
    }
}

/// The UTF-16 units of `text`.
pub(crate) fn units(text: &[u8]) -> impl Iterator<Item = u16> + '_ {
    let mut at = 0;
    let mut low = None;
    std::iter::from_fn(move || {
        if let Some(unit) = low.take() {
            return Some(unit);
        }
        let first = u32::from(*text.get(at)?);
        let tail = |index: usize| u32::from(text.get(at + index).copied().unwrap_or(0)) & 0x3f;
        let (code, length) = match first {
            0..0x80 => (first, 1),
            0x80..0xe0 => ((first & 0x1f) << 6 | tail(1), 2),
            0xe0..0xf0 => ((first & 0x0f) << 12 | tail(1) << 6 | tail(2), 3),
            _ => ((first & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3), 4),
        };
        at += length;
        if code < 0x10000 {
            return Some(code as u16);
        }
        let above = code - 0x10000;
        low = Some(0xdc00 | (above & 0x3ff) as u16);
        Some(0xd800 | (above >> 10) as u16)
    })
}

/// The text made of `units`.
pub(crate) fn from_units(units: impl IntoIterator<Item = u16>) -> Vec<u8> {
    let mut text = Vec::new();
    for unit in units {
        push_unit(&mut text, unit);
    }
    text
}

/// The unit of a text that has exactly one.
pub(crate) fn single_unit(text: &[u8]) -> Option<u16> {
    let mut all = units(text);
    let first = all.next()?;
    all.next().is_none().then_some(first)
}

/// `String.compareTo`: the difference of the first differing units, else of the lengths.
pub(crate) fn compare(left: &[u8], right: &[u8]) -> i32 {
    if left.is_ascii() && right.is_ascii() {
        let differing = left.iter().zip(right).find(|(a, b)| a != b);
        return match differing {
            Some((a, b)) => i32::from(*a) - i32::from(*b),
            None => left.len() as i32 - right.len() as i32,
        };
    }
    let (mut a, mut b) = (units(left), units(right));
    loop {
        match (a.next(), b.next()) {
            (Some(x), Some(y)) if x == y => {}
            (Some(x), Some(y)) => return i32::from(x) - i32::from(y),
            (None, None) => return 0,
            (Some(_), None) => return 1 + a.count() as i32,
            (None, Some(_)) => return -1 - b.count() as i32,
        }
    }
}

/// `String.hashCode`.
pub(crate) fn hash(text: &[u8]) -> i32 {
    let step = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    if text.is_ascii() {
        return text.iter().fold(0, |hash, &byte| step(hash, u16::from(byte)));
    }
    units(text).fold(0, step)
}

/// UTF-8 for output; an unpaired surrogate becomes `?`, as Java's encoder does it.
pub(crate) fn to_utf8(text: &[u8]) -> std::borrow::Cow<'_, str> {
    match std::str::from_utf8(text) {
        Ok(valid) => valid.into(),
        Err(_) => char::decode_utf16(units(text)).map(|unit| unit.unwrap_or('?')).collect::<String>().into(),
    }
}

/// `Double.toString` and, with the digits of a float, `Float.toString`: decimal between 10^-3 and 10^7,
/// scientific outside.
pub(crate) fn push_double(out: &mut Vec<u8>, value: f64) {
    push_real(out, value, |text| {
        use std::fmt::Write;
        let _ = write!(text, "{:e}", value.abs());
        // Of one digit Java shows the nearest number of two: 4.9E-324, not 5.0E-324.
        let longer = format!("{:.1e}", value.abs());
        if text.find('e') == Some(1) && longer.parse() == Ok(value.abs()) {
            *text = longer;
        }
    });
}

/// `Float.toString`.
pub(crate) fn push_float(out: &mut Vec<u8>, value: f32) {
    push_real(out, f64::from(value), |text| {
        use std::fmt::Write;
        let _ = write!(text, "{:e}", value.abs());
        let longer = format!("{:.1e}", value.abs());
        if text.find('e') == Some(1) && longer.parse() == Ok(value.abs()) {
            *text = longer;
        }
    });
}

fn push_real(out: &mut Vec<u8>, value: f64, write: impl FnOnce(&mut String)) {
    if value.is_nan() {
        return out.extend(b"NaN");
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    if value.is_infinite() {
        return out.extend(b"Infinity");
    }
    if value == 0.0 {
        return out.extend(b"0.0");
    }
    let mut text = String::new();
    write(&mut text);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mut digits: Vec<u8> = mantissa.bytes().filter(|b| *b != b'.').collect();
    if digits.len() == 2 && digits[1] == b'0' {
        digits.pop();
    }
    if (-3..7).contains(&exponent) {
        if exponent < 0 {
            out.extend(b"0.");
            out.extend(std::iter::repeat_n(b'0', (-exponent - 1) as usize));
            out.extend(&digits);
            return;
        }
        let whole = exponent as usize + 1;
        for index in 0..whole {
            out.push(digits.get(index).copied().unwrap_or(b'0'));
        }
        out.push(b'.');
        match digits.get(whole..) {
            Some(rest) if !rest.is_empty() => out.extend(rest),
            _ => out.push(b'0'),
        }
        return;
    }
    out.push(digits[0]);
    out.push(b'.');
    if digits.len() > 1 {
        out.extend(&digits[1..])
    } else {
        out.push(b'0')
    }
    out.push(b'E');
    out.extend(exponent.to_string().bytes());
}

#[cfg(test)]
mod tests {
    use super::same_bytes;

    #[test]
    fn texts_that_differ_in_one_place_are_not_the_same() {
        for length in 0..40 {
            let text: Vec<u8> = (0..length).collect();
            assert!(same_bytes(&text, &text.clone()));
            for at in 0..text.len() {
                let mut other = text.clone();
                other[at] ^= 1;
                assert!(!same_bytes(&text, &other), "{length} {at}");
            }
        }
    }
}
