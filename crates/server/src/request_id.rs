//! Request ids: the caller's own, or one of ours.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header, both ways.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Longer ones are replaced.
const LONGEST: usize = 128;

/// The caller's id if it is one that may stand in a log line; otherwise a new one, unique across processes.
pub(crate) fn of(headers: &HeaderMap) -> HeaderValue {
    match headers.get(&HEADER) {
        Some(value) if is_plain(value.as_bytes()) => value.clone(),
        _ => made(),
    }
}

fn is_plain(value: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    !value.is_empty() && value.len() <= LONGEST && value.iter().all(plain)
}

fn made() -> HeaderValue {
    HeaderValue::from_bytes(&bytes()).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

/// A text that no other call of this or another process returns.
pub(crate) fn unique() -> String {
    String::from_utf8_lossy(&bytes()).into_owned()
}

fn bytes() -> [u8; 33] {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut text = [b'-'; 33];
    let halves = [(0, *PROCESS), (17, NEXT.fetch_add(1, Ordering::Relaxed))];
    for (start, number) in halves {
        for (index, byte) in text[start..start + 16].iter_mut().enumerate() {
            *byte = b"0123456789abcdef"[(number >> (60 - 4 * index)) as usize & 15];
        }
    }
    text
}
