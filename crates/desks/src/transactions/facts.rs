//! The facts of a transaction case, typed; fields that are not known are kept.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A case: who, with which account, did what lately.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The customer.
    pub person: Person,
    /// The customer's account.
    pub account: Account,
    /// Recent transactions, in the order in which the bank lists them.
    pub recent_tx: Vec<Transaction>,
    /// Whatever else the line has.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Person {
    /// Unique.
    pub person_id: String,
    /// `retail`, `premier`, `student` or `small_business`.
    pub segment: String,
    /// Politically exposed.
    pub pep: bool,
    /// On a sanctions list.
    pub sanctions_hit: bool,
    /// ISO 3166 alpha-2.
    pub home_country: String,
    /// Identity verified.
    pub kyc_verified: bool,
    /// Mean amount of a transaction over 90 days, in the account's currency.
    pub avg_tx_amount_90d: f64,
    /// Mean number of transactions a day over 90 days.
    pub avg_tx_per_day_90d: f64,
    /// Whatever else the person has.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Unique.
    pub account_id: String,
    /// Days since it was opened.
    pub opened_days_ago: i64,
    /// Whatever else the account has.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A transaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transaction {
    /// Unique.
    pub tx_id: String,
    /// ISO 8601 with seconds, as the bank writes it.
    pub timestamp: String,
    /// In `currency`.
    pub amount: f64,
    /// ISO 4217.
    pub currency: String,
    /// `in` or `out`.
    pub direction: String,
    /// `online`, `branch`, `atm` or `wire`.
    pub channel: String,
    /// ISO 3166 alpha-2.
    pub counterparty_country: String,
    /// Unique.
    pub counterparty_id: String,
    /// Of card payments.
    pub merchant_category: Option<String>,
    /// Whatever else the transaction has.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Facts {
    /// Reads facts from JSON.
    ///
    /// # Errors
    /// When a field is missing or has another type; the error names it.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// The person of a labelled or bare line, for splitting by person. Works on malformed facts too.
pub fn person_of(line: &Value) -> Option<String> {
    match line.get("facts").unwrap_or(line).get("person")?.get("person_id")? {
        Value::Null => None,
        Value::String(name) => Some(name.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_come_back() {
        let text = r#"{"person":{"person_id":"P1","segment":"retail","pep":false,"sanctions_hit":false,
            "home_country":"CA","kyc_verified":true,"avg_tx_amount_90d":10.5,"avg_tx_per_day_90d":1.0,"vip":1},
            "account":{"account_id":"A1","opened_days_ago":30},"recent_tx":[],"branch":"Bonn"}"#;
        let facts = Facts::read(text).expect("facts");
        assert_eq!(facts.other["branch"], "Bonn");
        let again = serde_json::to_value(&facts).expect("JSON");
        assert_eq!(again, serde_json::from_str::<Value>(text).expect("JSON"));
    }

    #[test]
    fn a_wrong_type_is_named() {
        let error = Facts::read(r#"{"person":{"person_id":7}}"#).expect_err("a number is no name");
        assert!(error.to_string().contains("expected a string"), "{error}");
    }
}
