//! The pages of all sequences, as a tree: a path from a root spells the tokens of a sequence, 128 to a node.
//!
//! A sequence that begins like another names the nodes that are equal throughout, and copies the common part of the node
//! in which they part. Rows that are still to be computed in the coming step count as there: their keys and values
//! are then written to both pages. Nodes that no sequence names stay, and go when room is needed, the longest unused first.

use std::collections::BTreeSet;

use glossator_kernels::PAGE_POSITIONS;

use crate::forward::{ExtraWrite, PagePool};

/// A page in the tree.
struct Node {
    page: u32,
    /// Its tokens of the prompt that it was made for; generated tokens are not told to others.
    tokens: Vec<u32>,
    /// How many of them have keys and values.
    computed: usize,
    /// The rows of the coming step that compute the next ones.
    pending: Vec<usize>,
    parent: Option<usize>,
    children: Vec<usize>,
    /// Sequences that name it.
    users: usize,
    last_used: u64,
}

impl Node {
    /// Its tokens that are there or will be after the coming step.
    fn known(&self) -> &[u32] {
        &self.tokens[..self.computed + self.pending.len()]
    }
}

/// The pages that a sequence names.
#[derive(Default)]
pub(super) struct Lease {
    nodes: Vec<usize>,
    pub(super) pages: Vec<u32>,
    /// Leading positions that need not be computed.
    pub(super) shared: usize,
}

pub(super) struct PrefixTree {
    pub(super) pool: PagePool,
    share: bool,
    nodes: Vec<Option<Node>>,
    roots: Vec<usize>,
    clock: u64,
    /// Nodes with pending rows.
    touched: BTreeSet<usize>,
}

impl PrefixTree {
    pub(super) fn new(pool: PagePool, share: bool) -> Self {
        Self { pool, share, nodes: Vec::new(), roots: Vec::new(), clock: 0, touched: BTreeSet::new() }
    }

    fn node(&self, id: usize) -> &Node {
        self.nodes[id].as_ref().expect("the tree links only nodes that are there")
    }

    fn node_mut(&mut self, id: usize) -> &mut Node {
        self.nodes[id].as_mut().expect("the tree links only nodes that are there")
    }

    /// Pages for a sequence of `length` positions that begins with `prompt`, of which at most `limit` positions are taken
    /// from others; none if there is no room now.
    pub(super) fn lease(
        &mut self,
        prompt: &[u32],
        length: usize,
        limit: usize,
        extra_writes: &mut Vec<ExtraWrite>,
    ) -> Option<Lease> {
        let limit = if self.share { limit } else { 0 };
        let nodes = self.whole_nodes(prompt, limit);
        let position = nodes.len() * PAGE_POSITIONS;
        let branch = self.best_branch(nodes.last().copied(), &prompt[position..limit.max(position)]);
        let pinned: Vec<usize> = nodes.iter().copied().chain(branch.map(|(id, _)| id)).collect();
        pinned.iter().for_each(|id| self.node_mut(*id).users += 1);
        let new_pages = length.div_ceil(PAGE_POSITIONS) - nodes.len();
        let idle = self.nodes.iter().flatten().filter(|node| node.users == 0).count();
        if new_pages > self.pool.available() + idle {
            pinned.iter().for_each(|id| self.node_mut(*id).users -= 1);
            return None;
        }
        let mut lease = Lease { nodes, pages: Vec::new(), shared: position };
        for number in lease.nodes.len()..length.div_ceil(PAGE_POSITIONS) {
            let start = (number * PAGE_POSITIONS).min(prompt.len());
            let tokens = &prompt[start..(start + PAGE_POSITIONS).min(prompt.len())];
            let id = self.add(lease.nodes.last().copied(), tokens);
            lease.nodes.push(id);
        }
        if let Some((source, count)) = branch {
            self.copy(source, lease.nodes[position / PAGE_POSITIONS], count, extra_writes);
            self.node_mut(source).users -= 1;
            lease.shared += count;
        }
        lease.pages = lease.nodes.iter().map(|id| self.node(*id).page).collect();
        Some(lease)
    }

    /// The chain of whole nodes that spell the first positions of `prompt`, up to `limit`.
    fn whole_nodes(&self, prompt: &[u32], limit: usize) -> Vec<usize> {
        let mut chain: Vec<usize> = Vec::new();
        loop {
            let start = chain.len() * PAGE_POSITIONS;
            if start + PAGE_POSITIONS > limit {
                return chain;
            }
            let tokens = &prompt[start..start + PAGE_POSITIONS];
            let equal = |id: &&usize| self.node(**id).known() == tokens;
            match self.children(chain.last().copied()).iter().find(equal) {
                Some(id) => chain.push(*id),
                None => return chain,
            }
        }
    }

