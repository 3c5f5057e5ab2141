//! Synthetic batches: accounts that pay each other week after week, crime rings among them, innocent
//! patterns that look like rings, and the alerts that simple detectors raise on both.
//!
//! Same settings, same bytes. No public set of labelled alerts exists that could be shipped instead; what is
//! learned here says how the machinery works, not how well it would do at a bank.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::ToSpan;
use jiff::civil::Date;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::facts::Flow;
use super::files::{self, Column};
use super::graph::Graph;
use super::window::{AddressFlows, Window};

/// What to generate.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Accounts that pay each other.
    pub accounts: usize,
    /// Weeks in sequence, one batch each.
    pub weeks: usize,
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// Last day of the first week.
    pub first_day: Date,
}

/// What was generated.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Money flows.
    pub flows: usize,
    /// Alerts.
    pub alerts: usize,
    /// Alerts that are right.
    pub right: usize,
    /// Clusters of alerts.
    pub clusters: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    Person,
    Business,
    Merchant,
    Exchange,
    Mixer,
}

/// An account and its habits.
struct Account {
    nature: Nature,
    /// Payments a week.
    activity: f64,
    /// Logarithm of the usual amount.
    amount: f64,
    contacts: Vec<usize>,
    /// Mean volume of the weeks so far.
    usual: f64,
    weeks: f64,
    alerts: f64,
}

/// Makes batches week by week.
pub struct Generator {
    settings: Settings,
    accounts: Vec<Account>,
    labels: BTreeMap<usize, &'static str>,
}

/// The flows of a week, and who is part of a ring.
struct Week {
    start: f64,
    flows: Vec<Flow>,
    rings: BTreeSet<usize>,
    random: ChaCha8Rng,
}

const WEEK: f64 = 7.0 * 86_400.0;
const HOUR: f64 = 3600.0;

fn name(account: usize) -> String {
    format!("A{account:06}")
}

