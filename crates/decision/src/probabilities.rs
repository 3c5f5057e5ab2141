//! How likely each outcome is.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Outcomes with their probabilities, in the desk's order; as JSON an object. They add up to 1, up to their rounding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probabilities(pub Vec<(String, f64)>);

impl Probabilities {
    /// Of an outcome; nothing for one that is not there.
    pub fn of(&self, outcome: &str) -> Option<f64> {
        self.0.iter().find(|(known, _)| known == outcome).map(|(_, probability)| *probability)
    }

    /// Of some outcomes together.
    pub fn sum(&self, outcomes: &[&str]) -> f64 {
        self.0.iter().filter(|(known, _)| outcomes.contains(&known.as_str())).map(|(_, probability)| probability).sum()
    }
}

impl Serialize for Probabilities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (outcome, probability) in &self.0 {
            map.serialize_entry(outcome, probability)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Probabilities {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

/// Reads an object in the order in which it is written.
struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Probabilities;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of outcomes and their probabilities")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Probabilities, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = map.next_entry()? {
            list.push(entry);
        }
        Ok(Probabilities(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_an_object_that_keeps_its_order() {
        let text = r#"{"SAR":0.25,"CLEAR":0.75}"#;
        let read: Probabilities = serde_json::from_str(text).expect("an object");
        assert_eq!(read.0, [("SAR".to_owned(), 0.25), ("CLEAR".to_owned(), 0.75)]);
        assert_eq!(serde_json::to_string(&read).expect("JSON"), text);
        assert_eq!((read.of("CLEAR"), read.of("BLOCK"), read.sum(&["SAR", "BLOCK"])), (Some(0.75), None, 0.25));
    }
}
