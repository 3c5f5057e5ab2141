//! Dates and times.

use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, Span, ToSpan};

use super::Table;
use super::object::int;
use super::string::utf8;
use crate::heap::{Heap, Other, Value};
use crate::machine::{Machine, Outcome};
use crate::types::class;

pub(super) fn register(table: &mut Table) {
    register_date(table);
    register_date_time(table);
    register_others(table);
}

fn date(heap: &Heap, value: Value) -> Option<Date> {
    match value {
        Value::Other(other) => match heap.other(other) {
            Other::Date(date) => Some(*date),
            Other::DateTime(date_time) => Some(date_time.date()),
            _ => None,
        },
        _ => None,
    }
}

fn date_time(heap: &Heap, value: Value) -> Option<DateTime> {
    match value {
        Value::Other(other) => match heap.other(other) {
            Other::DateTime(date_time) => Some(*date_time),
            Other::Date(date) => Some(date.to_datetime(Time::midnight())),
            Other::Time(time) => Some(Date::constant(1970, 1, 1).to_datetime(*time)),
            _ => None,
        },
        _ => None,
    }
}

fn need<T>(machine: &mut Machine<'_>, value: Option<T>) -> Outcome<T> {
    value.ok_or_else(|| machine.null_pointer("the date is null"))
}

fn make(machine: &mut Machine<'_>, made: Result<Other, jiff::Error>) -> Outcome<Value> {
    match made {
        Ok(other) => Ok(machine.heap.new_other(other)),
        Err(error) => Err(machine.exception(class::DATE_TIME_EXCEPTION, Some(&error.to_string()))),
    }
}

fn parse<T>(
    machine: &mut Machine<'_>,
    text: Value,
    read: impl Fn(&str) -> Option<T>,
    wrap: fn(T) -> Other,
) -> Outcome<Value> {
    if text.is_null() {
        return Err(machine.null_pointer("the text is null"));
    }
    let text = utf8(&machine.heap, text);
    match read(&text) {
        Some(value) => Ok(machine.heap.new_other(wrap(value))),
        None => {
            let message = format!("Text '{text}' could not be parsed at index 0");
            Err(machine.exception(class::DATE_TIME_PARSE, Some(&message)))
        }
    }
}

fn read_date(text: &str) -> Option<Date> {
    let shaped = text.len() == 10 && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
    if shaped { text.parse().ok() } else { None }
}

fn read_date_time(text: &str) -> Option<DateTime> {
    let (day, time) = text.split_once('T')?;
    Some(read_date(day)?.to_datetime(read_time(time)?))
}

fn read_time(text: &str) -> Option<Time> {
    let valid = text.len() >= 5 && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.'));
    if valid { text.parse().ok() } else { None }
}

/// Adds a span to whatever kind of date or time the value is.
fn shift(machine: &mut Machine<'_>, value: Value, span: Span) -> Outcome<Value> {
    let made = match value {
        Value::Other(other) => match machine.heap.other(other) {
            Other::Date(date) => date.checked_add(span).map(Other::Date),
            Other::DateTime(date_time) => date_time.checked_add(span).map(Other::DateTime),
            Other::Time(time) => Ok(Other::Time(time.wrapping_add(span))),
            other => Ok(other.clone()),
        },
        _ => return Err(machine.null_pointer("the date is null")),
    };
    make(machine, made)
}

/// A span of one unit; out-of-range amounts saturate and fail when they are added.
fn span_of(unit: &str, amount: i64) -> Span {
    let clamp = |most: i64| amount.clamp(-most, most);
    match unit {
        "Years" | "YEARS" => clamp(19_998).years(),
        "Months" | "MONTHS" => clamp(239_976).months(),
        "Weeks" | "WEEKS" => clamp(1_043_497).weeks(),
        "Days" | "DAYS" => clamp(7_304_484).days(),
        "Hours" | "HOURS" => clamp(175_307_616).hours(),
        "Minutes" | "MINUTES" => clamp(10_518_456_960).minutes(),
        "Seconds" | "SECONDS" => clamp(631_107_417_600).seconds(),
        "MICROS" => clamp(631_107_417_600_000_000).microseconds(),
        "HALF_DAYS" => clamp(14_608_968).saturating_mul(12).hours(),
        "DECADES" => clamp(1_999).saturating_mul(10).years(),
        "CENTURIES" => clamp(199).saturating_mul(100).years(),
        "MILLIS" => clamp(631_107_417_600_000).milliseconds(),
        _ => clamp(i64::MAX).nanoseconds(),
    }
}

