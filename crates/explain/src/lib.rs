//! Explanations that predict activations, and the scores they earn.
