//! From an alert or a cluster to the numbers that models see: one list per kind, with the words that explain
//! each number. Training, serving and evaluation all build features here.
//!
//! Invariant: the features of an alert depend on the alert, its clusters, its address and its window, and on
//! no other alert of the batch. Labels of addresses and the truth are never looked at.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use jiff::civil::Date;

use super::facts::{Alert, Batch, Cluster, severity};
use super::window::{AddressFlows, Window};

/// A number about a case, and how to say it.
pub struct Feature<F> {
    /// The column's name.
    pub name: &'static str,
    /// Fits "`phrase` is 3".
    pub phrase: &'static str,
    /// The number; not a number where nothing is known.
    pub value: F,
}

/// A number about an alert.
pub type AlertFeature = Feature<for<'b> fn(&AlertCase<'b>) -> f64>;

/// A number about a cluster.
pub type ClusterFeature = Feature<for<'b> fn(&ClusterCase<'b>) -> f64>;

/// What an alert's features are computed from.
pub struct AlertCase<'b> {
    alert: &'b Alert,
    clusters: Vec<&'b Cluster>,
    flows: Option<AddressFlows>,
}

/// What a cluster's features are computed from.
pub struct ClusterCase<'b> {
    cluster: &'b Cluster,
    members: Vec<AddressFlows>,
    /// Share of possible edges that exist among the members, and of their outflow that stays.
    among: (f64, f64),
}

/// Suspicions that have a number of their own; others count as unknown.
pub const TYPOLOGIES: [&str; 12] = [
    "fan_in",
    "fan_out",
    "cycle",
    "structuring",
    "layering",
    "mixing",
    "scatter_gather",
    "gather_scatter",
    "rapid_movement",
    "high_volume",
    "bipartite",
    "random",
];

/// Kinds of address that have a number of their own.
pub const ADDRESS_TYPES: [&str; 8] =
    ["unknown", "person", "business", "exchange", "mixer", "merchant", "bridge", "contract"];

/// Features whose numbers are names.
pub const CATEGORICAL: [&str; 2] = ["typology", "suspected_address_type"];

fn place(list: &[&str], name: &str) -> f64 {
    list.iter().position(|known| *known == name).map_or(f64::NAN, |place| place as f64)
}

macro_rules! features {
    ($kind:ident: $($name:literal, $phrase:literal, $value:expr;)*) => {
        &[$($kind { name: $name, phrase: $phrase, value: $value }),*]
    };
}

