//! A window: the money flows of some days, as a graph with what can be said of each address.

use std::cell::OnceCell;
use std::collections::HashMap;

use super::facts::Flow;
use super::graph::Graph;

/// Amounts from here up to the threshold look as if they were kept below it.
const NEAR_THRESHOLD: f64 = 8_000.0;
/// Cash above this is reported in many countries (31 CFR 1010.311: more than 10,000 dollars).
const THRESHOLD: f64 = 10_000.0;
/// Nodes from which betweenness is sampled.
const SOURCES: usize = 32;
/// Payers of payers that are looked at, at most.
const SECOND: usize = 20_000;
/// Steps that the search for cycles through one address may take.
const STEPS: usize = 20_000;
const DAY: f64 = 86_400.0;

/// The flows of one window.
#[derive(Clone, Debug, Default)]
pub struct Window {
    places: HashMap<String, u32>,
    graph: Graph,
    /// Transfers to and from each address.
    into: Vec<Vec<Transfer>>,
    out: Vec<Vec<Transfer>>,
    rank: Vec<f64>,
    component_size: Vec<u32>,
    community_size: Vec<u32>,
    betweenness: Vec<f64>,
    /// What was asked before: many alerts and clusters may share an address.
    known: Vec<OnceCell<AddressFlows>>,
}

#[derive(Clone, Copy, Debug)]
struct Transfer {
    other: u32,
    amount: f64,
    time: f64,
    count: f64,
}

/// What the flows of a window say of one address. Not a number where they say nothing.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the phrase beside each feature of `features::BASE` says what it is")]
pub struct AddressFlows {
    pub in_degree: f64,
    pub out_degree: f64,
    pub in_volume: f64,
    pub out_volume: f64,
    pub in_transfers: f64,
    pub out_transfers: f64,
    pub pass_through: f64,
    pub net_flow: f64,
    pub in_concentration: f64,
    pub out_concentration: f64,
    pub near_threshold: f64,
    pub round_amounts: f64,
    pub hours_held: f64,
    pub busiest_day: f64,
    pub returned: f64,
    pub second_degree: f64,
    pub page_rank: f64,
    pub component: f64,
    pub community: f64,
    pub betweenness: f64,
    pub short_cycles: f64,
    pub triangles: f64,
    pub long_cycle: f64,
    pub mean_amount: f64,
    pub amount_spread: f64,
}

impl Window {
    /// Builds the graph of some flows; their order does not matter.
    pub fn new(flows: &[&Flow]) -> Self {
        if flows.is_empty() {
            return Self::default();
        }
        let mut names: Vec<&str> =
            flows.iter().flat_map(|flow| [flow.from_address.as_str(), flow.to_address.as_str()]).collect();
        names.sort_unstable();
        names.dedup();
        let places: HashMap<String, u32> =
            names.iter().enumerate().map(|(place, name)| ((*name).to_owned(), place as u32)).collect();
        let mut list: Vec<(u32, u32, Transfer)> = flows
            .iter()
            .map(|flow| {
                let (from, to) = (places[&flow.from_address], places[&flow.to_address]);
                // What is not known, or less than nothing, is no money.
                let amount = if flow.amount_usd.is_finite() { flow.amount_usd.max(0.0) } else { 0.0 };
                (from, to, Transfer { other: 0, amount, time: flow.timestamp, count: flow.tx_count })
            })
            .collect();
        list.sort_by(|a, b| {
            let by_time = a.2.time.total_cmp(&b.2.time).then(a.2.amount.total_cmp(&b.2.amount));
            (a.0, a.1).cmp(&(b.0, b.1)).then(by_time).then(a.2.count.total_cmp(&b.2.count))
        });
        let nodes = names.len();
        let (mut into, mut out) = (vec![Vec::new(); nodes], vec![Vec::new(); nodes]);
        for (from, to, transfer) in &list {
            if from != to {
                out[*from as usize].push(Transfer { other: *to, ..*transfer });
                into[*to as usize].push(Transfer { other: *from, ..*transfer });
            }
        }
        let graph = Graph::new(nodes, list.iter().map(|(from, to, _)| (*from, *to)).collect());
        let rank = graph.page_rank();
        let component_size = sizes(&graph.components());
        let community_size = sizes(&graph.communities());
        let betweenness = graph.betweenness(SOURCES);
        let known = vec![OnceCell::new(); nodes];
        Self { places, graph, into, out, rank, component_size, community_size, betweenness, known }
    }

    /// Number of addresses.
    pub fn addresses(&self) -> usize {
        self.graph.nodes
    }

    /// What the window says of an address; nothing where the address is not in it.
    pub fn address(&self, name: &str) -> Option<AddressFlows> {
        let node = *self.places.get(name)? as usize;
        Some(*self.known[node].get_or_init(|| self.flows_of(node)))
    }

