//! From a case to the numbers and categories that the structured transformer sees: one global token and one token
//! for each transaction. Training, serving and evaluation all build features here.
//!
//! Which rule sees what in them:
//!
//! | rule | global token | transaction tokens |
//! |---|---|---|
//! | `SANCTIONS_BLOCK`, `PEP_REVIEW` | `sanctions_hit`, `pep` | |
//! | `LARGE_WIRE_SINGLE`, how often too | `wire_1` to `wire_3` | `amount`, `channel` |
//! | `HIGH_RISK_COUNTERPARTY`, how often too | `country_…` | `country` |
//! | `ODD_HOUR_ACTIVITY`, how often too | `hour_…` | `hour` |
//! | `STRUCTURING_NEAR_THRESHOLD` | `other_1` to `other_6` | `amount`, `channel` |
//! | `ROUND_TRIP_SAME_COUNTERPARTY_24H` | `closest_opposite` | `opposite` |
//! | `BEHAVIOR_SHIFT_VS_BASELINE` | `mean_to_usual`, `amounts` | |
//!
//! No number has a threshold of a rule in it. Numbers are rounded to f32 towards the side that keeps comparisons
//! true: amounts and multiples down, because rules ask whether they reach something; differences up, because rules
//! ask whether they stay within something. So a comparison with a number that f32 can hold says of the feature what
//! it says of the fact.

use serde_json::Value;

use super::reading::{Flag, Hour, Leg, Reading, TooMany, multiple, same_ignoring_case};

/// What the features of a case are: names of numbers, names and sizes of categories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureShape {
    /// Numbers of the global token.
    pub global_numbers: &'static [&'static str],
    /// Categories of the global token, each below its size.
    pub global_categories: &'static [(&'static str, u32)],
    /// Numbers of a transaction.
    pub item_numbers: &'static [&'static str],
    /// Categories of a transaction, each below its size.
    pub item_categories: &'static [(&'static str, u32)],
}

/// The features of a case. All numbers are finite.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// One for each of [`FeatureShape::global_numbers`].
    pub global_numbers: Vec<f32>,
    /// One for each of [`FeatureShape::global_categories`].
    pub global_categories: Vec<u32>,
    /// For each transaction, one for each of [`FeatureShape::item_numbers`].
    pub item_numbers: Vec<f32>,
    /// For each transaction, one for each of [`FeatureShape::item_categories`].
    pub item_categories: Vec<u32>,
    /// Number of transactions.
    pub items: usize,
}

/// What models were trained on is named by this. It changes whenever a case has other features than before: models
/// that read others are refused, not misled.
pub const FEATURES: &str = "features 1";

/// The features of this desk.
pub const SHAPE: FeatureShape = FeatureShape {
    global_numbers: &[
        // How many transactions there are, and how many have an amount that is a number.
        "transactions",
        "amounts",
        // What is usual for the person; 0 where it is not known.
        "usual_amount",
        "usual_per_day",
        "account_age_days",
        // Mean and largest amount; 0 without amounts.
        "mean_amount",
        "largest_amount",
        // The mean as a multiple of the usual amount; 0 where that is not positive.
        "mean_to_usual",
        // Difference of the closest amounts in and then out, of one counterparty, per mille of the larger; 1000
        // where there are none.
        "closest_opposite",
        // The largest amounts by wire and by other channels, in descending order, then 0.
        "wire_1",
        "wire_2",
        "wire_3",
        "other_1",
        "other_2",
        "other_3",
        "other_4",
        "other_5",
        "other_6",
    ],
    global_categories: &GLOBAL_CATEGORIES,
    item_numbers: &[
        // 0 where it is no number.
        "amount",
        // As a multiple of the person's usual amount; 0 where that is not positive.
        "amount_to_usual",
        // Difference to the closest amount of the same counterparty the other way, per mille; 1000 without.
        "opposite",
    ],
    item_categories: &[
        // Whether the amount is a number.
        ("amount_known", 2),
        // 0 to 23 as written in the time stamp, less, more, unknown.
        ("hour", HOURS),
        // The known ones whatever their case, some buckets for others, missing.
        ("channel", CHANNELS),
        // in, out, other, missing.
        ("direction", 4),
        ("country", COUNTRIES),
        // Counterparties in order of appearance, then all further ones, then missing.
        ("counterparty", COUNTERPARTIES),
        // Whether there is an opposite leg.
        ("opposite_known", 2),
    ],
};

