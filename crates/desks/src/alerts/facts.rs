//! What an alert case consists of: the alert, what is known of its address, its clusters, and the money
//! flows of its window. The same structures are read from Parquet batches and from HTTP requests.

use std::fmt;

use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// An alert as the monitoring system raised it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Alert {
    /// Unique in a batch.
    pub alert_id: String,
    /// The address (or account) that the alert is about.
    pub address: String,
    /// Last day of the window, `YYYY-MM-DD`.
    #[serde(default, deserialize_with = "or_default")]
    pub processing_date: String,
    /// Days that the window spans.
    #[serde(default, deserialize_with = "whole")]
    pub window_days: i64,
    /// What the alert suspects: `fan_in`, `cycle`, ...
    #[serde(default, deserialize_with = "or_default")]
    pub typology_type: String,
    /// The kind of pattern that was found, where one was.
    #[serde(default, deserialize_with = "or_default")]
    pub pattern_type: String,
    /// `low`, `medium`, `high` or `critical`.
    #[serde(default, deserialize_with = "or_default")]
    pub severity: String,
    /// What kind of address it is thought to be.
    #[serde(default, deserialize_with = "or_default")]
    pub suspected_address_type: String,
    /// The monitoring system's own confidence, 0 to 1.
    #[serde(default = "not_a_number", deserialize_with = "number", serialize_with = "number_or_null")]
    pub alert_confidence_score: f64,
    /// In words.
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
    /// US dollars.
    #[serde(default = "not_a_number", deserialize_with = "number", serialize_with = "number_or_null")]
    pub volume_usd: f64,
    /// Codes of what was noticed.
    #[serde(default, deserialize_with = "or_default")]
    pub risk_indicators: Vec<String>,
    /// Whether the alert was right; in training data.
    #[serde(default, deserialize_with = "truth", skip_serializing_if = "Option::is_none")]
    pub ground_truth: Option<bool>,
}

/// Alerts that belong together.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Cluster {
    /// Unique in a batch.
    pub cluster_id: String,
    /// Last day of the window, `YYYY-MM-DD`.
    #[serde(default, deserialize_with = "or_default")]
    pub processing_date: String,
    /// Days that the window spans.
    #[serde(default, deserialize_with = "whole")]
    pub window_days: i64,
    /// What binds the alerts.
    #[serde(default, deserialize_with = "or_default")]
    pub cluster_type: String,
    /// The address in the middle.
    #[serde(default, deserialize_with = "or_default")]
    pub primary_address: String,
    /// The alert in the middle.
    #[serde(default, deserialize_with = "or_default")]
    pub primary_alert_id: String,
    /// All alerts.
    #[serde(default, deserialize_with = "or_default")]
    pub related_alert_ids: Vec<String>,
    /// All addresses.
    #[serde(default, deserialize_with = "or_default")]
    pub addresses_involved: Vec<String>,
    /// How many alerts.
    #[serde(default = "not_a_number", deserialize_with = "number", serialize_with = "number_or_null")]
    pub total_alerts: f64,
    /// US dollars.
    #[serde(default = "not_a_number", deserialize_with = "number", serialize_with = "number_or_null")]
    pub total_volume_usd: f64,
    /// The highest severity of its alerts.
    #[serde(default, deserialize_with = "or_default")]
    pub severity_max: String,
    /// Mean confidence of its alerts.
    #[serde(default = "not_a_number", deserialize_with = "number", serialize_with = "number_or_null")]
    pub confidence_avg: f64,
    /// Seconds since 1970.
    #[serde(default = "not_a_number", deserialize_with = "number", serialize_with = "number_or_null")]
    pub earliest_alert_timestamp: f64,
    /// Seconds since 1970.
    #[serde(default = "not_a_number", deserialize_with = "number", serialize_with = "number_or_null")]
    pub latest_alert_timestamp: f64,
    /// Whether the cluster was worth a report; in training data.
    #[serde(default, deserialize_with = "truth", skip_serializing_if = "Option::is_none")]
    pub ground_truth: Option<bool>,
}

