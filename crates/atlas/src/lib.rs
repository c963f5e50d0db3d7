//! Everything on disk for one run: manifest, records, explanations and scores.
