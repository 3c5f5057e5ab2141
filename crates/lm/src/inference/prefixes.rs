//! What was read before: full pages of keys and values by the tokens that they and all pages before them stand for.
//!
//! A tree with a page on every node. What was not used for longest is forgotten first, from the leaves on.

use crate::model::Page;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Which keys and values are alike at all: those of one adapter, turned by the same table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Family {
    /// Number of the adapter; 0 for none.
    pub(crate) adapter: u64,
    /// Whether keys are turned by the table for long sequences.
    pub(crate) long: bool,
}

/// A place in the tree.
pub(crate) type Node = u32;

#[derive(Debug)]
struct Entry {
    /// Where it hangs and by which tokens; none for the root of a family.
    parent: Option<(Node, Box<[u32]>)>,
    page: Option<Arc<Page>>,
    children: HashMap<Box<[u32]>, Node>,
    used: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Prefixes {
    roots: HashMap<Family, Node>,
    entries: Vec<Option<Entry>>,
    free: Vec<Node>,
    /// Nodes with a page and without children, least recently used first.
    leaves: BTreeSet<(u64, Node)>,
    clock: u64,
}

impl Prefixes {
    /// Where sequences of a family begin.
    pub(crate) fn root(&mut self, family: Family) -> Node {
        if let Some(root) = self.roots.get(&family) {
            return *root;
        }
        let root = self.add(Entry { parent: None, page: None, children: HashMap::new(), used: 0 });
        self.roots.insert(family, root);
        root
    }

    /// The page of the next tokens, which counts as used now.
    pub(crate) fn find(&mut self, node: Node, tokens: &[u32]) -> Option<(Node, Arc<Page>)> {
        let child = *self.entry(node).children.get(tokens)?;
        self.touch(child);
        self.entry(child).page.clone().map(|page| (child, page))
    }

    /// Keeps the page of the next tokens, unless there is one already. Returns the page that is kept and its place,
    /// which holds good as long as somebody has the page.
    pub(crate) fn keep(&mut self, node: Node, tokens: &[u32], page: &Arc<Page>) -> (Node, Arc<Page>) {
        if let Some(kept) = self.find(node, tokens) {
            return kept;
        }
        let used = self.entry(node).used;
        self.leaves.remove(&(used, node));
        let parent = Some((node, Box::from(tokens)));
        let child = self.add(Entry { parent, page: Some(Arc::clone(page)), children: HashMap::new(), used: 0 });
        self.entry_mut(node).children.insert(Box::from(tokens), child);
        self.leaves.insert((0, child));
        self.touch(child);
        (child, Arc::clone(page))
    }

    /// Forgets the page that was not used for longest, of those that no sequence needs. Returns whether there was one.
    pub(crate) fn evict(&mut self) -> bool {
        let unused = |node: &Node| self.entry(*node).page.as_ref().is_some_and(|page| Arc::strong_count(page) == 1);
        let Some((used, node)) = self.leaves.iter().find(|(_, node)| unused(node)).copied() else { return false };
        self.leaves.remove(&(used, node));
        let entry = self.entries[node as usize].take();
        self.free.push(node);
        if let Some((parent, tokens)) = entry.and_then(|entry| entry.parent) {
            let above = self.entry_mut(parent);
            above.children.remove(&tokens);
            if above.children.is_empty() && above.page.is_some() {
                let used = above.used;
                self.leaves.insert((used, parent));
            }
        }
        true
    }

    /// Forgets families of which nothing is kept and whose adapter is not in use: sequences may stand where one begins.
    pub(crate) fn prune(&mut self, in_use: impl Fn(u64) -> bool) {
        let Self { roots, entries, free, .. } = self;
        roots.retain(|family, root| {
            let entry = &mut entries[*root as usize];
            let kept = in_use(family.adapter) || entry.as_ref().is_some_and(|entry| !entry.children.is_empty());
            if !kept {
                *entry = None;
                free.push(*root);
            }
            kept
        });
    }