/// Money that went from one address to another in a window: one transfer, or the sum of several.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Flow {
    /// Who paid.
    #[serde(alias = "source_address")]
    pub from_address: String,
    /// Who was paid.
    #[serde(alias = "dest_address")]
    pub to_address: String,
    /// US dollars.
    #[serde(
        default = "not_a_number",
        alias = "amount_usd_sum",
        deserialize_with = "number",
        serialize_with = "number_or_null"
    )]
    pub amount_usd: f64,
    /// Seconds since 1970; not a number where unknown.
    #[serde(default = "not_a_number", deserialize_with = "number", serialize_with = "number_or_null")]
    pub timestamp: f64,
    /// How many transfers this is the sum of.
    #[serde(default = "one", deserialize_with = "count", serialize_with = "number_or_null")]
    pub tx_count: f64,
    /// Last day of the window; empty where all flows are of one.
    #[serde(default, deserialize_with = "or_default")]
    pub processing_date: String,
    /// Days that the window spans; 0 where all flows are of one.
    #[serde(default, deserialize_with = "whole")]
    pub window_days: i64,
}

/// What is known of an address: a row of the features table, wide or long.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AddressFeatures {
    /// The address.
    pub address: String,
    /// Last day of the window; empty where it is not stated.
    pub processing_date: String,
    /// Days that the window spans.
    pub window_days: i64,
    /// Numbers by name; truths are 0 and 1, text is left out.
    pub values: Vec<(String, f64)>,
}

/// What is known of an address from outside. Never a feature: truth is derived from it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct AddressLabel {
    /// The address.
    pub address: String,
    /// In words.
    #[serde(default, deserialize_with = "or_default")]
    pub label: String,
    /// What kind of address.
    #[serde(default, deserialize_with = "or_default")]
    pub address_type: String,
    /// `low`, `medium`, `high` or `critical`.
    #[serde(default, deserialize_with = "or_default")]
    pub risk_level: String,
}

/// All that scoring needs: a request's body, or a folder of Parquet files.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Batch {
    /// What is to be scored.
    pub alerts: Vec<Alert>,
    /// What is known of addresses.
    #[serde(default, deserialize_with = "or_default")]
    pub features: Vec<AddressFeatures>,
    /// Alerts that belong together.
    #[serde(default, deserialize_with = "or_default")]
    pub clusters: Vec<Cluster>,
    /// Flows of the windows.
    #[serde(default, deserialize_with = "or_default")]
    pub money_flows: Vec<Flow>,
}

/// A batch that cannot be scored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// An identifier that should say which is which.
    #[error("it is empty in item {index} of {field}")]
    Empty {
        /// For example `alerts[].alert_id`.
        field: &'static str,
        /// From 0 on.
        index: usize,
    },
    /// An identifier that two items have.
    #[error("items {first} and {second} have the same in {field}")]
    Twice {
        /// For example `alerts[].alert_id`.
        field: &'static str,
        /// From 0 on.
        first: usize,
        /// From 0 on.
        second: usize,
    },
}

impl Batch {
    /// Checks that alerts and clusters can be told apart and that alerts have addresses.
    ///
    /// # Errors
    /// When an identifier is empty or occurs twice.
    pub fn check(&self) -> Result<(), BatchError> {
        unique("alerts[].alert_id", self.alerts.iter().map(|alert| alert.alert_id.as_str()))?;
        unique("clusters[].cluster_id", self.clusters.iter().map(|cluster| cluster.cluster_id.as_str()))?;
        match self.alerts.iter().position(|alert| alert.address.is_empty()) {
            Some(index) => Err(BatchError::Empty { field: "alerts[].address", index }),
            None => Ok(()),
        }
    }
}

fn unique<'a>(field: &'static str, names: impl Iterator<Item = &'a str>) -> Result<(), BatchError> {
    let mut seen = std::collections::HashMap::new();
    for (index, name) in names.enumerate() {
        if name.is_empty() {
            return Err(BatchError::Empty { field, index });
        }
        if let Some(first) = seen.insert(name, index) {
            return Err(BatchError::Twice { field, first, second: index });
        }
    }
    Ok(())
}

