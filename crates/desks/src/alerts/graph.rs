//! The graph of a window's money flows, and what can be said of its nodes. Compressed rows (CSR); nodes are
//! numbered in the order of their names, so that nothing depends on the order of the flows.

/// Out-edges or in-edges of every node.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    starts: Vec<u32>,
    ends: Vec<u32>,
}

impl Rows {
    fn new(nodes: usize, edges: &[(u32, u32)], reverse: bool) -> Self {
        let side = |edge: &(u32, u32)| if reverse { (edge.1, edge.0) } else { *edge };
        let mut starts = vec![0u32; nodes + 1];
        edges.iter().for_each(|edge| starts[side(edge).0 as usize + 1] += 1);
        for node in 0..nodes {
            starts[node + 1] += starts[node];
        }
        let mut next = starts.clone();
        let mut ends = vec![0; edges.len()];
        for edge in edges {
            let (from, to) = side(edge);
            ends[next[from as usize] as usize] = to;
            next[from as usize] += 1;
        }
        Self { starts, ends }
    }

    /// Neighbours of a node, ascending.
    pub fn of(&self, node: usize) -> &[u32] {
        &self.ends[self.starts[node] as usize..self.starts[node + 1] as usize]
    }
}

/// A directed graph without repeated edges and loops.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Number of nodes.
    pub nodes: usize,
    /// Who is paid by a node.
    pub out: Rows,
    /// Who pays a node.
    pub into: Rows,
}

impl Graph {
    /// Builds a graph from edges between `0..nodes`, in any order; repeated ones and loops are left out.
    pub fn new(nodes: usize, mut edges: Vec<(u32, u32)>) -> Self {
        edges.retain(|(from, to)| from != to);
        edges.sort_unstable();
        edges.dedup();
        Self { nodes, out: Rows::new(nodes, &edges, false), into: Rows::new(nodes, &edges, true) }
    }

    /// PageRank (Page, Brin, Motwani and Winograd, 1999) with damping 0.85, to an L1 error of 1e-10; the
    /// values add up to 1.
    pub fn page_rank(&self) -> Vec<f64> {
        const DAMPING: f64 = 0.85;
        let n = self.nodes as f64;
        let mut rank = vec![1.0 / n; self.nodes];
        let mut share = vec![0.0; self.nodes];
        for _ in 0..200 {
            let mut dangling = 0.0;
            for node in 0..self.nodes {
                let degree = self.out.of(node).len();
                if degree == 0 {
                    dangling += rank[node];
                }
                share[node] = if degree == 0 { 0.0 } else { rank[node] / degree as f64 };
            }
            let base = (1.0 - DAMPING + DAMPING * dangling) / n;
            let mut change = 0.0;
            for (node, rank) in rank.iter_mut().enumerate() {
                let next = base + DAMPING * self.into.of(node).iter().map(|from| share[*from as usize]).sum::<f64>();
                change += (next - *rank).abs();
                *rank = next;
            }
            if change < 1e-10 {
                break;
            }
        }
        rank
    }

    /// The weakly connected component of every node, named by its smallest node.
    pub fn components(&self) -> Vec<u32> {
        let mut parent: Vec<u32> = (0..self.nodes as u32).collect();
        fn root(parent: &mut [u32], mut node: u32) -> u32 {
            while parent[node as usize] != node {
                parent[node as usize] = parent[parent[node as usize] as usize];
                node = parent[node as usize];
            }
            node
        }
        for node in 0..self.nodes {
            for &other in self.out.of(node) {
                let (a, b) = (root(&mut parent, node as u32), root(&mut parent, other));
                parent[a.max(b) as usize] = a.min(b);
            }
        }
        (0..self.nodes as u32).map(|node| root(&mut parent, node)).collect()
    }