/// Segments, then others, then missing.
pub(super) const KNOWN_SEGMENTS: [&str; 4] = ["retail", "premier", "student", "small_business"];
const SEGMENTS: u32 = KNOWN_SEGMENTS.len() as u32 + 2;

pub(super) const KNOWN_CHANNELS: [&str; 4] = ["wire", "online", "branch", "atm"];
const CHANNEL_BUCKETS: u32 = 4;
const CHANNELS: u32 = KNOWN_CHANNELS.len() as u32 + CHANNEL_BUCKETS + 1;

/// Countries that have a category of their own; compared as they are, upper case.
pub(super) const KNOWN_COUNTRIES: [&str; 19] =
    ["CA", "US", "GB", "FR", "DE", "MX", "IN", "AE", "ES", "IT", "SE", "NL", "JP", "AU", "RU", "IR", "KP", "AF", "SY"];
const COUNTRY_BUCKETS: u32 = 13;
const COUNTRIES: u32 = KNOWN_COUNTRIES.len() as u32 + COUNTRY_BUCKETS + 1;

const HOURS: u32 = 27;
const COUNTERPARTIES: u32 = 34;

/// Counts up to 7, and 8 for more.
const COUNTS: u32 = 9;

const WIRES: usize = 3;
const OTHERS: usize = 6;
/// Difference per mille where there is no opposite leg, and at most.
const NO_OPPOSITE: f64 = 1000.0;
/// Larger numbers count as this; it leaves room for differences and squares.
const LARGEST: f64 = 1e12;

/// Categories of the person, then how many transactions there are at each hour, then in each known country and in
/// others.
const GLOBAL_CATEGORIES: [(&str, u32); 52] = [
    ("sanctions_hit", 3),
    ("pep", 3),
    ("kyc_verified", 3),
    ("segment", SEGMENTS),
    ("home_country", COUNTRIES),
    ("hour_00", COUNTS),
    ("hour_01", COUNTS),
    ("hour_02", COUNTS),
    ("hour_03", COUNTS),
    ("hour_04", COUNTS),
    ("hour_05", COUNTS),
    ("hour_06", COUNTS),
    ("hour_07", COUNTS),
    ("hour_08", COUNTS),
    ("hour_09", COUNTS),
    ("hour_10", COUNTS),
    ("hour_11", COUNTS),
    ("hour_12", COUNTS),
    ("hour_13", COUNTS),
    ("hour_14", COUNTS),
    ("hour_15", COUNTS),
    ("hour_16", COUNTS),
    ("hour_17", COUNTS),
    ("hour_18", COUNTS),
    ("hour_19", COUNTS),
    ("hour_20", COUNTS),
    ("hour_21", COUNTS),
    ("hour_22", COUNTS),
    ("hour_23", COUNTS),
    ("hour_less", COUNTS),
    ("hour_more", COUNTS),
    ("hour_unknown", COUNTS),
    ("country_CA", COUNTS),
    ("country_US", COUNTS),
    ("country_GB", COUNTS),
    ("country_FR", COUNTS),
    ("country_DE", COUNTS),
    ("country_MX", COUNTS),
    ("country_IN", COUNTS),
    ("country_AE", COUNTS),
    ("country_ES", COUNTS),
    ("country_IT", COUNTS),
    ("country_SE", COUNTS),
    ("country_NL", COUNTS),
    ("country_JP", COUNTS),
    ("country_AU", COUNTS),
    ("country_RU", COUNTS),
    ("country_IR", COUNTS),
    ("country_KP", COUNTS),
    ("country_AF", COUNTS),
    ("country_SY", COUNTS),
    ("country_other", COUNTS),
];

