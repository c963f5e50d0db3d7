//! CPU arithmetic on slices: matrix products, norms, rotary embedding, attention, statistics.