impl Generator {
    /// A world of accounts.
    pub fn new(settings: Settings) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
        let count = settings.accounts.max(100);
        let nature = |random: &mut ChaCha8Rng| match random.random_range(0..1000) {
            0..800 => Nature::Person,
            800..940 => Nature::Business,
            940..980 => Nature::Merchant,
            980..992 => Nature::Exchange,
            _ => Nature::Mixer,
        };
        let natures: Vec<Nature> = (0..count).map(|_| nature(&mut random)).collect();
        let of = |nature: Nature| -> Vec<usize> { (0..count).filter(|index| natures[*index] == nature).collect() };
        let (persons, businesses, merchants) = (of(Nature::Person), of(Nature::Business), of(Nature::Merchant));
        let accounts = natures
            .iter()
            .map(|&nature| {
                let (low, high, amount) = match nature {
                    Nature::Person => (0.5, 5.0, 4.5),
                    Nature::Business => (3.0, 20.0, 6.5),
                    Nature::Merchant => (2.0, 12.0, 6.0),
                    Nature::Exchange => (10.0, 40.0, 6.5),
                    Nature::Mixer => (4.0, 15.0, 7.0),
                };
                let mut contacts = Vec::new();
                for _ in 0..random.random_range(3..10) {
                    let list = match random.random_range(0..10) {
                        0..5 => &merchants,
                        5..7 => &businesses,
                        _ => &persons,
                    };
                    contacts.extend(list.choose(&mut random).copied());
                }
                Account {
                    nature,
                    activity: random.random_range(low..high),
                    amount: amount + random.random_range(-0.8..0.8),
                    contacts,
                    usual: 0.0,
                    weeks: 0.0,
                    alerts: 0.0,
                }
            })
            .collect();
        Self { settings: Settings { accounts: count, ..settings }, accounts, labels: BTreeMap::new() }
    }

    /// Makes the batch of a week and writes it; weeks come in sequence, from 0 on. Returns the folder and
    /// what is in it.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_week(&mut self, index: usize, out: &Path) -> Result<(PathBuf, Counts), files::Error> {
        let date = self.settings.first_day.saturating_add((7 * index as i64).days());
        let epoch = jiff::civil::date(1970, 1, 1);
        let days = date.since(epoch).map_or(0, |span| i64::from(span.get_days()));
        let mut random = ChaCha8Rng::seed_from_u64(self.settings.seed);
        random.set_stream(index as u64 + 1);
        let start = (days - 6) as f64 * 86_400.0;
        let mut week = Week { start, flows: Vec::new(), rings: BTreeSet::new(), random };
        self.usual_payments(&mut week);
        self.innocent_patterns(&mut week);
        for _ in 0..(self.settings.accounts as f64 / 250.0).ceil() as usize {
            self.ring(&mut week);
        }
        let date = date.to_string();
        for flow in &mut week.flows {
            flow.amount_usd = (flow.amount_usd * 100.0).round() / 100.0;
            flow.timestamp = flow.timestamp.clamp(start, start + WEEK - 1.0).floor();
            flow.processing_date.clone_from(&date);
            flow.window_days = 7;
        }
        week.flows
            .sort_by(|a, b| a.timestamp.total_cmp(&b.timestamp).then_with(|| a.from_address.cmp(&b.from_address)));
        let folder = out.join("snapshots/synthetic").join(&date).join("7");
        let counts = self.write(&folder, &date, week)?;
        Ok((folder, counts))
    }

    fn pay(&self, week: &mut Week, from: usize, to: usize, amount: f64, time: f64) {
        if from != to {
            week.flows.push(Flow {
                from_address: name(from),
                to_address: name(to),
                amount_usd: amount.max(1.0),
                timestamp: time,
                tx_count: 1.0,
                ..Flow::default()
            });
        }
    }

    fn anyone(&self, random: &mut ChaCha8Rng) -> usize {
        random.random_range(0..self.accounts.len())
    }

    fn some(&self, random: &mut ChaCha8Rng, count: usize, nature: Nature) -> Vec<usize> {
        let mut list = BTreeSet::new();
        for _ in 0..50 * count {
            let account = self.anyone(random);
            if self.accounts[account].nature == nature {
                list.insert(account);
            }
            if list.len() == count {
                break;
            }
        }
        list.into_iter().collect()
    }

    fn usual_payments(&self, week: &mut Week) {
        for from in 0..self.accounts.len() {
            let account = &self.accounts[from];
            let count = poisson(&mut week.random, account.activity);
            for _ in 0..count {
                let known = week.random.random_bool(0.85);
                let to = if known { account.contacts.choose(&mut week.random).copied() } else { None };
                let to = to.unwrap_or_else(|| self.anyone(&mut week.random));
                let mut amount = (account.amount + 0.9 * normal(&mut week.random)).exp();
                if week.random.random_bool(0.3) {
                    amount = (amount / 50.0).ceil() * 50.0;
                }
                let time = week.start + week.random.random_range(0.0..WEEK);
                self.pay(week, from, to, amount, time);
            }
        }
    }

    /// What looks like crime and is none: payrolls, collections, savings circles, dealers in cash, treasuries
    /// that pass money on.
    fn innocent_patterns(&self, week: &mut Week) {
        let scale = self.accounts.len() as f64;
        for _ in 0..(scale / 60.0) as usize {
            let Some(&payer) = self.some(&mut week.random, 1, Nature::Business).first() else { continue };
            let count = week.random.random_range(6..20);
            let staff = self.some(&mut week.random, count, Nature::Person);
            let (salary, time) =
                (week.random.random_range(900.0..4000.0), week.start + week.random.random_range(0.0..WEEK));
            for person in staff {
                let amount = salary * week.random.random_range(0.7..1.4);
                self.pay(week, payer, person, amount, time);
            }
        }
        for _ in 0..(scale / 120.0) as usize {
            let Some(&collector) = self.some(&mut week.random, 1, Nature::Business).first() else { continue };
            let count = week.random.random_range(6..18);
            let time = week.start + week.random.random_range(0.0..0.6 * WEEK);
            for payer in self.some(&mut week.random, count, Nature::Person) {
                let (amount, later) =
                    (week.random.random_range(80.0..3000.0), week.random.random_range(0.0..60.0 * HOUR));
                self.pay(week, payer, collector, amount, time + later);
            }
        }
        for _ in 0..(scale / 800.0) as usize {
            let count = week.random.random_range(3..6);
            let circle = self.some(&mut week.random, count, Nature::Person);
            let (amount, time) =
                (week.random.random_range(200.0..2500.0), week.start + week.random.random_range(0.0..WEEK / 2.0));
            for (place, from) in circle.iter().enumerate() {
                let later = week.random.random_range(0.0..30.0 * HOUR) * place as f64;
                self.pay(week, *from, circle[(place + 1) % circle.len()], amount, time + later);
            }
        }
        for _ in 0..(scale / 300.0) as usize {
            let Some(&dealer) = self.some(&mut week.random, 1, Nature::Merchant).first() else { continue };
            for _ in 0..week.random.random_range(3..8) {
                let (from, time) = (self.anyone(&mut week.random), week.start + week.random.random_range(0.0..WEEK));
                let amount = week.random.random_range(7000.0..12_000.0);
                self.pay(week, from, dealer, amount, time);
            }
        }
        for _ in 0..(scale / 200.0) as usize {
            let treasury = self.some(&mut week.random, 3, Nature::Business);
            if let [first, middle, last] = treasury[..] {
                let amount = week.random.random_range(5000.0..60_000.0);
                let time = week.start + week.random.random_range(0.0..WEEK - 40.0 * HOUR);
                let later = week.random.random_range(1.0..36.0) * HOUR;
                self.pay(week, first, middle, amount, time);
                let passed = amount * week.random.random_range(0.8..1.0);
                self.pay(week, middle, last, passed, time + later);
            }
        }
    }

    fn ring(&self, week: &mut Week) {
        let time = week.start + week.random.random_range(0.0..WEEK * 0.6);
        let total = (9.5 + 0.7 * normal(&mut week.random)).exp();
        let size = week.random.random_range(4..12);
        let members = self.some(&mut week.random, size, Nature::Person);
        let Some((&head, rest)) = members.split_first() else { return };
        match week.random.random_range(0..6) {
            0 => {
                for &from in rest {
                    let amount = total / rest.len() as f64 * week.random.random_range(0.6..1.4);
                    let later = week.random.random_range(0.0..48.0 * HOUR);
                    self.pay(week, from, head, amount, time + later);
                }
                if week.random.random_bool(0.7) {
                    let (to, later) = (self.anyone(&mut week.random), week.random.random_range(50.0..80.0) * HOUR);
                    let passed = total * week.random.random_range(0.8..0.98);
                    self.pay(week, head, to, passed, time + later);
                }
            }
            1 => {
                let from = self.anyone(&mut week.random);
                self.pay(week, from, head, total, time);
                for &to in rest {
                    let amount = total / rest.len() as f64 * week.random.random_range(0.6..1.3);
                    let later = week.random.random_range(1.0..40.0) * HOUR;
                    self.pay(week, head, to, amount, time + later);
                }
            }
            2 => {
                let circle = &members[..members.len().min(6)];
                let mut amount = total / 3.0;
                for (place, &from) in circle.iter().enumerate() {
                    let later = place as f64 * week.random.random_range(2.0..14.0) * HOUR;
                    self.pay(week, from, circle[(place + 1) % circle.len()], amount, time + later);
                    amount *= week.random.random_range(0.94..0.995);
                }
            }
            3 => {
                for _ in 0..week.random.random_range(4..10) {
                    let from = *rest[..rest.len().min(2)].choose(&mut week.random).unwrap_or(&head);
                    let (amount, later) =
                        (week.random.random_range(8000.0..9950.0), week.random.random_range(0.0..60.0) * HOUR);
                    self.pay(week, from, head, amount, time + later);
                }
            }
            4 => {
                let mut amount = total;
                let mut now = time;
                for pair in members.windows(2) {
                    self.pay(week, pair[0], pair[1], amount, now);
                    amount *= week.random.random_range(0.95..0.995);
                    now += week.random.random_range(0.5..12.0) * HOUR;
                }
            }
            _ => {
                let Some(&mixer) = self.some(&mut week.random, 1, Nature::Mixer).first() else { return };
                self.pay(week, head, mixer, total, time);
                for &to in rest {
                    let later = week.random.random_range(2.0..50.0) * HOUR;
                    let amount = total / rest.len() as f64 * week.random.random_range(0.8..1.0);
                    self.pay(week, mixer, to, amount, time + later);
                }
            }
        }
        week.rings.extend(members);
    }

    /// Raises alerts on the flows, and writes all tables.
    fn write(&mut self, folder: &Path, date: &str, mut week: Week) -> Result<Counts, files::Error> {
        let window = Window::new(&week.flows.iter().collect::<Vec<_>>());
        let mut alerts = Vec::new();
        for account in 0..self.accounts.len() {
            let Some(flows) = window.address(&name(account)) else { continue };
            if let Some(alert) = self.detect(account, &flows, &mut week) {
                alerts.push(alert);
            }
        }
        let clusters = clusters(&alerts, &week.flows);
        let counts = Counts {
            flows: week.flows.len(),
            alerts: alerts.len(),
            right: alerts.iter().filter(|alert| alert.right).count(),
            clusters: clusters.len(),
        };
        let labels = self.learn_labels(&alerts, &mut week.random);
        let tables = [
            ("alerts", alert_columns(&alerts, date)),
            ("features", self.feature_columns(&alerts, date)),
            ("clusters", cluster_columns(&clusters, &alerts, date)),
            ("money_flows", flow_columns(&week.flows, date)),
            ("address_labels", labels),
        ];
        let present: Vec<_> = tables.into_iter().filter(|(_, columns)| rows(columns) > 0).collect();
        files::write(folder, &present)?;
        for alert in &alerts {
            self.accounts[alert.account].alerts += 1.0;
        }
        for account in 0..self.accounts.len() {
            let volume = window.address(&name(account)).map_or(0.0, |flows| flows.in_volume + flows.out_volume);
            let account = &mut self.accounts[account];
            account.weeks += 1.0;
            account.usual += (volume - account.usual) / account.weeks;
        }
        Ok(counts)
    }

    fn detect(&self, account: usize, flows: &AddressFlows, week: &mut Week) -> Option<Raised> {
        let volume = flows.in_volume + flows.out_volume;
        let transfers = flows.in_transfers + flows.out_transfers;
        let found: Vec<&'static str> = [
            ("cycle", flows.triangles > 0.0 || (flows.long_cycle > 0.0 && volume > 3000.0)),
            ("structuring", flows.near_threshold >= 0.3 && transfers >= 3.0),
            ("layering", flows.pass_through >= 0.8 && flows.hours_held <= 24.0 && volume > 8000.0),
            ("fan_in", flows.in_degree >= 8.0 && flows.in_degree >= 2.0 * flows.out_degree),
            ("fan_out", flows.out_degree >= 8.0 && flows.out_degree >= 2.0 * flows.in_degree),
            ("high_volume", volume > 60_000.0),
        ]
        .into_iter()
        .filter_map(|(name, holds)| holds.then_some(name))
        .collect();
        let chance = if found.is_empty() { 0.004 } else { 0.7 };
        if !week.random.random_bool(chance) {
            return None;
        }
        let ring = week.rings.contains(&account);
        let score = volume.max(1.0).ln() / 4.0 + found.len() as f64 / 2.0 + 0.6 * normal(&mut week.random);
        let severity = match score {
            score if score < 2.6 => "low",
            score if score < 3.3 => "medium",
            score if score < 4.0 => "high",
            _ => "critical",
        };
        let confidence =
            0.35 + 0.12 * found.len() as f64 + 0.12 * normal(&mut week.random) + if ring { 0.06 } else { 0.0 };
        let suspected = match self.accounts[account].nature {
            _ if week.random.random_bool(0.3) => "unknown",
            Nature::Person => "person",
            Nature::Business => "business",
            Nature::Merchant => "merchant",
            Nature::Exchange => "exchange",
            Nature::Mixer => "mixer",
        };
        Some(Raised {
            account,
            typology: found.first().copied().unwrap_or("random"),
            indicators: found.iter().map(|name| name.to_uppercase()).collect(),
            severity,
            suspected,
            confidence: (confidence.clamp(0.01, 0.99) * 1000.0).round() / 1000.0,
            volume: (volume * 100.0).round() / 100.0,
            time: week.start + WEEK + week.random.random_range(0.0..6.0) * HOUR,
            flows: *flows,
            // Investigators err too.
            right: ring != week.random.random_bool(0.01),
        })
    }

    fn feature_columns(&self, alerts: &[Raised], date: &str) -> Vec<(&'static str, Column)> {
        let number = |value: &dyn Fn(&Raised) -> f64| Column::Number(alerts.iter().map(value).collect());
        let usual = |alert: &Raised| {
            if self.accounts[alert.account].weeks > 0.0 { self.accounts[alert.account].usual } else { f64::NAN }
        };
        vec![
            ("processing_date", Column::Text(vec![date.to_owned(); alerts.len()])),
            ("window_days", Column::Whole(vec![7; alerts.len()])),
            ("address", Column::Text(alerts.iter().map(|alert| name(alert.account)).collect())),
            ("degree_in", number(&|alert| alert.flows.in_degree)),
            ("degree_out", number(&|alert| alert.flows.out_degree)),
            ("total_in_usd", number(&|alert| alert.flows.in_volume)),
            ("total_out_usd", number(&|alert| alert.flows.out_volume)),
            ("tx_total_count", number(&|alert| alert.flows.in_transfers + alert.flows.out_transfers)),
            ("usual_weekly_volume_usd", number(&usual)),
            ("volume_against_usual", number(&|alert| alert.volume / usual(alert))),
            ("weeks_known", number(&|alert| self.accounts[alert.account].weeks)),
            ("alerts_before", number(&|alert| self.accounts[alert.account].alerts)),
            (
                "is_exchange_like",
                Column::Truth(
                    alerts.iter().map(|alert| self.accounts[alert.account].nature == Nature::Exchange).collect(),
                ),
            ),
            (
                "is_mixer_like",
                Column::Truth(
                    alerts.iter().map(|alert| self.accounts[alert.account].nature == Nature::Mixer).collect(),
                ),
            ),
        ]
    }

    /// Some of what investigations found becomes known of the addresses, for later weeks.
    fn learn_labels(&mut self, alerts: &[Raised], random: &mut ChaCha8Rng) -> Vec<(&'static str, Column)> {
        let known: Vec<(usize, &str)> = self.labels.iter().map(|(account, level)| (*account, *level)).collect();
        for alert in alerts {
            if random.random_bool(0.3) {
                self.labels.insert(alert.account, if alert.right { "high" } else { "low" });
            }
        }
        let text = |list: Vec<String>| Column::Text(list);
        vec![
            ("network", text(vec!["synthetic".to_owned(); known.len()])),
            ("address", text(known.iter().map(|(account, _)| name(*account)).collect())),
            ("label", text(vec!["investigated".to_owned(); known.len()])),
            ("address_type", text(vec!["unknown".to_owned(); known.len()])),
            ("risk_level", text(known.iter().map(|(_, level)| (*level).to_owned()).collect())),
        ]
    }
}