    /// Pages that are kept and that no sequence needs.
    pub(crate) fn unused(&self) -> usize {
        let pages = self.entries.iter().flatten().filter_map(|entry| entry.page.as_ref());
        pages.filter(|page| Arc::strong_count(page) == 1).count()
    }

    /// Pages that are kept.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.entries.len() - self.free.len() - self.roots.len()
    }

    fn touch(&mut self, node: Node) {
        self.clock += 1;
        let clock = self.clock;
        let entry = self.entry_mut(node);
        let before = std::mem::replace(&mut entry.used, clock);
        if self.leaves.remove(&(before, node)) {
            self.leaves.insert((clock, node));
        }
    }

    fn add(&mut self, entry: Entry) -> Node {
        match self.free.pop() {
            Some(node) => {
                self.entries[node as usize] = Some(entry);
                node
            }
            None => {
                self.entries.push(Some(entry));
                (self.entries.len() - 1) as Node
            }
        }
    }

    fn entry(&self, node: Node) -> &Entry {
        self.entries[node as usize].as_ref().expect("a node in use is not forgotten")
    }

    fn entry_mut(&mut self, node: Node) -> &mut Entry {
        self.entries[node as usize].as_mut().expect("a node in use is not forgotten")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Attention, Sight};
    use crate::model::{Cache, Pool};

    const FAMILY: Family = Family { adapter: 0, long: false };

    fn page(pool: &Pool<f32>) -> Arc<Page> {
        let mut cache = Cache::new(pool);
        cache.reserve(crate::kernel::PAGE);
        cache.grow(crate::kernel::PAGE);
        Arc::clone(cache.page(0))
    }

    #[test]
    fn what_was_kept_is_found_until_it_is_the_oldest() {
        let attention = Attention { heads: 1, key_value_heads: 1, size: 8, view: Sight::Past(None) };
        let pool = Pool::<f32>::new(&attention, 1);
        let mut prefixes = Prefixes::default();
        let root = prefixes.root(FAMILY);
        assert_eq!(prefixes.root(FAMILY), root);
        assert_ne!(prefixes.root(Family { adapter: 1, ..FAMILY }), root);
        let a = prefixes.keep(root, &[1, 2], &page(&pool)).0;
        let b = prefixes.keep(a, &[3, 4], &page(&pool)).0;
        let held = page(&pool);
        let c = prefixes.keep(a, &[5, 6], &held).0;
        assert_eq!(prefixes.keep(a, &[3, 4], &page(&pool)).0, b, "kept once");
        assert_eq!((prefixes.len(), pool.count()), (3, 3));
        assert!(prefixes.find(root, &[3, 4]).is_none() && prefixes.find(b, &[5, 6]).is_none());
        // One leaf is in use and stays; its sibling goes, then nothing can.
        assert!(prefixes.evict());
        assert!(prefixes.find(a, &[3, 4]).is_none());
        assert!(!prefixes.evict());
        drop(held);
        assert!(prefixes.find(a, &[5, 6]).is_some_and(|(node, _)| node == c));
        assert!(prefixes.evict() && prefixes.evict() && !prefixes.evict());
        assert_eq!((prefixes.len(), pool.count()), (0, 0));
        let again = prefixes.keep(root, &[1, 2], &page(&pool)).0;
        assert_eq!(prefixes.find(root, &[1, 2]).map(|(node, _)| node), Some(again));
        // Families go when nothing of them is kept and nobody can stand there.
        prefixes.prune(|adapter| adapter == 1);
        assert_eq!((prefixes.roots.len(), prefixes.len()), (2, 1));
        prefixes.prune(|adapter| adapter == 0);
        assert_eq!((prefixes.roots.len(), prefixes.len()), (1, 1));
        prefixes.prune(|_| false);
        assert_eq!((prefixes.roots.len(), prefixes.len()), (1, 1));
        assert!(prefixes.evict());
        prefixes.prune(|_| false);
        assert_eq!((prefixes.roots.len(), prefixes.len()), (0, 0));
        let root = prefixes.root(FAMILY);
        assert!(prefixes.find(root, &[1, 2]).is_none());
    }
}