/// What every alert model may use, besides the numbers of the features table.
pub const ALERT: &[AlertFeature] = features! { AlertFeature:
    "severity", "severity (1 low to 4 critical)", |case| severity(&case.alert.severity);
    "alert_confidence", "confidence of the monitoring system", |case| case.alert.alert_confidence_score;
    "alert_volume", "logarithm of the alerted volume", |case| dollars(case.alert.volume_usd);
    "typology", "suspected typology", |case| place(&TYPOLOGIES, &case.alert.typology_type);
    "suspected_address_type", "suspected type of address", |case| place(&ADDRESS_TYPES, &case.alert.suspected_address_type);
    "risk_indicators", "number of risk indicators", |case| case.alert.risk_indicators.len() as f64;
    "weekday", "day of the week (1 Monday to 7 Sunday)", |case| weekday(&case.alert.processing_date);
    "clusters", "number of clusters it belongs to", |case| case.clusters.len() as f64;
    "cluster_alerts", "number of alerts in its cluster", |case| case.most(|cluster| cluster.total_alerts);
    "cluster_addresses", "number of addresses in its cluster", |case| case.most(|cluster| different(&cluster.addresses_involved));
    "cluster_volume", "logarithm of the volume of its cluster", |case| case.most(|cluster| dollars(cluster.total_volume_usd));
    "cluster_severity", "highest severity in its cluster", |case| case.most(|cluster| severity(&cluster.severity_max));
    "cluster_confidence", "mean confidence in its cluster", |case| case.most(|cluster| cluster.confidence_avg);
    "cluster_hours", "hours that its cluster spans", |case| case.most(hours);
    "cluster_center", "it is the centre of its cluster (1 yes)", |case| case.most(|cluster| f64::from(u8::from(cluster.primary_address == case.alert.address)));
    "in_degree", "number of addresses that paid it", |case| case.flow(|flows| flows.in_degree);
    "out_degree", "number of addresses that it paid", |case| case.flow(|flows| flows.out_degree);
    "in_volume", "logarithm of the money received", |case| case.flow(|flows| flows.in_volume.ln_1p());
    "out_volume", "logarithm of the money sent", |case| case.flow(|flows| flows.out_volume.ln_1p());
    "in_transfers", "number of payments received", |case| case.flow(|flows| flows.in_transfers);
    "out_transfers", "number of payments sent", |case| case.flow(|flows| flows.out_transfers);
    "pass_through", "share of the money that passed through", |case| case.flow(|flows| flows.pass_through);
    "net_flow", "money kept as a share of money moved", |case| case.flow(|flows| flows.net_flow);
    "in_concentration", "concentration of payers (1 is a single one)", |case| case.flow(|flows| flows.in_concentration);
    "out_concentration", "concentration of payees (1 is a single one)", |case| case.flow(|flows| flows.out_concentration);
    "near_threshold", "share of amounts just below 10,000", |case| case.flow(|flows| flows.near_threshold);
    "round_amounts", "share of round amounts", |case| case.flow(|flows| flows.round_amounts);
    "mean_amount", "logarithm of the mean amount", |case| case.flow(|flows| flows.mean_amount.ln_1p());
    "amount_spread", "spread of amounts as a share of their mean", |case| case.flow(|flows| flows.amount_spread);
    "hours_held", "median hours between receiving and sending", |case| case.flow(|flows| flows.hours_held);
    "busiest_day", "largest share of transfers within 24 hours", |case| case.flow(|flows| flows.busiest_day);
    "returned", "share of payees that also paid it", |case| case.flow(|flows| flows.returned);
    "second_degree", "number of addresses that paid its payers", |case| case.flow(|flows| flows.second_degree);
    "page_rank", "PageRank as a multiple of the average", |case| case.flow(|flows| flows.page_rank);
    "component", "logarithm of the size of its component", |case| case.flow(|flows| flows.component.ln_1p());
    "community", "logarithm of the size of its community", |case| case.flow(|flows| flows.community.ln_1p());
    "betweenness", "logarithm of its betweenness", |case| case.flow(|flows| flows.betweenness.ln_1p());
    "short_cycles", "number of cycles of two", |case| case.flow(|flows| flows.short_cycles);
    "triangles", "number of cycles of three", |case| case.flow(|flows| flows.triangles);
    "long_cycle", "length of the shortest cycle of four to six (0 none)", |case| case.flow(|flows| flows.long_cycle);
    "alerted_share", "alerted volume as a share of the money moved", |case| case.flow(one_over_moved) * case.alert.volume_usd;
};

/// What every cluster model may use.
pub const CLUSTER: &[ClusterFeature] = features! { ClusterFeature:
    "total_alerts", "number of alerts", |case| case.cluster.total_alerts;
    "addresses", "number of addresses", |case| different(&case.cluster.addresses_involved);
    "total_volume", "logarithm of the volume", |case| dollars(case.cluster.total_volume_usd);
    "severity_max", "highest severity (1 low to 4 critical)", |case| severity(&case.cluster.severity_max);
    "confidence_avg", "mean confidence of the alerts", |case| case.cluster.confidence_avg;
    "hours", "hours between the first and the last alert", |case| hours(case.cluster);
    "density", "share of possible payments among its addresses that were made", |case| case.among.0;
    "kept_inside", "share of the money sent that stayed inside", |case| case.among.1;
    "mean_in_degree", "mean number of payers", |case| case.mean(|flows| flows.in_degree);
    "mean_out_degree", "mean number of payees", |case| case.mean(|flows| flows.out_degree);
    "most_in_degree", "largest number of payers", |case| case.largest(|flows| flows.in_degree);
    "most_out_degree", "largest number of payees", |case| case.largest(|flows| flows.out_degree);
    "pass_through", "mean share of the money that passed through", |case| case.mean(|flows| flows.pass_through);
    "near_threshold", "mean share of amounts just below 10,000", |case| case.mean(|flows| flows.near_threshold);
    "round_amounts", "mean share of round amounts", |case| case.mean(|flows| flows.round_amounts);
    "hours_held", "mean hours between receiving and sending", |case| case.mean(|flows| flows.hours_held);
    "busiest_day", "mean largest share of transfers within 24 hours", |case| case.mean(|flows| flows.busiest_day);
    "page_rank", "largest PageRank as a multiple of the average", |case| case.largest(|flows| flows.page_rank);
    "community", "logarithm of the size of the largest community", |case| case.largest(|flows| flows.community.ln_1p());
    "betweenness", "logarithm of the largest betweenness", |case| case.largest(|flows| flows.betweenness.ln_1p());
    "short_cycles", "mean number of cycles of two", |case| case.mean(|flows| flows.short_cycles);
    "triangles", "mean number of cycles of three", |case| case.mean(|flows| flows.triangles);
    "long_cycles", "share of addresses on a cycle of four to six", |case| case.mean(|flows| f64::from(u8::from(flows.long_cycle > 0.0)));
    "mean_amount", "logarithm of the mean amount", |case| case.mean(|flows| flows.mean_amount).ln_1p();
    "amount_spread", "mean spread of amounts", |case| case.mean(|flows| flows.amount_spread);
};

