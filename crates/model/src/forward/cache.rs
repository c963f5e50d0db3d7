//! The key-value cache of one sequence that grows token by token.

/// Keys (after rotary) and values of every position so far, per layer.
pub(crate) struct KeyValueCache {
    layers: Vec<LayerCache>,
    length: usize,
}

/// `[position, n_kv_heads · d_head]` twice.
#[derive(Clone, Default)]
pub(super) struct LayerCache {
    pub(super) keys: Vec<f32>,
    pub(super) values: Vec<f32>,
}

impl KeyValueCache {
    /// An empty cache.
    pub(crate) fn new(n_layers: usize) -> Self {
        Self { layers: vec![LayerCache::default(); n_layers], length: 0 }
    }

    /// Number of positions held.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Counts positions as held, after every layer has stored them.
    pub(super) fn advance(&mut self, positions: usize) {
        self.length += positions;
    }

    pub(super) fn layer(&mut self, layer: usize) -> &mut LayerCache {
        &mut self.layers[layer]
    }
}