macro_rules! shifts {
    ($table:expr, $class:expr, [$($unit:literal),*]) => {$(
        $table.add($class, concat!("this plus", $unit, "(long)"), |m, a| shift(m, a[0], span_of($unit, a[1].as_long().unwrap_or(0))));
        $table.add($class, concat!("this minus", $unit, "(long)"), |m, a| {
            shift(m, a[0], span_of($unit, a[1].as_long().unwrap_or(0).saturating_neg()))
        });
    )*};
}

macro_rules! reads {
    ($table:expr, $class:expr, $read:ident, [$($signature:literal => $field:expr),* $(,)?]) => {$(
        $table.add($class, $signature, |m, a| {
            let value = $read(&m.heap, a[0]);
            let value = need(m, value)?;
            Ok(Value::Integer(i32::from(($field)(value))))
        });
    )*};
}

fn register_date(table: &mut Table) {
    let c = class::LOCAL_DATE;
    table.add(c, "static LocalDate parse(CharSequence)", |m, a| parse(m, a[0], read_date, Other::Date));
    table.add(c, "static LocalDate parse(CharSequence, DateTimeFormatter)", |m, a| {
        let pattern = pattern_of(m, a[1]);
        parse(m, a[0], |text| Date::strptime(&pattern, text).ok(), Other::Date)
    });
    table.add(c, "static LocalDate of(int, int, int)", |m, a| {
        let made = Date::new(small::<i16>(a[0]), small::<i8>(a[1]), small::<i8>(a[2])).map(Other::Date);
        make(m, made)
    });
    table.add(c, "static LocalDate now()", |m, _| {
        let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
        Ok(m.heap.new_other(Other::Date(today)))
    });
    table.add(c, "static LocalDate ofEpochDay(long)", |m, a| {
        let made =
            Date::constant(1970, 1, 1).checked_add(span_of("DAYS", a[0].as_long().unwrap_or(0))).map(Other::Date);
        make(m, made)
    });
    table.add(c, "long toEpochDay()", |m, a| {
        let day = date(&m.heap, a[0]);
        Ok(Value::Long(days(Date::constant(1970, 1, 1), need(m, day)?)))
    });
    table.add(c, "int lengthOfMonth()", |m, a| {
        let day = date(&m.heap, a[0]);
        Ok(Value::Integer(need(m, day)?.days_in_month().into()))
    });
    table.add(c, "boolean isLeapYear()", |m, a| {
        let day = date(&m.heap, a[0]);
        Ok(Value::Boolean(need(m, day)?.in_leap_year()))
    });
    table.add(c, "LocalDateTime atStartOfDay()", |m, a| {
        let at = date_time(&m.heap, a[0]);
        let at = need(m, at)?;
        Ok(m.heap.new_other(Other::DateTime(at)))
    });
    table.add(c, "LocalDateTime atTime(int, int)", |m, a| {
        let day = date(&m.heap, a[0]);
        let day = need(m, day)?;
        let made =
            Time::new(small::<i8>(a[1]), small::<i8>(a[2]), 0, 0).map(|time| Other::DateTime(day.to_datetime(time)));
        make(m, made)
    });
    table.add(c, "LocalDate withDayOfMonth(int)", |m, a| {
        let day = date(&m.heap, a[0]);
        let day = need(m, day)?;
        let made = Date::new(day.year(), day.month(), small::<i8>(a[1])).map(Other::Date);
        make(m, made)
    });
    shifts!(table, c, ["Days", "Weeks", "Months", "Years"]);
    table.add(c, "Period until(LocalDate)", |m, a| between(m, a[0], a[1]));
    table.add(c, "long until(Object, ChronoUnit)", |m, a| units_between(m, a[2], a[0], a[1]));
}