    /// Betweenness (Brandes, 2001) from up to `sources` evenly spaced nodes, as the mean over sources of
    /// the number of shortest paths' shares that pass through a node.
    pub fn betweenness(&self, sources: usize) -> Vec<f64> {
        let mut total = vec![0.0; self.nodes];
        let count = sources.min(self.nodes);
        let (mut distance, mut paths) = (vec![-1i32; self.nodes], vec![0.0f64; self.nodes]);
        let (mut share, mut queue) = (vec![0.0f64; self.nodes], Vec::<u32>::new());
        for index in 0..count {
            let source = index * self.nodes / count;
            for node in queue.drain(..) {
                let node = node as usize;
                (distance[node], paths[node], share[node]) = (-1, 0.0, 0.0);
            }
            (distance[source], paths[source]) = (0, 1.0);
            queue.push(source as u32);
            let mut head = 0;
            while head < queue.len() {
                let node = queue[head] as usize;
                head += 1;
                for &next in self.out.of(node) {
                    let next = next as usize;
                    if distance[next] < 0 {
                        distance[next] = distance[node] + 1;
                        queue.push(next as u32);
                    }
                    if distance[next] == distance[node] + 1 {
                        paths[next] += paths[node];
                    }
                }
            }
            for &node in queue.iter().rev() {
                let node = node as usize;
                let below = self.out.of(node).iter().map(|next| *next as usize);
                let sum: f64 = below
                    .filter(|next| distance[*next] == distance[node] + 1)
                    .map(|next| (1.0 + share[next]) / paths[next])
                    .sum();
                share[node] = sum * paths[node];
                if node != source {
                    total[node] += share[node];
                }
            }
        }
        total.iter_mut().for_each(|value| *value /= count.max(1) as f64);
        total
    }

    /// Communities by Louvain's method (Blondel et al., 2008) on the undirected graph: the number of each
    /// node's community, in the order of their smallest nodes.
    pub fn communities(&self) -> Vec<u32> {
        let mut level: Vec<Vec<(u32, f64)>> = (0..self.nodes)
            .map(|node| {
                let mut list: Vec<u32> = self.out.of(node).iter().chain(self.into.of(node)).copied().collect();
                list.sort_unstable();
                list.dedup();
                list.into_iter().map(|other| (other, 1.0)).collect()
            })
            .collect();
        let mut inside = vec![0.0; self.nodes];
        let mut community: Vec<u32> = (0..self.nodes as u32).collect();
        let total: f64 = level.iter().flatten().map(|(_, weight)| weight).sum();
        if total == 0.0 {
            return community;
        }
        loop {
            let moved = move_nodes(&level, &inside, total);
            let count = moved.iter().max().map_or(0, |last| *last as usize + 1);
            community.iter_mut().for_each(|place| *place = moved[*place as usize]);
            if count == level.len() {
                return community;
            }
            (level, inside) = merge(&level, &inside, &moved, count);
        }
    }

    /// Simple cycles through a node: how many of 2 and 3 edges, and the length of the shortest of 4 to 6
    /// edges (0 where there is none). At most `budget` steps are taken.
    pub fn cycles(&self, node: usize, budget: usize) -> (usize, usize, usize) {
        let (mut two, mut three, mut long) = (0, 0, 0);
        let mut left = budget;
        let home = node as u32;
        for &a in self.out.of(node) {
            two += usize::from(self.out.of(a as usize).binary_search(&home).is_ok());
            for &b in self.out.of(a as usize).iter().filter(|b| **b != home) {
                if left == 0 {
                    return (two, three, long);
                }
                left -= 1;
                three += usize::from(self.out.of(b as usize).binary_search(&home).is_ok());
            }
        }
        for length in 4..=6 {
            let mut path = vec![home];
            if self.returns(&mut path, length, &mut left) {
                long = length;
                break;
            }
        }
        (two, three, long)
    }

    fn returns(&self, path: &mut Vec<u32>, length: usize, left: &mut usize) -> bool {
        let last = *path.last().expect("a path has a start") as usize;
        if path.len() == length {
            return self.out.of(last).binary_search(&path[0]).is_ok();
        }
        for &next in self.out.of(last) {
            if *left == 0 {
                return false;
            }
            *left -= 1;
            if path.contains(&next) {
                continue;
            }
            path.push(next);
            let found = self.returns(path, length, left);
            path.pop();
            if found {
                return true;
            }
        }
        false
    }
}

