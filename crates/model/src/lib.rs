//! Subject models: configuration, weights, tokenizer, and a forward pass with hook points.