fn register_date_time(table: &mut Table) {
    let c = class::LOCAL_DATE_TIME;
    table.add(c, "static LocalDateTime parse(CharSequence)", |m, a| parse(m, a[0], read_date_time, Other::DateTime));
    table.add(c, "static LocalDateTime parse(CharSequence, DateTimeFormatter)", |m, a| {
        let pattern = pattern_of(m, a[1]);
        parse(m, a[0], |text| DateTime::strptime(&pattern, text).ok(), Other::DateTime)
    });
    for signature in
        ["static LocalDateTime of(int, int, int, int, int)", "static LocalDateTime of(int, int, int, int, int, int)"]
    {
        table.add(c, signature, |m, a| {
            let part = |index: usize| a.get(index).map_or(0, |value| small::<i8>(*value));
            let made =
                DateTime::new(small::<i16>(a[0]), part(1), part(2), part(3), part(4), part(5), 0).map(Other::DateTime);
            make(m, made)
        });
    }
    table.add(c, "static LocalDateTime now()", |m, _| {
        let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).datetime();
        Ok(m.heap.new_other(Other::DateTime(now)))
    });
    table.add(c, "LocalDate toLocalDate()", |m, a| {
        let day = date(&m.heap, a[0]);
        let day = need(m, day)?;
        Ok(m.heap.new_other(Other::Date(day)))
    });
    table.add(c, "LocalTime toLocalTime()", |m, a| {
        let at = date_time(&m.heap, a[0]);
        let at = need(m, at)?;
        Ok(m.heap.new_other(Other::Time(at.time())))
    });
    shifts!(table, c, ["Seconds", "Minutes", "Hours", "Days", "Weeks", "Months", "Years"]);
    let t = class::LOCAL_TIME;
    table.add(t, "static LocalTime parse(CharSequence)", |m, a| parse(m, a[0], read_time, Other::Time));
    table.add(t, "static LocalTime of(int, int)", |m, a| {
        let made = Time::new(small::<i8>(a[0]), small::<i8>(a[1]), 0, 0).map(Other::Time);
        make(m, made)
    });
    table.add(t, "static LocalTime MIDNIGHT()", |m, _| Ok(m.heap.new_other(Other::Time(Time::midnight()))));
    table.add(t, "static LocalTime MIN()", |m, _| Ok(m.heap.new_other(Other::Time(Time::midnight()))));
    shifts!(table, t, ["Seconds", "Minutes", "Hours"]);
    for c in [class::LOCAL_DATE, class::LOCAL_DATE_TIME, class::LOCAL_TIME] {
        register_comparisons(table, c);
    }
}

fn register_comparisons(table: &mut Table, c: u16) {
    reads!(table, c, date_time, [
        "int getYear()" => |d: DateTime| d.year(),
        "int getMonthValue()" => |d: DateTime| d.month(),
        "int getDayOfMonth()" => |d: DateTime| d.day(),
        "int getDayOfYear()" => |d: DateTime| d.date().day_of_year(),
        "int getHour()" => |d: DateTime| d.hour(),
        "int getMinute()" => |d: DateTime| d.minute(),
        "int getSecond()" => |d: DateTime| d.second(),
    ]);
    table.add(c, "DayOfWeek getDayOfWeek()", |m, a| {
        let at = date_time(&m.heap, a[0]);
        let ordinal = need(m, at)?.weekday().to_monday_zero_offset() as u8;
        Ok(m.heap.new_other(Other::Constant { class: class::DAY_OF_WEEK, ordinal }))
    });
    table.add(c, "Month getMonth()", |m, a| {
        let at = date_time(&m.heap, a[0]);
        let ordinal = need(m, at)?.month() as u8 - 1;
        Ok(m.heap.new_other(Other::Constant { class: class::MONTH, ordinal }))
    });
    table.add(c, "boolean isBefore(Object)", |m, a| ordered(m, a, |order| order < 0));
    table.add(c, "boolean isAfter(Object)", |m, a| ordered(m, a, |order| order > 0));
    table.add(c, "boolean isEqual(Object)", |m, a| ordered(m, a, |order| order == 0));
    table.add(c, "this plus(Object)", |m, a| {
        let span = amount(m, a[1])?;
        shift(m, a[0], span)
    });
    table.add(c, "this minus(Object)", |m, a| {
        let span = amount(m, a[1])?;
        shift(m, a[0], span.negate())
    });
    table.add(c, "this plus(long, ChronoUnit)", |m, a| {
        let unit = m.heap.to_text(a[2]);
        let name = unit_name(m, a[2]).unwrap_or(unit);
        shift(m, a[0], span_of(&name, a[1].as_long().unwrap_or(0)))
    });
    table.add(c, "String format(DateTimeFormatter)", |m, a| {
        let at = date_time(&m.heap, a[0]);
        let at = need(m, at)?;
        let pattern = pattern_of(m, a[1]);
        let text = at.strftime(&pattern).to_string();
        Ok(m.heap.new_string(text.as_bytes()))
    });
}

