//! Static types and the classes that rule files may name.

use std::collections::HashMap;
use std::sync::Arc;

/// A static type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Type {
    Void,
    Null,
    Boolean,
    Char,
    Byte,
    Short,
    Int,
    Long,
    Float,
    Double,
    /// A class with its type arguments, which are empty for raw types.
    Class(u16, Arc<[Type]>),
    Array(Arc<Type>),
}

impl Type {
    pub(crate) fn of(class: u16) -> Self {
        Type::Class(class, Arc::from([]))
    }

    pub(crate) fn with(class: u16, arguments: impl IntoIterator<Item = Type>) -> Self {
        Type::Class(class, arguments.into_iter().collect())
    }

    pub(crate) fn object() -> Self {
        Self::of(class::OBJECT)
    }

    pub(crate) fn string() -> Self {
        Self::of(class::STRING)
    }

    pub(crate) fn is_primitive(&self) -> bool {
        !matches!(self, Type::Void | Type::Null | Type::Class(..) | Type::Array(_))
    }

    pub(crate) fn is_reference(&self) -> bool {
        matches!(self, Type::Null | Type::Class(..) | Type::Array(_))
    }

    pub(crate) fn is_class(&self, class: u16) -> bool {
        matches!(self, Type::Class(c, _) if *c == class)
    }

    pub(crate) fn class(&self) -> Option<u16> {
        match self {
            Type::Class(class, _) => Some(*class),
            _ => None,
        }
    }

    /// A type argument, `Object` where there is none.
    pub(crate) fn argument(&self, index: usize) -> Type {
        match self {
            Type::Class(_, arguments) => arguments.get(index).cloned().unwrap_or_else(Type::object),
            _ => Type::object(),
        }
    }

    /// The primitive type that this one is or unboxes to.
    pub(crate) fn unboxed(&self) -> Option<Type> {
        Some(match self {
            Type::Class(class, _) => match *class {
                class::BOOLEAN => Type::Boolean,
                class::CHARACTER => Type::Char,
                class::BYTE => Type::Byte,
                class::SHORT => Type::Short,
                class::INTEGER => Type::Int,
                class::LONG => Type::Long,
                class::FLOAT => Type::Float,
                class::DOUBLE => Type::Double,
                _ => return None,
            },
            primitive if primitive.is_primitive() => primitive.clone(),
            _ => return None,
        })
    }

    /// The class that a primitive type boxes to; other types as they are.
    pub(crate) fn boxed(&self) -> Type {
        Type::of(match self {
            Type::Boolean => class::BOOLEAN,
            Type::Char => class::CHARACTER,
            Type::Byte => class::BYTE,
            Type::Short => class::SHORT,
            Type::Int => class::INTEGER,
            Type::Long => class::LONG,
            Type::Float => class::FLOAT,
            Type::Double => class::DOUBLE,
            other => return other.clone(),
        })
    }

    /// Place among the numeric types, for promotion: a wider one has a higher place.
    pub(crate) fn rank(&self) -> Option<u8> {
        Some(match self {
            Type::Byte => 1,
            Type::Short => 2,
            Type::Char => 3,
            Type::Int => 4,
            Type::Long => 5,
            Type::Float => 6,
            Type::Double => 7,
            _ => return None,
        })
    }

    /// Whether the unboxed type is numeric.
    pub(crate) fn is_numeric(&self) -> bool {
        self.unboxed().is_some_and(|t| t.rank().is_some())
    }
}

/// What is known of a class.
#[derive(Clone, Debug)]
pub(crate) struct ClassInfo {
    /// With its package.
    pub(crate) name: Arc<str>,
    pub(crate) simple: Arc<str>,
    /// All superclasses and interfaces, transitively.
    pub(crate) ancestors: Vec<u16>,
    /// Fields of a declared type, inherited ones first.
    pub(crate) fields: Vec<FieldInfo>,
    /// How many of the fields are inherited.
    pub(crate) inherited: usize,
    /// Constants of an enum, in order.
    pub(crate) constants: Vec<Arc<str>>,
    pub(crate) is_enum: bool,
    pub(crate) is_declared: bool,
    pub(crate) class_reactive: bool,
}

