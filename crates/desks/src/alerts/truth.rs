//! What is right about alerts and clusters: what the batch states, or what is known of the address from
//! outside. Never looked at by features.

use std::collections::{HashMap, HashSet};

use super::facts::{AddressLabel, Alert, Batch, Cluster, severity};

/// The truth of a batch.
pub struct Truths<'b> {
    risky: HashSet<&'b str>,
    labelled: HashSet<&'b str>,
    /// Alerts whose truth is known.
    known: HashMap<&'b str, bool>,
}

impl<'b> Truths<'b> {
    /// Prepares a batch and its labels.
    pub fn new(batch: &'b Batch, labels: &'b [AddressLabel]) -> Self {
        let risk = |label: &&AddressLabel| matches!(label.risk_level.as_str(), "high" | "critical");
        let mut truths = Self {
            risky: labels.iter().filter(risk).map(|label| label.address.as_str()).collect(),
            labelled: labels.iter().map(|label| label.address.as_str()).collect(),
            known: HashMap::new(),
        };
        let known = batch.alerts.iter().filter_map(|alert| Some((alert.alert_id.as_str(), truths.alert(alert)?)));
        truths.known = known.collect();
        truths
    }

    /// Whether an alert was right: as it states, or whether its address is known as high or critical risk.
    /// Nothing where nobody knows.
    pub fn alert(&self, alert: &Alert) -> Option<bool> {
        alert.ground_truth.or_else(|| {
            self.labelled.contains(alert.address.as_str()).then(|| self.risky.contains(alert.address.as_str()))
        })
    }

    /// Whether a cluster was worth a report: as it states, or whether at least half of its
    /// alerts with a known truth were right. Nothing where none is known.
    pub fn cluster(&self, cluster: &Cluster) -> Option<bool> {
        cluster.ground_truth.or_else(|| {
            let alerts: HashSet<&String> = cluster.related_alert_ids.iter().collect();
            let known = alerts.into_iter().filter_map(|alert| self.known.get(alert.as_str()));
            let (count, right) = known.fold((0, 0), |(count, right), is| (count + 1, right + usize::from(*is)));
            (count > 0).then_some(2 * right >= count)
        })
    }

    /// The grade of an alert for ranking, 0 to 4: nothing for a false one, else by severity.
    pub fn relevance(&self, alert: &Alert) -> Option<f64> {
        let grade = severity(&alert.severity);
        self.alert(alert).map(|right| if right { if grade.is_nan() { 2.0 } else { grade } } else { 0.0 })
    }
}