fn ordered(machine: &mut Machine<'_>, arguments: &[Value], holds: fn(i32) -> bool) -> Outcome<Value> {
    match machine.heap.compare(arguments[0], arguments[1]) {
        Some(order) => Ok(Value::Boolean(holds(order))),
        None => Err(machine.null_pointer("the date is null")),
    }
}

/// A `Duration` or `Period` as a span.
fn amount(machine: &mut Machine<'_>, value: Value) -> Outcome<Span> {
    if let Value::Other(other) = value {
        match machine.heap.other(other) {
            Other::Duration(duration) => {
                let seconds = Span::new().try_seconds(duration.as_secs());
                let span = seconds.and_then(|span| span.try_nanoseconds(i64::from(duration.subsec_nanos())));
                return span.map_err(|error| out_of_range(machine, &error));
            }
            Other::Period(years, months, days) => {
                let span = Span::new().try_years(*years).and_then(|span| span.try_months(*months));
                let span = span.and_then(|span| span.try_days(*days));
                return span.map_err(|error| out_of_range(machine, &error));
            }
            _ => {}
        }
    }
    Err(machine.null_pointer("the amount is null"))
}

fn out_of_range(machine: &mut Machine<'_>, error: &jiff::Error) -> crate::machine::Throw {
    machine.exception(class::DATE_TIME_EXCEPTION, Some(&error.to_string()))
}

/// A part of a date in the type that the calendar takes; what does not fit is no valid date either way.
fn small<T: TryFrom<i32> + Bounded>(value: Value) -> T {
    T::try_from(int(value)).unwrap_or(T::LARGEST)
}

/// Types with a largest value, which no part of a date may have.
trait Bounded {
    const LARGEST: Self;
}

impl Bounded for i8 {
    const LARGEST: Self = i8::MAX;
}

impl Bounded for i16 {
    const LARGEST: Self = i16::MAX;
}

fn unit_name(machine: &Machine<'_>, value: Value) -> Option<String> {
    let Value::Other(other) = value else {
        return None;
    };
    let Other::Constant { class, ordinal } = machine.heap.other(other) else {
        return None;
    };
    let name = &machine.program.classes[usize::from(*class)].constants[usize::from(*ordinal)];
    Some(match &**name {
        "MILLISECONDS" => "MILLIS".to_owned(),
        name => name.to_owned(),
    })
}

fn days(from: Date, to: Date) -> i64 {
    from.duration_until(to).as_hours() / 24
}

fn between(machine: &mut Machine<'_>, from: Value, to: Value) -> Outcome<Value> {
    let (from, to) = (date(&machine.heap, from), date(&machine.heap, to));
    let (from, to) = (need(machine, from)?, need(machine, to)?);
    let span = from.until((jiff::Unit::Year, to)).unwrap_or_default();
    let period = Other::Period(span.get_years().into(), span.get_months(), span.get_days());
    Ok(machine.heap.new_other(period))
}