/// What columns of the features table are called among an alert's features.
const ADDRESS_PREFIX: &str = "address.";

/// What the phrases of features begin with that are `ln(1 + x)`.
const LOGARITHM: &str = "logarithm of ";

/// The logarithm of an amount, not a number where it is not known.
fn dollars(amount: f64) -> f64 {
    if amount.is_finite() { amount.max(0.0).ln_1p() } else { f64::NAN }
}

/// How many different names there are.
fn different(names: &[String]) -> f64 {
    names.iter().collect::<std::collections::HashSet<_>>().len() as f64
}

/// One over the money moved.
fn one_over_moved(flows: &AddressFlows) -> f64 {
    1.0 / (flows.in_volume + flows.out_volume)
}

fn hours(cluster: &Cluster) -> f64 {
    (cluster.latest_alert_timestamp - cluster.earliest_alert_timestamp) / 3600.0
}

fn weekday(date: &str) -> f64 {
    date.get(..10)
        .and_then(|date| date.parse::<Date>().ok())
        .map_or(f64::NAN, |date| f64::from(date.weekday().to_monday_one_offset()))
}

impl AlertCase<'_> {
    /// The largest value over the alert's clusters.
    fn most(&self, value: impl Fn(&Cluster) -> f64) -> f64 {
        self.clusters.iter().map(|cluster| value(cluster)).fold(f64::NAN, f64::max)
    }

    fn flow(&self, value: impl Fn(&AddressFlows) -> f64) -> f64 {
        self.flows.as_ref().map_or(f64::NAN, value)
    }
}

impl ClusterCase<'_> {
    fn known(&self, value: impl Fn(&AddressFlows) -> f64) -> Vec<f64> {
        self.members.iter().map(value).filter(|value| value.is_finite()).collect()
    }

    fn mean(&self, value: impl Fn(&AddressFlows) -> f64) -> f64 {
        let list = self.known(value);
        list.iter().sum::<f64>() / list.len() as f64
    }

    fn largest(&self, value: impl Fn(&AddressFlows) -> f64) -> f64 {
        self.known(value).into_iter().fold(f64::NAN, f64::max)
    }
}

/// A date and a number of days; empty and 0 where they are not stated.
type Span<'b> = (&'b str, i64);

/// A batch, ready to look things up.
pub struct Context<'b> {
    batch: &'b Batch,
    windows: HashMap<Span<'b>, Window>,
    /// Numbers of the features table by address and window, then by name.
    values: HashMap<(&'b str, Span<'b>), HashMap<Cow<'b, str>, f64>>,
    by_alert: HashMap<&'b str, Vec<&'b Cluster>>,
}