/// An alert as it is raised.
struct Raised {
    account: usize,
    typology: &'static str,
    indicators: Vec<String>,
    severity: &'static str,
    suspected: &'static str,
    confidence: f64,
    volume: f64,
    time: f64,
    flows: AddressFlows,
    right: bool,
}

impl Raised {
    fn id(&self, date: &str) -> String {
        format!("{date}-{}", name(self.account))
    }
}

/// Addresses with more counterparties than this do not bind others together: everybody pays the supermarket.
const HUB: f64 = 14.0;

/// Alerts whose addresses paid each other belong together.
fn clusters(alerts: &[Raised], flows: &[Flow]) -> Vec<Vec<usize>> {
    let place: BTreeMap<String, usize> = alerts
        .iter()
        .enumerate()
        .filter(|(_, alert)| alert.flows.in_degree + alert.flows.out_degree <= HUB)
        .map(|(index, alert)| (name(alert.account), index))
        .collect();
    let tie = |flow: &Flow| Some((*place.get(&flow.from_address)? as u32, *place.get(&flow.to_address)? as u32));
    let ties = flows.iter().filter(|flow| flow.amount_usd >= 1000.0).filter_map(tie).collect();
    let mut lists: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, component) in Graph::new(alerts.len(), ties).components().into_iter().enumerate() {
        lists.entry(component).or_default().push(index);
    }
    lists.into_values().filter(|list| list.len() > 1).collect()
}