/// Moves nodes to the neighbouring community that raises modularity most, until few move; communities are
/// numbered in the order of their smallest nodes.
fn move_nodes(level: &[Vec<(u32, f64)>], inside: &[f64], total: f64) -> Vec<u32> {
    let n = level.len();
    let degree: Vec<f64> =
        (0..n).map(|node| level[node].iter().map(|(_, weight)| weight).sum::<f64>() + inside[node]).collect();
    let mut community: Vec<u32> = (0..n as u32).collect();
    let mut sum = degree.clone();
    let mut weight = vec![0.0f64; n];
    let mut touched: Vec<u32> = Vec::new();
    for _ in 0..100 {
        let mut moves = 0;
        for node in 0..n {
            for &(other, edge) in &level[node] {
                let place = community[other as usize];
                if weight[place as usize] == 0.0 {
                    touched.push(place);
                }
                weight[place as usize] += edge;
            }
            let home = community[node];
            sum[home as usize] -= degree[node];
            let gain = |place: u32| weight[place as usize] - sum[place as usize] * degree[node] / total;
            let mut best = (home, gain(home));
            for &place in &touched {
                let here = gain(place);
                if here > best.1 + 1e-12 {
                    best = (place, here);
                }
            }
            sum[best.0 as usize] += degree[node];
            moves += usize::from(best.0 != home);
            community[node] = best.0;
            touched.drain(..).for_each(|place| weight[place as usize] = 0.0);
        }
        if moves <= n / 1000 {
            break;
        }
    }
    let mut names = vec![u32::MAX; n];
    let mut count = 0;
    for place in &mut community {
        let name = &mut names[*place as usize];
        if *name == u32::MAX {
            *name = count;
            count += 1;
        }
        *place = *name;
    }
    community
}

type Weighted = Vec<Vec<(u32, f64)>>;

/// The graph whose nodes are the communities.
fn merge(level: &Weighted, inside: &[f64], community: &[u32], count: usize) -> (Weighted, Vec<f64>) {
    let mut within = vec![0.0; count];
    let mut edges: Vec<(u32, u32, f64)> = Vec::new();
    for (node, list) in level.iter().enumerate() {
        let here = community[node];
        within[here as usize] += inside[node];
        for &(other, weight) in list {
            let there = community[other as usize];
            if here == there {
                within[here as usize] += weight;
            } else {
                edges.push((here, there, weight));
            }
        }
    }
    edges.sort_by_key(|(from, to, _)| (*from, *to));
    let mut merged = vec![Vec::new(); count];
    for (from, to, weight) in edges {
        let list: &mut Vec<(u32, f64)> = &mut merged[from as usize];
        match list.last_mut() {
            Some((last, sum)) if *last == to => *sum += weight,
            _ => list.push((to, weight)),
        }
    }
    (merged, within)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two triangles that pay each other through one edge, and a node apart.
    fn two_triangles() -> Graph {
        Graph::new(7, vec![(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 5), (5, 3), (3, 4), (6, 6)])
    }

    #[test]
    fn ranks_add_up_and_the_end_of_the_bridge_ranks_highest() {
        let rank = two_triangles().page_rank();
        assert!((rank.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((0..7).all(|node| rank[node] <= rank[3]));
    }

    #[test]
    fn components_and_communities_are_found() {
        let graph = two_triangles();
        assert_eq!(graph.components(), [0, 0, 0, 0, 0, 0, 6]);
        assert_eq!(graph.communities(), [0, 0, 0, 1, 1, 1, 2]);
    }

    #[test]
    fn betweenness_counts_paths_through_a_node() {
        // 0 -> 1 -> 2 -> 3: from all four sources, 1 lies on two paths, 2 on two.
        let chain = Graph::new(4, vec![(0, 1), (1, 2), (2, 3)]);
        assert_eq!(chain.betweenness(4), [0.0, 0.5, 0.5, 0.0]);
    }

    #[test]
    fn cycles_are_counted_up_to_their_length() {
        let graph = two_triangles();
        assert_eq!(graph.cycles(0, 1000), (0, 1, 0));
        let ring = Graph::new(5, vec![(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (1, 0)]);
        assert_eq!(ring.cycles(0, 1000), (1, 0, 5));
        assert_eq!(ring.cycles(0, 0), (1, 0, 0));
    }
}