impl<'b> Context<'b> {
    /// Prepares a batch: builds the graph of every window.
    pub fn new(batch: &'b Batch) -> Self {
        let mut flows: BTreeMap<Span<'_>, Vec<_>> = BTreeMap::new();
        for flow in &batch.money_flows {
            flows.entry((flow.processing_date.as_str(), flow.window_days)).or_default().push(flow);
        }
        let windows = flows.into_iter().map(|(span, flows)| (span, Window::new(&flows))).collect();
        let mut values: HashMap<(&str, Span<'_>), HashMap<Cow<'_, str>, f64>> = HashMap::new();
        for row in &batch.features {
            let span = (row.processing_date.as_str(), row.window_days);
            let known = values.entry((&row.address, span)).or_default();
            for (name, value) in &row.values {
                let name = underscored(name);
                // Of two numbers for one thing the smaller counts, so that the order of rows does not show.
                let entry = known.entry(name).or_insert(*value);
                if value.total_cmp(entry).is_lt() {
                    *entry = *value;
                }
            }
        }
        let mut by_alert: HashMap<&str, Vec<&Cluster>> = HashMap::new();
        for cluster in &batch.clusters {
            let alerts: std::collections::HashSet<&String> = cluster.related_alert_ids.iter().collect();
            for alert in alerts {
                by_alert.entry(alert).or_default().push(cluster);
            }
        }
        Self { batch, windows, values, by_alert }
    }

    /// The window of a date: the one of just these days, or one that leaves the days, the date or both open.
    fn window<'s>(&'s self, date: &'s str, days: i64) -> Option<&'s Window> {
        spans(date, days).into_iter().find_map(|span| self.windows.get(&span))
    }

    fn alert_case(&self, alert: &'b Alert) -> AlertCase<'b> {
        let same = |cluster: &&&Cluster| {
            cluster.processing_date == alert.processing_date && cluster.window_days == alert.window_days
        };
        let clusters = self.by_alert.get(alert.alert_id.as_str());
        let clusters = clusters.into_iter().flatten().filter(same).copied().collect();
        let window = self.window(&alert.processing_date, alert.window_days);
        AlertCase { alert, clusters, flows: window.and_then(|window| window.address(&alert.address)) }
    }

    fn cluster_case(&self, cluster: &'b Cluster) -> ClusterCase<'b> {
        let window = self.window(&cluster.processing_date, cluster.window_days);
        let mut names: Vec<&String> = cluster.addresses_involved.iter().collect();
        names.sort_unstable();
        names.dedup();
        let members = window.into_iter().flat_map(|window| names.iter().filter_map(|name| window.address(name)));
        ClusterCase {
            cluster,
            members: members.collect(),
            among: window.map_or((f64::NAN, f64::NAN), |window| window.among(&cluster.addresses_involved)),
        }
    }

    /// A number of the features table for an alert's address, from the row that states most of its window.
    fn address_value(&self, alert: &Alert, column: &str) -> f64 {
        let spans = spans(&alert.processing_date, alert.window_days).into_iter();
        let known = spans.filter_map(|span| self.values.get(&(alert.address.as_str(), span)));
        known.filter_map(|known| known.get(column)).next().copied().unwrap_or(f64::NAN)
    }
}

/// A column's name as models write it: without blanks.
fn underscored(name: &str) -> Cow<'_, str> {
    if name.contains(char::is_whitespace) { name.replace(char::is_whitespace, "_").into() } else { name.into() }
}

/// What may be stated of a window, the most exact first.
fn spans(date: &str, days: i64) -> [Span<'_>; 4] {
    [(date, days), (date, 0), ("", days), ("", 0)]
}

/// Which features a model uses, in the order of its columns.
#[derive(Clone, Debug)]
pub struct Plan {
    names: Vec<String>,
    kind: Kind,
    sources: Vec<Source>,
}

/// What is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Alerts, to score or to rank.
    Alert,
    /// Clusters of alerts.
    Cluster,
}

#[derive(Clone, Debug)]
enum Source {
    Base(usize),
    Address(String),
}

/// A feature that this version cannot compute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown feature `{0}`: the model was trained by another version")]
pub struct UnknownFeature(pub String);

impl Plan {
    /// Every feature there is, with the columns that the features tables hold.
    pub fn all(kind: Kind, batches: &[&Batch]) -> Self {
        let mut names: Vec<String> = match kind {
            Kind::Alert => ALERT.iter().map(|feature| feature.name.to_owned()).collect(),
            Kind::Cluster => CLUSTER.iter().map(|feature| feature.name.to_owned()).collect(),
        };
        if kind == Kind::Alert {
            let rows = batches.iter().flat_map(|batch| &batch.features);
            let columns: std::collections::BTreeSet<&str> =
                rows.flat_map(|row| &row.values).map(|(name, _)| name.as_str()).collect();
            names.extend(columns.into_iter().map(|column| format!("{ADDRESS_PREFIX}{}", underscored(column))));
        }
        Self::named(kind, &names).expect("names that were just listed")
    }