/// The features of a case. Whatever is missing or mistyped has a category of its own.
///
/// # Errors
/// When there are more transactions than [`MOST_TRANSACTIONS`](super::MOST_TRANSACTIONS).
pub fn features(facts: &Value) -> Result<Features, TooMany> {
    let reading = Reading::of(facts)?;
    let mut features = Features {
        global_numbers: global_numbers(&reading),
        items: reading.legs.len(),
        item_numbers: Vec::with_capacity(reading.legs.len() * SHAPE.item_numbers.len()),
        item_categories: Vec::with_capacity(reading.legs.len() * SHAPE.item_categories.len()),
        ..Features::default()
    };
    let mut hours = [0; HOURS as usize];
    let mut countries = [0; KNOWN_COUNTRIES.len() + 1];
    for leg in &reading.legs {
        let (hour, country) = (hour(leg.hour), country(leg.country.as_deref()));
        hours[hour as usize] += 1;
        countries[(country as usize).min(KNOWN_COUNTRIES.len())] += 1;
        features.item_numbers.extend(item_numbers(leg, &reading));
        features.item_categories.extend([
            u32::from(leg.amount.is_some()),
            hour,
            channel(leg.channel.as_deref()),
            direction(leg.direction.as_deref()),
            country,
            leg.counterparty.map_or(COUNTERPARTIES - 1, |at| (at as u32).min(COUNTERPARTIES - 2)),
            u32::from(leg.opposite.is_some()),
        ]);
    }
    let person = [
        flag(reading.sanctions),
        flag(reading.pep),
        flag(reading.verified),
        segment(reading.segment.as_deref()),
        country(reading.home.as_deref()),
    ];
    let counts = hours.into_iter().chain(countries).map(|count: u32| count.min(COUNTS - 1));
    features.global_categories = person.into_iter().chain(counts).collect();
    Ok(features)
}

fn global_numbers(reading: &Reading<'_>) -> Vec<f32> {
    let amounts = || reading.legs.iter().filter_map(|leg| leg.amount);
    let mut numbers = vec![
        down(reading.legs.len() as f64),
        down(reading.amounts as f64),
        down(reading.usual_amount.unwrap_or(0.0)),
        down(reading.usual_per_day.unwrap_or(0.0)),
        down(reading.account_age.unwrap_or(0.0)),
        down(reading.mean),
        down(amounts().max_by(f64::total_cmp).unwrap_or(0.0)),
        down(reading.mean_to_usual),
        per_mille(reading.closest_opposite()),
    ];
    numbers.extend(largest::<WIRES>(reading, true));
    numbers.extend(largest::<OTHERS>(reading, false));
    numbers
}

/// The largest amounts by wire or by other channels, in descending order, filled up with 0.
fn largest<const COUNT: usize>(reading: &Reading<'_>, by_wire: bool) -> [f32; COUNT] {
    let legs = reading.legs.iter().filter(|leg| (channel(leg.channel.as_deref()) == 0) == by_wire);
    let mut amounts: Vec<f64> = legs.filter_map(|leg| leg.amount).collect();
    amounts.sort_by(|a, b| b.total_cmp(a));
    std::array::from_fn(|place| amounts.get(place).map_or(0.0, |amount| down(*amount)))
}

fn item_numbers(leg: &Leg<'_>, reading: &Reading<'_>) -> [f32; 3] {
    let amount = leg.amount.unwrap_or(0.0);
    [down(amount), down(multiple(amount, reading.usual_amount)), per_mille(leg.opposite)]
}

/// The largest f32 that is not more than the value.
fn down(value: f64) -> f32 {
    let value = value.clamp(-LARGEST, LARGEST);
    let near = value as f32;
    if f64::from(near) > value { near.next_down() } else { near }
}

/// A difference per mille: the smallest f32 that is not less.
fn per_mille(share: Option<f64>) -> f32 {
    -down(-share.map_or(NO_OPPOSITE, |share| (share * 1000.0).min(NO_OPPOSITE)))
}

fn flag(flag: Flag) -> u32 {
    match flag {
        Flag::False => 0,
        Flag::True => 1,
        Flag::Unknown => 2,
    }
}

fn hour(hour: Hour) -> u32 {
    match hour {
        Hour::Clock(hour) => u32::from(hour),
        Hour::Before => 24,
        Hour::After => 25,
        Hour::Unknown => 26,
    }
}

fn channel(text: Option<&str>) -> u32 {
    let Some(text) = text else { return CHANNELS - 1 };
    let known = KNOWN_CHANNELS.iter().position(|known| same_ignoring_case(text, known));
    let known = known.map(|place| place as u32);
    known.unwrap_or_else(|| KNOWN_CHANNELS.len() as u32 + bucket(&text.to_ascii_lowercase(), CHANNEL_BUCKETS))
}

fn direction(text: Option<&str>) -> u32 {
    match text {
        Some("in") => 0,
        Some("out") => 1,
        Some(_) => 2,
        None => 3,
    }
}