fn rows(columns: &[(&str, Column)]) -> usize {
    match columns.first() {
        Some((_, Column::Text(list))) => list.len(),
        _ => 0,
    }
}

fn alert_columns(alerts: &[Raised], date: &str) -> Vec<(&'static str, Column)> {
    let text = |value: &dyn Fn(&Raised) -> String| Column::Text(alerts.iter().map(value).collect());
    let number = |value: &dyn Fn(&Raised) -> f64| Column::Number(alerts.iter().map(value).collect());
    vec![
        ("processing_date", text(&|_| date.to_owned())),
        ("window_days", Column::Whole(vec![7; alerts.len()])),
        ("alert_id", text(&|alert| alert.id(date))),
        ("address", text(&|alert| name(alert.account))),
        ("typology_type", text(&|alert| alert.typology.to_owned())),
        ("severity", text(&|alert| alert.severity.to_owned())),
        ("suspected_address_type", text(&|alert| alert.suspected.to_owned())),
        ("alert_confidence_score", number(&|alert| alert.confidence)),
        ("description", text(&|alert| format!("{} suspected", alert.typology.replace('_', " ")))),
        ("volume_usd", number(&|alert| alert.volume)),
        ("risk_indicators", Column::List(alerts.iter().map(|alert| alert.indicators.clone()).collect())),
        ("ground_truth", Column::Truth(alerts.iter().map(|alert| alert.right).collect())),
    ]
}