    /// The features of a model that was trained here.
    ///
    /// # Errors
    /// When a name is not known.
    pub fn named(kind: Kind, names: &[String]) -> Result<Self, UnknownFeature> {
        Self::find(kind, names, false)
    }

    /// The features of a model that was trained elsewhere: names that are none of ours are columns of the
    /// features table.
    ///
    /// # Errors
    /// When a name of a cluster model is not known: clusters have no such table.
    pub fn foreign(kind: Kind, names: &[String]) -> Result<Self, UnknownFeature> {
        Self::find(kind, names, true)
    }

    fn find(kind: Kind, names: &[String], foreign: bool) -> Result<Self, UnknownFeature> {
        let sources = names
            .iter()
            .map(|name| {
                let base = match kind {
                    Kind::Alert => ALERT.iter().position(|feature| feature.name == name),
                    Kind::Cluster => CLUSTER.iter().position(|feature| feature.name == name),
                };
                match (base, name.strip_prefix(ADDRESS_PREFIX)) {
                    (Some(place), _) => Ok(Source::Base(place)),
                    (None, Some(column)) if kind == Kind::Alert => Ok(Source::Address(column.to_owned())),
                    (None, None) if foreign && kind == Kind::Alert => Ok(Source::Address(name.clone())),
                    _ => Err(UnknownFeature(name.clone())),
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { names: names.to_vec(), kind, sources })
    }

    /// Names of the columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What is scored.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Only some of the columns, in ascending order.
    pub fn keep(&self, columns: &[usize]) -> Self {
        Self {
            names: columns.iter().map(|column| self.names[*column].clone()).collect(),
            kind: self.kind,
            sources: columns.iter().map(|column| self.sources[*column].clone()).collect(),
        }
    }

    /// Adds the features of an alert to `out`.
    pub fn alert<'b>(&self, context: &Context<'b>, alert: &'b Alert, out: &mut Vec<f64>) {
        let case = context.alert_case(alert);
        out.extend(self.sources.iter().map(|source| match source {
            Source::Base(place) => (ALERT[*place].value)(&case),
            Source::Address(column) => context.address_value(alert, column),
        }));
    }

    /// Adds the features of a cluster to `out`.
    pub fn cluster<'b>(&self, context: &Context<'b>, cluster: &'b Cluster, out: &mut Vec<f64>) {
        let case = context.cluster_case(cluster);
        out.extend(self.sources.iter().map(|source| match source {
            Source::Base(place) => (CLUSTER[*place].value)(&case),
            Source::Address(_) => f64::NAN,
        }));
    }

    /// The features of all alerts, or of all clusters, of a batch, row after row.
    pub fn rows(&self, context: &Context<'_>) -> Vec<f64> {
        let mut out = Vec::new();
        match self.kind {
            Kind::Alert => context.batch.alerts.iter().for_each(|alert| self.alert(context, alert, &mut out)),
            Kind::Cluster => context.batch.clusters.iter().for_each(|cluster| self.cluster(context, cluster, &mut out)),
        }
        out
    }

