//! Text sources, cut into token windows in a deterministic order.