    fn flows_of(&self, node: usize) -> AddressFlows {
        let (into, out) = (&self.into[node], &self.out[node]);
        let volume = |list: &[Transfer]| list.iter().map(|transfer| transfer.amount).sum::<f64>();
        let count = |list: &[Transfer]| list.iter().map(|transfer| transfer.count).sum::<f64>();
        let (in_volume, out_volume) = (volume(into), volume(out));
        let all: Vec<Transfer> = into.iter().chain(out).copied().collect();
        let share = |test: &dyn Fn(f64) -> bool| {
            all.iter().filter(|transfer| test(transfer.amount)).count() as f64 / all.len() as f64
        };
        let near = |amount: f64| (NEAR_THRESHOLD..THRESHOLD).contains(&amount);
        let round = |amount: f64| amount >= 100.0 && amount % 100.0 == 0.0;
        let mean = volume(&all) / all.len() as f64;
        let spread =
            (all.iter().map(|transfer| (transfer.amount - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt();
        let payers = self.graph.into.of(node);
        let returned = self.graph.out.of(node).iter().filter(|other| payers.binary_search(other).is_ok()).count();
        let second = payers.iter().flat_map(|payer| self.graph.into.of(*payer as usize));
        let mut second: Vec<u32> = second.take(SECOND).copied().collect();
        second.sort_unstable();
        second.dedup();
        let (two, three, long) = self.graph.cycles(node, STEPS);
        AddressFlows {
            in_degree: payers.len() as f64,
            out_degree: self.graph.out.of(node).len() as f64,
            in_volume,
            out_volume,
            in_transfers: count(into),
            out_transfers: count(out),
            pass_through: in_volume.min(out_volume) / in_volume.max(out_volume),
            net_flow: (in_volume - out_volume) / (in_volume + out_volume),
            in_concentration: concentration(into, in_volume),
            out_concentration: concentration(out, out_volume),
            near_threshold: share(&near),
            round_amounts: share(&round),
            hours_held: hours_held(into, out),
            busiest_day: busiest_day(&all),
            returned: returned as f64 / self.graph.out.of(node).len() as f64,
            second_degree: second.len() as f64,
            page_rank: self.rank[node] * self.graph.nodes as f64,
            component: f64::from(self.component_size[node]),
            community: f64::from(self.community_size[node]),
            betweenness: self.betweenness[node],
            short_cycles: two as f64,
            triangles: three as f64,
            long_cycle: long as f64,
            mean_amount: mean,
            amount_spread: spread / mean,
        }
    }

    /// Share of the possible edges between some addresses that exist, and share of their outflow that stays
    /// among them.
    pub fn among(&self, names: &[String]) -> (f64, f64) {
        let mut inside: Vec<u32> = names.iter().filter_map(|name| self.places.get(name)).copied().collect();
        inside.sort_unstable();
        inside.dedup();
        let (mut edges, mut kept, mut all) = (0, 0.0, 0.0);
        for &node in &inside {
            let within = |other: u32| inside.binary_search(&other).is_ok();
            edges += self.graph.out.of(node as usize).iter().filter(|other| within(**other)).count();
            for transfer in &self.out[node as usize] {
                all += transfer.amount;
                kept += if within(transfer.other) { transfer.amount } else { 0.0 };
            }
        }
        let pairs = (inside.len() * inside.len().saturating_sub(1)) as f64;
        (edges as f64 / pairs, kept / all)
    }
}

/// For each node, how many share its group.
fn sizes(groups: &[u32]) -> Vec<u32> {
    let mut count = vec![0; groups.len()];
    groups.iter().for_each(|group| count[*group as usize] += 1);
    groups.iter().map(|group| count[*group as usize]).collect()
}

/// Herfindahl's index over counterparties: 1 where one has all.
fn concentration(transfers: &[Transfer], volume: f64) -> f64 {
    let parties = transfers.chunk_by(|a, b| a.other == b.other);
    let sum: f64 = parties.map(|list| list.iter().map(|transfer| transfer.amount).sum::<f64>().powi(2)).sum();
    sum / (volume * volume)
}

/// Median hours between a payment out and the last payment in before it.
fn hours_held(into: &[Transfer], out: &[Transfer]) -> f64 {
    let mut times: Vec<f64> = into.iter().map(|transfer| transfer.time).filter(|time| time.is_finite()).collect();
    times.sort_by(f64::total_cmp);
    let mut held: Vec<f64> = out
        .iter()
        .filter_map(|transfer| {
            let before = times.partition_point(|time| *time <= transfer.time);
            (before > 0).then(|| (transfer.time - times[before - 1]) / 3600.0)
        })
        .collect();
    held.sort_by(f64::total_cmp);
    held.get(held.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Largest share of transfers within 24 hours.
fn busiest_day(transfers: &[Transfer]) -> f64 {
    let mut times: Vec<f64> = transfers.iter().map(|transfer| transfer.time).filter(|time| time.is_finite()).collect();
    times.sort_by(f64::total_cmp);
    let most = (0..times.len()).map(|first| times.partition_point(|time| *time <= times[first] + DAY) - first).max();
    most.map_or(f64::NAN, |most| most as f64 / times.len() as f64)
}
