//! Which of a group's items goes first.

use super::agenda::Item;

/// The items of a group that have something to do.
#[derive(Debug)]
pub(super) enum Queue {
    /// Each item has a place of its own in the order, which never changes: one bit for each, by place.
    Ranked { bits: Vec<u64>, order: Vec<u32> },
    /// Items whose place changes, or that share one: the heap decides between equal ones.
    Heap(Vec<u32>),
}

impl Queue {
    /// For these items of one group, which learn their places.
    pub(super) fn new(members: Vec<u32>, items: &mut [Item]) -> Self {
        let mut order = members;
        order.sort_by(|a, b| compare(items, *b, *a));
        let distinct = order.is_sorted_by(|a, b| compare(items, *b, *a).is_lt());
        if !distinct || order.iter().any(|item| items[*item as usize].dynamic) {
            return Queue::Heap(Vec::new());
        }
        for (rank, item) in (0..).zip(&order) {
            items[*item as usize].rank = rank;
        }
        Queue::Ranked { bits: vec![0; order.len().div_ceil(64)], order }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Queue::Ranked { bits, .. } => bits.fill(0),
            Queue::Heap(heap) => heap.clear(),
        }
    }

    /// Adds an item that is not there.
    #[inline]
    pub(super) fn push(&mut self, item: u32, items: &[Item]) {
        match self {
            Queue::Ranked { bits, .. } => {
                let rank = items[item as usize].rank;
                bits[rank as usize / 64] |= 1 << (rank % 64);
            }
            Queue::Heap(heap) => push(heap, item, &|a, b| compare(items, a, b)),
        }
    }

    #[inline]
    pub(super) fn remove(&mut self, item: u32, items: &[Item]) {
        match self {
            Queue::Ranked { bits, .. } => {
                let rank = items[item as usize].rank;
                bits[rank as usize / 64] &= !(1 << (rank % 64));
            }
            Queue::Heap(heap) => {
                if let Some(at) = heap.iter().position(|held| *held == item) {
                    remove_at(heap, at, &|a, b| compare(items, a, b));
                }
            }
        }
    }

    #[inline]
    pub(super) fn first(&self) -> Option<u32> {
        match self {
            Queue::Ranked { bits, order } => {
                let word = bits.iter().position(|word| *word != 0)?;
                order.get(word * 64 + bits[word].trailing_zeros() as usize).copied()
            }
            Queue::Heap(heap) => heap.first().copied(),
        }
    }
}

/// Greater goes first: salience, then the rule's place in the file.
pub(super) fn compare(items: &[Item], a: u32, b: u32) -> std::cmp::Ordering {
    let (x, y) = (&items[a as usize], &items[b as usize]);
    x.salience.cmp(&y.salience).then_with(|| y.load_order.cmp(&x.load_order))
}

// A binary heap with the greatest element first. Its mechanics decide between equal elements,
// and so belong to the firing order.

pub(super) fn push(heap: &mut Vec<u32>, item: u32, compare: &impl Fn(u32, u32) -> std::cmp::Ordering) {
    heap.push(item);
    let last = heap.len() - 1;
    sift_up(heap, last, compare);
}

fn sift_up(heap: &mut [u32], mut at: usize, compare: &impl Fn(u32, u32) -> std::cmp::Ordering) {
    let item = heap[at];
    while at > 0 {
        let parent = (at - 1) / 2;
        if compare(item, heap[parent]).is_le() {
            break;
        }
        heap[at] = heap[parent];
        at = parent;
    }
    heap[at] = item;
}

fn sift_down(heap: &mut [u32], mut at: usize, compare: &impl Fn(u32, u32) -> std::cmp::Ordering) {
    let item = heap[at];
    loop {
        let mut child = at * 2 + 1;
        if child >= heap.len() {
            break;
        }
        if child + 1 < heap.len() && compare(heap[child + 1], heap[child]).is_gt() {
            child += 1;
        }
        if compare(heap[child], item).is_le() {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = item;
}

pub(super) fn remove_at(heap: &mut Vec<u32>, at: usize, compare: &impl Fn(u32, u32) -> std::cmp::Ordering) {
    let Some(last) = heap.pop() else { return };
    if at == heap.len() {
        return;
    }
    heap[at] = last;
    if at > 0 && compare(last, heap[(at - 1) / 2]).is_gt() {
        sift_up(heap, at, compare);
    } else {
        sift_down(heap, at, compare);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Items of one group with these saliences, in the order of their rules.
    fn items(saliences: &[i32]) -> Vec<Item> {
        let item =
            |(rule, salience): (usize, &i32)| Item { salience: *salience, load_order: rule as u32, ..Item::default() };
        saliences.iter().enumerate().map(item).collect()
    }

    /// The items in the order in which they leave a queue that held all of them.
    fn drained(queue: &mut Queue, items: &[Item]) -> Vec<u32> {
        (0..items.len() as u32).for_each(|item| queue.push(item, items));
        std::iter::from_fn(|| {
            let first = queue.first()?;
            queue.remove(first, items);
            Some(first)
        })
        .collect()
    }

    #[test]
    fn both_queues_give_items_in_one_order() {
        let saliences: Vec<i32> = (0..200).map(|rule| rule * 37 % 11 - 5).collect();
        let mut items = items(&saliences);
        let mut ranked = Queue::new((0..200).collect(), &mut items);
        assert!(matches!(ranked, Queue::Ranked { .. }));
        let order = drained(&mut ranked, &items);
        assert_eq!(order, drained(&mut Queue::Heap(Vec::new()), &items));
        assert!(order.is_sorted_by_key(|item| (-saliences[*item as usize], *item)));
    }

    #[test]
    fn items_that_share_a_place_or_change_it_wait_in_a_heap() {
        let mut equal = items(&[1, 1]);
        equal[1].load_order = 0;
        assert!(matches!(Queue::new(vec![0, 1], &mut equal), Queue::Heap(_)));
        let mut dynamic = items(&[1, 2]);
        dynamic[0].dynamic = true;
        assert!(matches!(Queue::new(vec![0, 1], &mut dynamic), Queue::Heap(_)));
    }
}