fn cluster_columns(clusters: &[Vec<usize>], alerts: &[Raised], date: &str) -> Vec<(&'static str, Column)> {
    const SEVERITIES: [&str; 4] = ["low", "medium", "high", "critical"];
    let members = |list: &[usize]| list.iter().map(|index| &alerts[*index]).collect::<Vec<_>>();
    let text = |value: &dyn Fn(&[&Raised]) -> String| {
        Column::Text(clusters.iter().map(|list| value(&members(list))).collect())
    };
    let number =
        |value: &dyn Fn(&[&Raised]) -> f64| Column::Number(clusters.iter().map(|list| value(&members(list))).collect());
    let lists = |value: &dyn Fn(&Raised) -> String| {
        Column::List(clusters.iter().map(|list| members(list).into_iter().map(value).collect()).collect())
    };
    fn center<'a>(list: &[&'a Raised]) -> &'a Raised {
        list.iter().fold(list[0], |best, alert| if alert.volume > best.volume { alert } else { best })
    }
    let level = |alert: &&Raised| SEVERITIES.iter().position(|name| *name == alert.severity).unwrap_or(0);
    vec![
        ("processing_date", text(&|_| date.to_owned())),
        ("window_days", Column::Whole(vec![7; clusters.len()])),
        ("cluster_id", Column::Text((0..clusters.len()).map(|index| format!("{date}-C{index:04}")).collect())),
        ("cluster_type", text(&|_| "connected".to_owned())),
        ("primary_address", text(&|list| name(center(list).account))),
        ("primary_alert_id", text(&|list| center(list).id(date))),
        ("related_alert_ids", lists(&|alert| alert.id(date))),
        ("addresses_involved", lists(&|alert| name(alert.account))),
        ("total_alerts", number(&|list| list.len() as f64)),
        ("total_volume_usd", number(&|list| list.iter().map(|alert| alert.volume).sum())),
        ("severity_max", text(&|list| SEVERITIES[list.iter().map(level).max().unwrap_or(0)].to_owned())),
        ("confidence_avg", number(&|list| list.iter().map(|alert| alert.confidence).sum::<f64>() / list.len() as f64)),
        (
            "earliest_alert_timestamp",
            number(&|list| list.iter().map(|alert| alert.time).fold(f64::INFINITY, f64::min).floor()),
        ),
        ("latest_alert_timestamp", number(&|list| list.iter().map(|alert| alert.time).fold(0.0, f64::max).floor())),
    ]
}

fn flow_columns(flows: &[Flow], date: &str) -> Vec<(&'static str, Column)> {
    vec![
        ("from_address", Column::Text(flows.iter().map(|flow| flow.from_address.clone()).collect())),
        ("to_address", Column::Text(flows.iter().map(|flow| flow.to_address.clone()).collect())),
        ("amount_usd", Column::Number(flows.iter().map(|flow| flow.amount_usd).collect())),
        ("timestamp", Column::Whole(flows.iter().map(|flow| flow.timestamp as i64).collect())),
        ("processing_date", Column::Text(vec![date.to_owned(); flows.len()])),
        ("window_days", Column::Whole(vec![7; flows.len()])),
    ]
}

/// A standard normal number (Box and Muller, 1958).
fn normal(random: &mut ChaCha8Rng) -> f64 {
    let (a, b): (f64, f64) = (random.random::<f64>().max(f64::MIN_POSITIVE), random.random());
    (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}

/// A Poisson number by multiplication of uniform ones (Knuth).
fn poisson(random: &mut ChaCha8Rng, mean: f64) -> usize {
    let (limit, mut product, mut count) = ((-mean).exp(), random.random::<f64>(), 0);
    while product > limit {
        product *= random.random::<f64>();
        count += 1;
    }
    count
}
