//! One Java value in sixteen bytes.

/// A value as a rule sees it. Small values are held in place, the rest are indices into the
/// session's heap. Boxed and primitive numbers are the same here; the compiler
/// keeps them apart by static type.
#[derive(Clone, Copy, Debug, Default)]
pub enum Value {
    /// `null`.
    #[default]
    Null,
    /// `boolean`.
    Boolean(bool),
    /// `char`, one UTF-16 unit.
    Character(u16),
    /// `byte`.
    Byte(i8),
    /// `short`.
    Short(i16),
    /// `int`.
    Integer(i32),
    /// `long`.
    Long(i64),
    /// `float`.
    Float(f32),
    /// `double`.
    Double(f64),
    /// `String`.
    String(Text),
    /// A `java.util.List`.
    List(u32),
    /// An array; its storage is a list's.
    Array(u32),
    /// A `java.util.Map`.
    Map(u32),
    /// A `java.util.Set`; its storage is a map's keys.
    Set(u32),
    /// An instance of a declared type.
    Instance(u32),
    /// Anything rarer.
    Other(u32),
}

/// A string in the heap's text: its offset and, below, its length, as one number, so that a place is compared
/// and copied at once. The top bit of the length is set when the text is not all ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Text(u64);

const NOT_ASCII: u32 = 1 << 31;

impl Text {
    pub(crate) fn new(offset: usize, bytes: &[u8]) -> Self {
        let flag = if bytes.is_ascii() { 0 } else { NOT_ASCII };
        Self(u64::from(offset as u32) << 32 | u64::from(bytes.len() as u32 | flag))
    }

    /// A text that is known to be ASCII.
    pub(crate) fn ascii(offset: usize, length: usize) -> Self {
        Self(u64::from(offset as u32) << 32 | u64::from(length as u32))
    }

    pub(super) fn offset(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Bytes, with the top bit set when the text is not all ASCII: unequal for texts that differ in either.
    pub(super) fn length(self) -> u32 {
        self.0 as u32
    }

    pub(crate) fn bytes_len(self) -> usize {
        (self.length() & !NOT_ASCII) as usize
    }

    pub(crate) fn is_ascii(self) -> bool {
        self.length() & NOT_ASCII == 0
    }

    /// The part of an ASCII text.
    pub(crate) fn slice_ascii(self, start: usize, end: usize) -> Self {
        Self::ascii(self.offset() as usize + start, end - start)
    }
}

impl Value {
    /// The value as a tag and 64 bits, for the registers of the machine: apart they are written and read
    /// in one width each, which processors forward from store to load.
    #[inline(always)]
    pub(crate) fn encode(self) -> (u8, u64) {
        (self.tag(), self.bits())
    }

    /// What kind of value it is: the variant's number, which compilers take from the value as it is.
    #[inline(always)]
    pub(crate) fn tag(self) -> u8 {
        match self {
            Value::Null => 0,
            Value::Boolean(_) => 1,
            Value::Character(_) => 2,
            Value::Byte(_) => 3,
            Value::Short(_) => 4,
            Value::Integer(_) => 5,
            Value::Long(_) => 6,
            Value::Float(_) => 7,
            Value::Double(_) => 8,
            Value::String(_) => 9,
            Value::List(_) => 10,
            Value::Array(_) => 11,
            Value::Map(_) => 12,
            Value::Set(_) => 13,
            Value::Instance(_) => 14,
            Value::Other(_) => 15,
        }
    }

    /// The value's content, extended with zeros, so that all variants of one width are read alike.
    #[inline(always)]
    pub(crate) fn bits(self) -> u64 {
        match self {
            Value::Null => 0,
            Value::Boolean(v) => v.into(),
            Value::Byte(v) => (v as u8).into(),
            Value::Character(v) => v.into(),
            Value::Short(v) => (v as u16).into(),
            Value::Integer(v) => (v as u32).into(),
            Value::Float(v) => v.to_bits().into(),
            Value::List(v) | Value::Array(v) | Value::Map(v) | Value::Set(v) | Value::Instance(v) | Value::Other(v) => {
                v.into()
            }
            Value::Long(v) => v as u64,
            Value::Double(v) => v.to_bits(),
            Value::String(v) => v.0,
        }
    }

    /// The inverse of [`Value::encode`].
    #[inline(always)]
    pub(crate) fn decode(tag: u8, bits: u64) -> Self {
        match tag {
            0 => Value::Null,
            1 => Value::Boolean(bits != 0),
            2 => Value::Character(bits as u16),
            3 => Value::Byte(bits as i8),
            4 => Value::Short(bits as i16),
            5 => Value::Integer(bits as i32),
            6 => Value::Long(bits as i64),
            7 => Value::Float(f32::from_bits(bits as u32)),
            8 => Value::Double(f64::from_bits(bits)),
            9 => Value::String(Text(bits)),
            10 => Value::List(bits as u32),
            11 => Value::Array(bits as u32),
            12 => Value::Map(bits as u32),
            13 => Value::Set(bits as u32),
            14 => Value::Instance(bits as u32),
            _ => Value::Other(bits as u32),
        }
    }

    /// The value as a double, if it is a primitive number or a boxed one.
    pub(crate) fn as_double(self) -> Option<f64> {
        Some(match self {
            Value::Byte(v) => f64::from(v),
            Value::Short(v) => f64::from(v),
            Value::Integer(v) => f64::from(v),
            Value::Long(v) => v as f64,
            Value::Float(v) => f64::from(v),
            Value::Double(v) => v,
            _ => return None,
        })
    }

    /// The value as a long, if it is a whole number.
    pub(crate) fn as_long(self) -> Option<i64> {
        Some(match self {
            Value::Byte(v) => v.into(),
            Value::Short(v) => v.into(),
            Value::Integer(v) => v.into(),
            Value::Long(v) => v,
            _ => return None,
        })
    }

    /// Whether the value is `null`.
    pub fn is_null(self) -> bool {
        matches!(self, Value::Null)
    }

    /// `==` on references: the same object, or the same small boxed value. Boxed values outside
    /// Java's caches are distinct objects unless they are one variable, which the compiler sees.
    pub(crate) fn same_reference(self, other: Value) -> bool {
        let cached = |value: i64| (-128..128).contains(&value);
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Boolean(a), Value::Boolean(b)) => a == b,
            (Value::Character(a), Value::Character(b)) => a == b && a < 128,
            (Value::Byte(a), Value::Byte(b)) => a == b,
            (Value::Short(a), Value::Short(b)) => a == b && cached(a.into()),
            (Value::Integer(a), Value::Integer(b)) => a == b && cached(a.into()),
            (Value::Long(a), Value::Long(b)) => a == b && cached(a),
            _ => self.same_object(other),
        }
    }

    /// Whether equal content means the same object, as for all that Java does not box anew each time: `Integer` and
    /// `Long` are one object per value from -128 to 127 only (JLS 5.1.7).
    pub(crate) fn has_identity(self) -> bool {
        let small = -128..128;
        match self {
            Value::Null | Value::Float(_) | Value::Double(_) => false,
            Value::Character(value) => value < 128,
            Value::Short(value) => small.contains(&i64::from(value)),
            Value::Integer(value) => small.contains(&i64::from(value)),
            Value::Long(value) => small.contains(&value),
            // Empty strings share a place without being one.
            Value::String(text) => text.length() != 0,
            _ => true,
        }
    }

    /// The same object: equal small values count as one.
    pub(crate) fn same_object(self, other: Value) -> bool {
        self.encode() == other.encode()
    }
}