fn register_others(table: &mut Table) {
    table.add(class::DURATION, "static Duration between(Object, Object)", |m, a| {
        let (from, to) = (moment(m, a[0])?, moment(m, a[1])?);
        Ok(m.heap.new_other(Other::Duration(from.duration_until(to))))
    });
    macro_rules! durations {
        ($($make:literal, $read:literal, $seconds:literal);*) => {$(
            table.add(class::DURATION, concat!("static Duration of", $make, "(long)"), |m, a| {
                let seconds = a[0].as_long().unwrap_or(0).saturating_mul($seconds);
                Ok(m.heap.new_other(Other::Duration(SignedDuration::from_secs(seconds))))
            });
            table.add(class::DURATION, concat!("long ", $read, "()"), |m, a| {
                Ok(Value::Long(duration(m, a[0]).as_secs() / $seconds))
            });
        )*};
    }
    durations!("Days", "toDays", 86_400; "Hours", "toHours", 3_600; "Minutes", "toMinutes", 60; "Seconds", "getSeconds", 1);
    table.add(class::DURATION, "long toMillis()", |m, a| Ok(Value::Long(duration(m, a[0]).as_millis() as i64)));
    table.add(class::DURATION, "static Duration ZERO()", |m, _| {
        Ok(m.heap.new_other(Other::Duration(SignedDuration::ZERO)))
    });
    table.add(class::PERIOD, "static Period between(LocalDate, LocalDate)", |m, a| between(m, a[0], a[1]));
    table.add(class::PERIOD, "static Period ofDays(int)", |m, a| Ok(m.heap.new_other(Other::Period(0, 0, int(a[0])))));
    table
        .add(class::PERIOD, "static Period ofMonths(int)", |m, a| Ok(m.heap.new_other(Other::Period(0, int(a[0]), 0))));
    table.add(class::PERIOD, "static Period ofYears(int)", |m, a| Ok(m.heap.new_other(Other::Period(int(a[0]), 0, 0))));
    table.add(class::PERIOD, "int getYears()", |m, a| Ok(Value::Integer(period(m, a[0]).0)));
    table.add(class::PERIOD, "int getMonths()", |m, a| Ok(Value::Integer(period(m, a[0]).1)));
    table.add(class::PERIOD, "int getDays()", |m, a| Ok(Value::Integer(period(m, a[0]).2)));
    table.add(class::CHRONO_UNIT, "long between(Object, Object)", |m, a| units_between(m, a[0], a[1], a[2]));
    let c = class::DATE;
    table.add(c, "static Date new()", |m, _| {
        let milliseconds = jiff::Timestamp::now().as_millisecond();
        Ok(m.heap.new_other(Other::Instant { milliseconds, is_date: true }))
    });
    table.add(c, "static Date new(long)", |m, a| {
        Ok(m.heap.new_other(Other::Instant { milliseconds: a[0].as_long().unwrap_or(0), is_date: true }))
    });
    for c in [class::DATE, class::INSTANT] {
        table.add(c, if c == class::DATE { "long getTime()" } else { "long toEpochMilli()" }, |m, a| {
            Ok(Value::Long(milliseconds(m, a[0])))
        });
        let (before, after) = if c == class::DATE {
            ("boolean before(Object)", "boolean after(Object)")
        } else {
            ("boolean isBefore(Object)", "boolean isAfter(Object)")
        };
        table.add(c, before, |m, a| ordered(m, a, |order| order < 0));
        table.add(c, after, |m, a| ordered(m, a, |order| order > 0));
    }
    table.add(class::INSTANT, "static Instant parse(CharSequence)", |m, a| {
        parse(
            m,
            a[0],
            |text| text.parse::<jiff::Timestamp>().ok(),
            |at| Other::Instant { milliseconds: at.as_millisecond(), is_date: false },
        )
    });
    table.add(class::INSTANT, "static Instant ofEpochMilli(long)", |m, a| {
        Ok(m.heap.new_other(Other::Instant { milliseconds: a[0].as_long().unwrap_or(0), is_date: false }))
    });
    table.add(class::FORMATTER, "static DateTimeFormatter ofPattern(String)", |m, a| {
        let pattern = utf8(&m.heap, a[0]);
        match strftime_pattern(&pattern) {
            Some(pattern) => Ok(m.heap.new_other(Other::Formatter(pattern.into()))),
            None => Err(m.exception(class::ILLEGAL_ARGUMENT, Some(&format!("Unsupported pattern: {pattern}")))),
        }
    });
    for (signature, pattern) in [
        ("static DateTimeFormatter ISO_LOCAL_DATE()", 0),
        ("static DateTimeFormatter ISO_DATE()", 0),
        ("static DateTimeFormatter ISO_LOCAL_DATE_TIME()", 1),
        ("static DateTimeFormatter ISO_DATE_TIME()", 1),
        ("static DateTimeFormatter BASIC_ISO_DATE()", 2),
    ] {
        let run: super::Native = match pattern {
            0 => |m, _| Ok(m.heap.new_other(Other::Formatter("%Y-%m-%d".into()))),
            1 => |m, _| Ok(m.heap.new_other(Other::Formatter("%Y-%m-%dT%H:%M:%S".into()))),
            _ => |m, _| Ok(m.heap.new_other(Other::Formatter("%Y%m%d".into()))),
        };
        table.add(class::FORMATTER, signature, run);
    }
}