    /// Says a feature's value and what it did to the score.
    pub fn sentence(&self, column: usize, value: f64, contribution: f64) -> String {
        let effect = if contribution >= 0.0 { "raises" } else { "lowers" };
        let (phrase, name) = match &self.sources[column] {
            Source::Base(place) => match self.kind {
                Kind::Alert => (ALERT[*place].phrase, ALERT[*place].name),
                Kind::Cluster => (CLUSTER[*place].phrase, CLUSTER[*place].name),
            },
            Source::Address(column) => (column.as_str(), ""),
        };
        // Models see logarithms of what people count in dollars.
        let (phrase, value) = match phrase.strip_prefix(LOGARITHM) {
            Some(phrase) => (phrase, value.exp_m1()),
            None => (phrase, value),
        };
        let value = match name {
            _ if value.is_nan() => "not known".to_owned(),
            "typology" => TYPOLOGIES.get(value as usize).copied().unwrap_or("not known").to_owned(),
            "suspected_address_type" => ADDRESS_TYPES.get(value as usize).copied().unwrap_or("not known").to_owned(),
            _ => short(value),
        };
        format!("{phrase} is {value}, which {effect} the score")
    }
}

/// A number with at most three digits after the point that say something.
fn short(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    let digits = (2 - value.abs().log10().floor() as i32).clamp(0, 12) as usize;
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Batch {
        serde_json::from_str(
            r#"{"alerts":[
                {"alert_id":"a","address":"x","severity":"high","volume_usd":"1000.5","alert_confidence_score":0.7},
                {"alert_id":"b","address":"y"}],
              "features":[{"address":"x","degree_in":3,"note":"text","is_exchange_like":true},
                {"address":"x","feature_name":"late","feature_value":2.5}],
              "clusters":[{"cluster_id":"c","related_alert_ids":["a","b"],"addresses_involved":["x","y"],"total_alerts":2}],
              "money_flows":[{"source_address":"y","dest_address":"x","amount_usd":9500,"timestamp":7200},
                {"from_address":"x","to_address":"z","amount_usd_sum":"9000","timestamp":10800}]}"#,
        )
        .expect("a batch")
    }

    #[test]
    fn an_alert_is_the_same_alone_and_whatever_the_order() {
        let batch = batch();
        let plan = Plan::all(Kind::Alert, &[&batch]);
        let rows = plan.rows(&Context::new(&batch));
        let mut other = batch.clone();
        other.alerts.reverse();
        other.money_flows.reverse();
        other.features.reverse();
        let width = plan.names().len();
        let turned = plan.rows(&Context::new(&other));
        let bits = |row: &[f64]| row.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&rows[..width]), bits(&turned[width..]));
        other.alerts.retain(|alert| alert.alert_id == "a");
        assert_eq!(bits(&rows[..width]), bits(&plan.rows(&Context::new(&other))));
    }

    #[test]
    fn numbers_come_from_the_alert_its_cluster_its_address_and_its_window() {
        let batch = batch();
        let plan = Plan::all(Kind::Alert, &[&batch]);
        let rows = plan.rows(&Context::new(&batch));
        let value = |name: &str| rows[plan.names().iter().position(|known| known == name).expect(name)];
        assert_eq!(value("severity"), 3.0);
        assert_eq!(value("cluster_alerts"), 2.0);
        assert_eq!(value("address.degree_in"), 3.0);
        assert_eq!(value("address.is_exchange_like"), 1.0);
        assert_eq!(value("address.late"), 2.5);
        assert_eq!(value("in_degree"), 1.0);
        assert_eq!(value("near_threshold"), 1.0);
        assert_eq!(value("hours_held"), 1.0);
        assert!(!plan.names().iter().any(|name| name == "address.note"));
        let column = plan.names().iter().position(|name| name == "hours_held").expect("there");
        assert_eq!(
            plan.sentence(column, 1.0, 0.2),
            "median hours between receiving and sending is 1, which raises the score"
        );
        let column = plan.names().iter().position(|name| name == "in_volume").expect("there");
        assert_eq!(
            plan.sentence(column, value("in_volume"), -0.2),
            "the money received is 9500, which lowers the score"
        );
    }

    #[test]
    fn repeated_rows_and_less_exact_ones_do_not_show_their_order() {
        let text = |rows: &str| {
            format!(
                r#"{{"alerts":[{{"alert_id":"a","address":"x","processing_date":"2025-01-05","window_days":7}}],"features":[{rows}]}}"#
            )
        };
        let (exact, open) = (
            r#"{"address":"x","processing_date":"2025-01-05","window_days":7,"late share":3},{"address":"x","processing_date":"2025-01-05","window_days":7,"late share":2}"#,
            r#"{"address":"x","late share":1,"other":5}"#,
        );
        for rows in [format!("{exact},{open}"), format!("{open},{exact}")] {
            let batch: Batch = serde_json::from_str(&text(&rows)).expect("a batch");
            let plan = Plan::all(Kind::Alert, &[&batch]);
            let row = plan.rows(&Context::new(&batch));
            let value = |name: &str| row[plan.names().iter().position(|known| known == name).expect(name)];
            assert_eq!((value("address.late_share"), value("address.other")), (2.0, 5.0));
        }
    }

    #[test]
    fn short_numbers() {
        for (value, text) in
            [(3.0, "3"), (0.12345, "0.123"), (12.3456, "12.3"), (-0.00123456, "-0.00123"), (12345.6, "12346")]
        {
            assert_eq!(short(value), text);
        }
    }
}