    /// The child of a node that has most in common with `tokens`, and how much that is.
    fn best_branch(&self, parent: Option<usize>, tokens: &[u32]) -> Option<(usize, usize)> {
        let common = |id: usize| self.node(id).known().iter().zip(tokens).take_while(|(a, b)| a == b).count();
        self.children(parent)
            .iter()
            .map(|id| (*id, common(*id)))
            .max_by_key(|(_, count)| *count)
            .filter(|(_, count)| *count > 0)
    }

    fn children(&self, parent: Option<usize>) -> &[usize] {
        parent.map_or(&self.roots, |id| &self.node(id).children)
    }

    /// A new node with one user, on a page that is taken from the pool or from the node that was unused longest.
    fn add(&mut self, parent: Option<usize>, tokens: &[u32]) -> usize {
        let page = loop {
            match self.pool.take() {
                Some(page) => break page,
                None => self.evict(),
            }
        };
        let node = Node {
            page,
            tokens: tokens.to_vec(),
            computed: 0,
            pending: Vec::new(),
            parent,
            children: Vec::new(),
            users: 1,
            last_used: self.clock,
        };
        let id = self.nodes.iter().position(Option::is_none).unwrap_or(self.nodes.len());
        if id == self.nodes.len() {
            self.nodes.push(Some(node));
        } else {
            self.nodes[id] = Some(node);
        }
        match parent {
            Some(parent) => self.node_mut(parent).children.push(id),
            None => self.roots.push(id),
        }
        id
    }

    /// Copies the first `count` positions of a node to another, those of the coming step included.
    fn copy(&mut self, source: usize, target: usize, count: usize, extra_writes: &mut Vec<ExtraWrite>) {
        let (from, to) = (self.node(source).page, self.node(target).page);
        let computed = self.node(source).computed.min(count);
        if computed > 0 {
            self.pool.copy(from, to);
        }
        let pending = self.node(source).pending[..count - computed].to_vec();
        let writes = pending.iter().zip(computed..);
        extra_writes.extend(writes.map(|(&row, place)| ExtraWrite { row, page: to, place }));
        if !pending.is_empty() {
            self.touched.insert(target);
        }
        let node = self.node_mut(target);
        (node.computed, node.pending) = (computed, pending);
    }

    /// Notes that rows of the coming step from `first_row` on compute positions of a sequence.
    pub(super) fn plan(&mut self, lease: &Lease, positions: std::ops::Range<usize>, first_row: usize) {
        for (position, row) in positions.zip(first_row..) {
            let id = lease.nodes[position / PAGE_POSITIONS];
            let node = self.node_mut(id);
            if node.known().len() == position % PAGE_POSITIONS && node.known().len() < node.tokens.len() {
                node.pending.push(row);
                self.touched.insert(id);
            }
        }
    }

    /// The coming step has been computed.
    pub(super) fn advance(&mut self) {
        self.clock += 1;
        for id in std::mem::take(&mut self.touched) {
            let node = self.node_mut(id);
            node.computed += node.pending.len();
            node.pending.clear();
        }
    }

    /// A sequence has ended. Between steps only.
    pub(super) fn release(&mut self, lease: &Lease) {
        for &id in lease.nodes.iter().rev() {
            let clock = self.clock;
            let node = self.node_mut(id);
            node.users -= 1;
            node.last_used = clock;
            node.tokens.truncate(node.computed.max(if node.users > 0 { node.tokens.len() } else { 0 }));
            if node.users == 0 && node.tokens.is_empty() {
                self.remove(id);
            }
        }
    }

    /// Frees the page of the node that was unused longest and has no children.
    fn evict(&mut self) {
        let idle = |(id, node): (usize, &Option<Node>)| {
            let node = node.as_ref().filter(|node| node.users == 0 && node.children.is_empty())?;
            Some((node.last_used, id))
        };
        let (_, id) = self
            .nodes
            .iter()
            .enumerate()
            .filter_map(idle)
            .min()
            .expect("room was counted before pages were taken");
        self.remove(id);
    }

    fn remove(&mut self, id: usize) {
        let Some(node) = self.nodes[id].take() else { return };
        self.pool.give_back(node.page);
        let siblings = match node.parent {
            Some(parent) => &mut self.node_mut(parent).children,
            None => &mut self.roots,
        };
        siblings.retain(|sibling| *sibling != id);
    }
}