/// `unit.between(from, to)`: whole units, towards zero.
fn units_between(machine: &mut Machine<'_>, unit: Value, from: Value, to: Value) -> Outcome<Value> {
    let unit = unit_name(machine, unit).unwrap_or_default();
    let (from, to) = (moment(machine, from)?, moment(machine, to)?);
    let duration = from.duration_until(to);
    let months = || i64::from(from.until((jiff::Unit::Month, to)).unwrap_or_default().get_months());
    Ok(Value::Long(match unit.as_str() {
        "YEARS" => months() / 12,
        "MONTHS" => months(),
        "WEEKS" => duration.as_secs() / 604_800,
        "DAYS" => duration.as_secs() / 86_400,
        "HOURS" => duration.as_secs() / 3_600,
        "MINUTES" => duration.as_secs() / 60,
        "SECONDS" => duration.as_secs(),
        "MILLIS" => duration.as_millis() as i64,
        _ => duration.as_nanos() as i64,
    }))
}

fn moment(machine: &mut Machine<'_>, value: Value) -> Outcome<DateTime> {
    if let Value::Other(other) = value {
        if let Other::Instant { milliseconds, .. } = machine.heap.other(other) {
            if let Ok(at) = jiff::Timestamp::from_millisecond(*milliseconds) {
                return Ok(at.to_zoned(jiff::tz::TimeZone::UTC).datetime());
            }
        }
    }
    let at = date_time(&machine.heap, value);
    need(machine, at)
}

fn duration(machine: &Machine<'_>, value: Value) -> SignedDuration {
    match value {
        Value::Other(other) => match machine.heap.other(other) {
            Other::Duration(duration) => *duration,
            _ => SignedDuration::ZERO,
        },
        _ => SignedDuration::ZERO,
    }
}

fn period(machine: &Machine<'_>, value: Value) -> (i32, i32, i32) {
    match value {
        Value::Other(other) => match machine.heap.other(other) {
            Other::Period(years, months, days) => (*years, *months, *days),
            _ => (0, 0, 0),
        },
        _ => (0, 0, 0),
    }
}

fn milliseconds(machine: &Machine<'_>, value: Value) -> i64 {
    match value {
        Value::Other(other) => match machine.heap.other(other) {
            Other::Instant { milliseconds, .. } => *milliseconds,
            _ => 0,
        },
        _ => 0,
    }
}

fn pattern_of(machine: &Machine<'_>, value: Value) -> String {
    match value {
        Value::Other(other) => match machine.heap.other(other) {
            Other::Formatter(pattern) => pattern.to_string(),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

/// Java's pattern letters as `strftime` directives; nothing for letters that have none.
fn strftime_pattern(pattern: &str) -> Option<String> {
    let mut out = String::new();
    let characters: Vec<char> = pattern.chars().collect();
    let mut at = 0;
    while at < characters.len() {
        let letter = characters[at];
        if letter == '\'' {
            at += 1;
            while at < characters.len() && characters[at] != '\'' {
                out.push(characters[at]);
                at += 1;
            }
            at += 1;
            continue;
        }
        let count = characters[at..].iter().take_while(|c| **c == letter).count();
        at += count;
        let directive = match (letter, count) {
            ('y' | 'u', 4) => "%Y",
            ('y' | 'u', 2) => "%y",
            ('M', 2) => "%m",
            ('M', 3) => "%b",
            ('M', 4) => "%B",
            ('M', 1) => "%-m",
            ('d', 2) => "%d",
            ('d', 1) => "%-d",
            ('H', 2) => "%H",
            ('H', 1) => "%-H",
            ('h', 2) => "%I",
            ('m', 2) => "%M",
            ('s', 2) => "%S",
            ('S', 3) => "%3f",
            ('a', 1) => "%p",
            ('E', 1..=3) => "%a",
            ('E', 4) => "%A",
            (c, _) if c.is_ascii_alphabetic() => return None,
            (c, n) => {
                out.extend(std::iter::repeat_n(c, n));
                ""
            }
        };
        out += directive;
    }
    Some(out)
}