/// A field of a declared type.
#[derive(Clone, Debug)]
pub(crate) struct FieldInfo {
    pub(crate) name: Arc<str>,
    pub(crate) ty: Type,
    pub(crate) key: bool,
}

macro_rules! classes {
    ($($name:ident = $full:literal : [$($parent:ident),*];)*) => {
        /// Indices of the built-in classes.
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        mod index { #[repr(u16)] pub(super) enum Index { $($name),* } }
        pub(crate) mod class { $(pub(crate) const $name: u16 = super::index::Index::$name as u16;)* }
        const BUILT_IN: &[(&str, &[u16])] = &[$(($full, &[$(class::$parent),*])),*];
    };
}

classes! {
    OBJECT = "java.lang.Object": [];
    COMPARABLE = "java.lang.Comparable": [OBJECT];
    NUMBER = "java.lang.Number": [OBJECT];
    BOOLEAN = "java.lang.Boolean": [OBJECT, COMPARABLE];
    CHARACTER = "java.lang.Character": [OBJECT, COMPARABLE];
    BYTE = "java.lang.Byte": [NUMBER, COMPARABLE];
    SHORT = "java.lang.Short": [NUMBER, COMPARABLE];
    INTEGER = "java.lang.Integer": [NUMBER, COMPARABLE];
    LONG = "java.lang.Long": [NUMBER, COMPARABLE];
    FLOAT = "java.lang.Float": [NUMBER, COMPARABLE];
    DOUBLE = "java.lang.Double": [NUMBER, COMPARABLE];
    CHAR_SEQUENCE = "java.lang.CharSequence": [OBJECT];
    STRING = "java.lang.String": [CHAR_SEQUENCE, COMPARABLE];
    STRING_BUILDER = "java.lang.StringBuilder": [CHAR_SEQUENCE];
    STRING_BUFFER = "java.lang.StringBuffer": [STRING_BUILDER];
    MATH = "java.lang.Math": [OBJECT];
    SYSTEM = "java.lang.System": [OBJECT];
    PRINT_STREAM = "java.io.PrintStream": [OBJECT];
    CLASS = "java.lang.Class": [OBJECT];
    ITERABLE = "java.lang.Iterable": [OBJECT];
    ENUM = "java.lang.Enum": [COMPARABLE];
    FUNCTION = "java.util.function.Function": [OBJECT];
    COMPARATOR = "java.util.Comparator": [FUNCTION];
    COLLECTION = "java.util.Collection": [ITERABLE];
    LIST = "java.util.List": [COLLECTION];
    ARRAY_LIST = "java.util.ArrayList": [LIST];
    QUEUE = "java.util.Queue": [COLLECTION];
    DEQUE = "java.util.Deque": [QUEUE];
    LINKED_LIST = "java.util.LinkedList": [LIST, DEQUE];
    VECTOR = "java.util.Vector": [LIST];
    SET = "java.util.Set": [COLLECTION];
    HASH_SET = "java.util.HashSet": [SET];
    LINKED_HASH_SET = "java.util.LinkedHashSet": [HASH_SET];
    SORTED_SET = "java.util.SortedSet": [SET];
    TREE_SET = "java.util.TreeSet": [SORTED_SET];
    MAP = "java.util.Map": [OBJECT];
    HASH_MAP = "java.util.HashMap": [MAP];
    LINKED_HASH_MAP = "java.util.LinkedHashMap": [HASH_MAP];
    SORTED_MAP = "java.util.SortedMap": [MAP];
    TREE_MAP = "java.util.TreeMap": [SORTED_MAP];
    ENTRY = "java.util.Map.Entry": [OBJECT];
    ITERATOR = "java.util.Iterator": [OBJECT];
    COLLECTIONS = "java.util.Collections": [OBJECT];
    ARRAYS = "java.util.Arrays": [OBJECT];
    OBJECTS = "java.util.Objects": [OBJECT];
    OPTIONAL = "java.util.Optional": [OBJECT];
    STREAM = "java.util.stream.Stream": [OBJECT];
    COLLECTORS = "java.util.stream.Collectors": [OBJECT];
    DATE = "java.util.Date": [COMPARABLE];
    PATTERN = "java.util.regex.Pattern": [OBJECT];
    MATCHER = "java.util.regex.Matcher": [OBJECT];
    ATOMIC_INTEGER = "java.util.concurrent.atomic.AtomicInteger": [NUMBER];
    ATOMIC_LONG = "java.util.concurrent.atomic.AtomicLong": [NUMBER];
    TIME_UNIT = "java.util.concurrent.TimeUnit": [ENUM];
    BIG_DECIMAL = "java.math.BigDecimal": [NUMBER, COMPARABLE];
    BIG_INTEGER = "java.math.BigInteger": [NUMBER, COMPARABLE];
    ROUNDING_MODE = "java.math.RoundingMode": [ENUM];
    LOCAL_DATE = "java.time.LocalDate": [COMPARABLE];
    LOCAL_TIME = "java.time.LocalTime": [COMPARABLE];
    LOCAL_DATE_TIME = "java.time.LocalDateTime": [COMPARABLE];
    INSTANT = "java.time.Instant": [COMPARABLE];
    DURATION = "java.time.Duration": [COMPARABLE];
    PERIOD = "java.time.Period": [OBJECT];
    DAY_OF_WEEK = "java.time.DayOfWeek": [ENUM];
    MONTH = "java.time.Month": [ENUM];
    CHRONO_UNIT = "java.time.temporal.ChronoUnit": [ENUM];
    FORMATTER = "java.time.format.DateTimeFormatter": [OBJECT];
    THROWABLE = "java.lang.Throwable": [OBJECT];
    ERROR = "java.lang.Error": [THROWABLE];
    STACK_OVERFLOW = "java.lang.StackOverflowError": [ERROR];
    EXCEPTION = "java.lang.Exception": [THROWABLE];
    RUNTIME_EXCEPTION = "java.lang.RuntimeException": [EXCEPTION];
    ARITHMETIC_EXCEPTION = "java.lang.ArithmeticException": [RUNTIME_EXCEPTION];
    CLASS_CAST = "java.lang.ClassCastException": [RUNTIME_EXCEPTION];
    ILLEGAL_ARGUMENT = "java.lang.IllegalArgumentException": [RUNTIME_EXCEPTION];
    ILLEGAL_STATE = "java.lang.IllegalStateException": [RUNTIME_EXCEPTION];
    NUMBER_FORMAT = "java.lang.NumberFormatException": [ILLEGAL_ARGUMENT];
    INDEX_OUT_OF_BOUNDS = "java.lang.IndexOutOfBoundsException": [RUNTIME_EXCEPTION];
    STRING_INDEX = "java.lang.StringIndexOutOfBoundsException": [INDEX_OUT_OF_BOUNDS];
    ARRAY_INDEX = "java.lang.ArrayIndexOutOfBoundsException": [INDEX_OUT_OF_BOUNDS];
    NEGATIVE_SIZE = "java.lang.NegativeArraySizeException": [RUNTIME_EXCEPTION];
    NULL_POINTER = "java.lang.NullPointerException": [RUNTIME_EXCEPTION];
    UNSUPPORTED_OPERATION = "java.lang.UnsupportedOperationException": [RUNTIME_EXCEPTION];
    NO_SUCH_ELEMENT = "java.util.NoSuchElementException": [RUNTIME_EXCEPTION];
    CONCURRENT_MODIFICATION = "java.util.ConcurrentModificationException": [RUNTIME_EXCEPTION];
    DATE_TIME_EXCEPTION = "java.time.DateTimeException": [RUNTIME_EXCEPTION];
    DATE_TIME_PARSE = "java.time.format.DateTimeParseException": [DATE_TIME_EXCEPTION];
    PATTERN_SYNTAX = "java.util.regex.PatternSyntaxException": [ILLEGAL_ARGUMENT];
}

/// Functional interfaces share one run-time class, whatever their name.
const FUNCTIONAL: [&str; 14] = [
    "BiFunction",
    "Predicate",
    "BiPredicate",
    "Consumer",
    "BiConsumer",
    "Supplier",
    "UnaryOperator",
    "BinaryOperator",
    "ToIntFunction",
    "ToLongFunction",
    "ToDoubleFunction",
    "IntPredicate",
    "IntFunction",
    "DoubleUnaryOperator",
];

/// The names of the constants of built-in enums.
fn constants_of(class: u16) -> Vec<Arc<str>> {
    let names: &[&str] = match class {
        class::DAY_OF_WEEK => &["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"],
        class::MONTH => &[
            "JANUARY",
            "FEBRUARY",
            "MARCH",
            "APRIL",
            "MAY",
            "JUNE",
            "JULY",
            "AUGUST",
            "SEPTEMBER",
            "OCTOBER",
            "NOVEMBER",
            "DECEMBER",
        ],
        class::CHRONO_UNIT => &[
            "NANOS",
            "MICROS",
            "MILLIS",
            "SECONDS",
            "MINUTES",
            "HOURS",
            "HALF_DAYS",
            "DAYS",
            "WEEKS",
            "MONTHS",
            "YEARS",
            "DECADES",
            "CENTURIES",
        ],
        class::TIME_UNIT => &["NANOSECONDS", "MICROSECONDS", "MILLISECONDS", "SECONDS", "MINUTES", "HOURS", "DAYS"],
        class::ROUNDING_MODE => {
            return crate::decimal::ROUNDINGS.iter().map(|(name, _)| Arc::from(*name)).collect();
        }
        _ => &[],
    };
    names.iter().map(|name| Arc::from(*name)).collect()
}

/// All classes of a program: the built-in ones, then those that the rule file declares.
#[derive(Clone, Debug)]
pub(crate) struct Classes {
    list: Vec<ClassInfo>,
    /// Simple and full names in scope.
    names: HashMap<String, u16>,
}

impl Classes {
    /// The built-in classes; `java.lang` is in scope, other packages once imported.
    pub(crate) fn new() -> Self {
        let mut classes = Self { list: Vec::with_capacity(BUILT_IN.len() + 8), names: HashMap::new() };
        for (index, (full, parents)) in BUILT_IN.iter().enumerate() {
            let simple = full.rsplit('.').next().unwrap_or(full);
            let mut ancestors = Vec::new();
            for parent in *parents {
                ancestors.push(*parent);
                ancestors.extend(&classes.list[*parent as usize].ancestors);
            }
            let constants = constants_of(index as u16);
            classes.list.push(ClassInfo {
                name: if index as u16 == class::ENTRY { "java.util.Map$Entry".into() } else { Arc::from(*full) },
                simple: simple.into(),
                ancestors,
                fields: Vec::new(),
                inherited: 0,
                is_enum: !constants.is_empty(),
                constants,
                is_declared: false,
                class_reactive: false,
            });
            classes.names.insert((*full).to_owned(), index as u16);
            if full.strip_prefix("java.lang.").is_some_and(|rest| !rest.contains('.')) {
                classes.names.insert(simple.to_owned(), index as u16);
            }
        }
        classes.names.insert("Map.Entry".to_owned(), class::ENTRY);
        classes
    }

    /// Brings a class or, with `.*`, a package into scope. False if there is nothing of that name.
    pub(crate) fn import(&mut self, path: &str) -> bool {
        if let Some(package) = path.strip_suffix(".*") {
            let mut found =
                matches!(package, "java.io" | "java.text" | "java.util.concurrent") || package == "java.lang";
            for (index, (full, _)) in BUILT_IN.iter().enumerate() {
                if let Some(simple) = full.strip_prefix(package).and_then(|rest| rest.strip_prefix('.')) {
                    found = true;
                    if !simple.contains('.') {
                        self.names.entry(simple.to_owned()).or_insert(index as u16);
                    }
                }
            }
            if package == "java.util.Map" {
                self.names.insert("Entry".to_owned(), class::ENTRY);
                found = true;
            }
            if package == "java.util.function" {
                FUNCTIONAL.iter().for_each(|name| {
                    self.names.insert((*name).to_owned(), class::FUNCTION);
                });
            }
            return found;
        }
        let simple = path.rsplit('.').next().unwrap_or(path);
        let functional = path.strip_prefix("java.util.function.").is_some_and(|name| FUNCTIONAL.contains(&name));
        let found = if functional { Some(class::FUNCTION) } else { self.names.get(path).copied() };
        if let Some(class) = found {
            self.names.insert(simple.to_owned(), class);
        }
        found.is_some()
    }

    /// Adds a declared type, without its fields. False if the name is taken.
    pub(crate) fn declare(
        &mut self,
        name: &str,
        package: &str,
        parent: Option<u16>,
        declaration: Declared,
    ) -> Option<u16> {
        let class = self.list.len() as u16;
        let full = if package.is_empty() { name.to_owned() } else { format!("{package}.{name}") };
        if self.names.get(&full).is_some_and(|taken| self.list[*taken as usize].is_declared) {
            return None;
        }
        let parent = parent.unwrap_or(if declaration.is_enum { class::ENUM } else { class::OBJECT });
        let mut ancestors = vec![parent];
        ancestors.extend(&self.list[parent as usize].ancestors);
        self.list.push(ClassInfo {
            name: full.as_str().into(),
            simple: name.into(),
            ancestors,
            fields: Vec::new(),
            inherited: 0,
            constants: declaration.constants,
            is_enum: declaration.is_enum,
            is_declared: true,
            class_reactive: declaration.class_reactive,
        });
        self.names.insert(full, class);
        self.names.insert(name.to_owned(), class);
        Some(class)
    }

    pub(crate) fn find(&self, name: &str) -> Option<u16> {
        self.names.get(name).copied()
    }

    pub(crate) fn get(&self, class: u16) -> &ClassInfo {
        &self.list[class as usize]
    }

    pub(crate) fn get_mut(&mut self, class: u16) -> &mut ClassInfo {
        &mut self.list[class as usize]
    }

    pub(crate) fn is_subclass(&self, class: u16, of: u16) -> bool {
        class == of || of == class::OBJECT || self.list[class as usize].ancestors.contains(&of)
    }

    pub(crate) fn list(&self) -> &[ClassInfo] {
        &self.list
    }

    /// The type as a rule file would write it.
    pub(crate) fn show(&self, ty: &Type) -> String {
        match ty {
            Type::Void => "void".to_owned(),
            Type::Null => "null".to_owned(),
            Type::Boolean => "boolean".to_owned(),
            Type::Char => "char".to_owned(),
            Type::Byte => "byte".to_owned(),
            Type::Short => "short".to_owned(),
            Type::Int => "int".to_owned(),
            Type::Long => "long".to_owned(),
            Type::Float => "float".to_owned(),
            Type::Double => "double".to_owned(),
            Type::Class(class, arguments) if arguments.is_empty() => self.get(*class).simple.to_string(),
            Type::Class(class, arguments) => {
                let arguments: Vec<String> = arguments.iter().map(|argument| self.show(argument)).collect();
                format!("{}<{}>", self.get(*class).simple, arguments.join(", "))
            }
            Type::Array(element) => format!("{}[]", self.show(element)),
        }
    }
}

/// What a declaration says besides its name and fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Declared {
    pub(crate) constants: Vec<Arc<str>>,
    pub(crate) is_enum: bool,
    pub(crate) class_reactive: bool,
}