impl<'de> Deserialize<'de> for AddressFeatures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Row;
        impl<'de> Visitor<'de> for Row {
            type Value = AddressFeatures;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with `address` and numbers")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<AddressFeatures, M::Error> {
                let mut row = AddressFeatures::default();
                let mut address = None;
                let (mut name, mut value) = (None, f64::NAN);
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "address" => address = Some(map.next_value::<String>()?),
                        "processing_date" => {
                            row.processing_date = map.next_value::<Option<String>>()?.unwrap_or_default()
                        }
                        "window_days" => row.window_days = map.next_value::<Number>()?.0 as i64,
                        "feature_name" => name = map.next_value::<Option<String>>()?,
                        "feature_value" => value = map.next_value::<Number>()?.0,
                        "feature_metadata" | "network" => drop(map.next_value::<IgnoredAny>()?),
                        _ => {
                            let Loose(number) = map.next_value()?;
                            row.values.extend(number.map(|number| (key, number)));
                        }
                    }
                }
                row.address = address.ok_or_else(|| de::Error::missing_field("address"))?;
                row.values.extend(name.map(|name| (name, value)));
                Ok(row)
            }
        }
        deserializer.deserialize_map(Row)
    }
}

impl Serialize for AddressFeatures {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("address", &self.address)?;
        map.serialize_entry("processing_date", &self.processing_date)?;
        map.serialize_entry("window_days", &self.window_days)?;
        for (name, value) in &self.values {
            map.serialize_entry(name, &Some(value).filter(|value| value.is_finite()))?;
        }
        map.end()
    }
}

/// The places of severities, from 1.
pub fn severity(name: &str) -> f64 {
    match name {
        "low" => 1.0,
        "medium" => 2.0,
        "high" => 3.0,
        "critical" => 4.0,
        _ => f64::NAN,
    }
}

fn not_a_number() -> f64 {
    f64::NAN
}

fn one() -> f64 {
    1.0
}

/// Null is the same as nothing.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Number::deserialize(deserializer).map(|number| number.0)
}

/// Null is one transfer.
fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    number(deserializer).map(|count| if count.is_nan() { 1.0 } else { count })
}

fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Number::deserialize(deserializer).map(|number| number.0 as i64)
}

fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    let Number(value) = Number::deserialize(deserializer)?;
    Ok(if value.is_nan() { None } else { Some(value != 0.0) })
}

fn number_or_null<S: serde::Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() { serializer.serialize_f64(*value) } else { serializer.serialize_none() }
}

/// A number, a truth, a decimal as text, or null for what is not known.
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor).map(|value| Self(value.unwrap_or(f64::NAN)))
    }
}

/// Anything: a number where it is one.
struct Loose(Option<f64>);

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor).map(Self)
    }
}

struct NumberVisitor;

macro_rules! numbers {
    () => {
        fn visit_bool<E: de::Error>(self, value: bool) -> Result<Option<f64>, E> {
            Ok(Some(f64::from(u8::from(value))))
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> Result<Option<f64>, E> {
            Ok(Some(value as f64))
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<Option<f64>, E> {
            Ok(Some(value as f64))
        }

        fn visit_f64<E: de::Error>(self, value: f64) -> Result<Option<f64>, E> {
            Ok(Some(value))
        }

        fn visit_unit<E: de::Error>(self) -> Result<Option<f64>, E> {
            Ok(None)
        }

        fn visit_none<E: de::Error>(self) -> Result<Option<f64>, E> {
            Ok(None)
        }
    };
}

impl<'de> Visitor<'de> for NumberVisitor {
    type Value = Option<f64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    numbers!();

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<f64>, E> {
        let number: Option<f64> = text.trim().parse().ok();
        match number.filter(|number| number.is_finite()) {
            Some(number) => Ok(Some(number)),
            None => Err(E::invalid_value(de::Unexpected::Other("text"), &self)),
        }
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Option<f64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    numbers!();

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<f64>, E> {
        Ok(text.trim().parse().ok())
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Option<f64>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Option<f64>, A::Error> {
        while items.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}