fn country(text: Option<&str>) -> u32 {
    let Some(text) = text else { return COUNTRIES - 1 };
    let known = KNOWN_COUNTRIES.iter().position(|known| *known == text).map(|place| place as u32);
    known.unwrap_or_else(|| KNOWN_COUNTRIES.len() as u32 + bucket(text, COUNTRY_BUCKETS))
}

fn segment(text: Option<&str>) -> u32 {
    let Some(text) = text else { return SEGMENTS - 1 };
    KNOWN_SEGMENTS.iter().position(|known| *known == text).map_or(SEGMENTS - 2, |place| place as u32)
}

/// A bucket for a text, the same on every machine (FNV-1a, 64 bits).
fn bucket(text: &str, buckets: u32) -> u32 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    (hash % u64::from(buckets)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use md5::{Digest, Md5};
    use serde_json::json;

    fn assert_fits(features: &Features) {
        assert_eq!(features.global_numbers.len(), SHAPE.global_numbers.len());
        assert_eq!(features.item_numbers.len(), features.items * SHAPE.item_numbers.len());
        assert!(features.global_numbers.iter().chain(&features.item_numbers).all(|number| number.is_finite()));
        let fits = |values: &[u32], shape: &[(&str, u32)]| {
            values.len().is_multiple_of(shape.len())
                && values.iter().zip(shape.iter().cycle()).all(|(value, (_, size))| value < size)
        };
        assert_eq!(features.global_categories.len(), SHAPE.global_categories.len());
        assert!(fits(&features.global_categories, SHAPE.global_categories));
        assert_eq!(features.item_categories.len(), features.items * SHAPE.item_categories.len());
        assert!(fits(&features.item_categories, SHAPE.item_categories));
    }

    #[test]
    fn malformed_facts_have_features() {
        for facts in [
            json!(null),
            json!([1]),
            json!({"person": 3, "account": "A", "recent_tx": {"amount": 1}}),
            json!({"person": {"pep": "yes", "segment": 4, "avg_tx_amount_90d": -2.0}, "recent_tx": [
                null, 7, {}, {"amount": 1e300, "counterparty_country": 12, "channel": false, "timestamp": 1},
                {"amount": "12", "direction": ["in"], "counterparty_id": {}},
            ]}),
        ] {
            assert_fits(&features(&facts).expect("few transactions"));
        }
    }

    #[test]
    fn a_case_that_is_too_long_is_refused_and_not_cut() {
        let facts = json!({"recent_tx": vec![json!({"amount": 1.0}); 257]});
        assert_eq!(features(&facts), Err(TooMany(257)));
        let facts = json!({"recent_tx": vec![json!({"amount": 1.0}); 256]});
        assert_fits(&features(&facts).expect("as many as fit"));
    }

    #[test]
    fn rounding_keeps_comparisons_true() {
        for threshold in [5.0_f64, 8_000.0, 10_000.0, 1_000_000.0] {
            assert!(f64::from(down(threshold.next_down())) < threshold);
            assert_eq!(f64::from(down(threshold)), threshold);
            assert!(f64::from(down(threshold.next_up())) >= threshold);
        }
        assert_eq!(per_mille(Some(100.0 / 5000.0)), 20.0);
        assert!(per_mille(Some(0.02_f64.next_up())) > 20.0);
    }

    #[test]
    fn channels_fold_case_and_countries_do_not() {
        assert_eq!(channel(Some("WIRE")), 0);
        assert_ne!(channel(Some("cash")), channel(None));
        assert_ne!(country(Some("ru")), country(Some("RU")));
        assert!(country(Some("ru")) >= KNOWN_COUNTRIES.len() as u32);
    }

    #[test]
    fn features_are_those_of_their_version() {
        let generator = super::super::Generator::training(7).expect("the shipped recipe");
        let mut hash = Md5::new();
        (0..300).for_each(|index| hash.update(format!("{:?}", features(&generator.candidate(index)))));
        let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "63f6da7f43487360b9fc4f78500b6fcc", "models of {FEATURES} would be misled: name a new version");
    }

    #[test]
    fn the_names_of_country_counts_are_those_of_the_countries() {
        let names: Vec<&str> = GLOBAL_CATEGORIES.iter().filter_map(|(name, _)| name.strip_prefix("country_")).collect();
        assert_eq!(names[..KNOWN_COUNTRIES.len()], KNOWN_COUNTRIES);
    }
}
