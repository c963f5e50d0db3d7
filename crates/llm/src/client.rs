//! What explainers and scorers talk to.

use std::sync::{Mutex, PoisonError};

use crate::answer::Outcome;
use crate::error::LlmError;
use crate::language_model::{Capabilities, LanguageModel};
use crate::request::Request;

/// A model, and what stands before it.
pub struct Client {
    model: Box<dyn LanguageModel>,
}

impl Client {
    /// Asks `model` directly.
    pub fn new(model: Box<dyn LanguageModel>) -> Self {
        Self { model }
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        self.model.name()
    }

    /// What the model offers.
    pub fn capabilities(&self) -> Capabilities {
        self.model.capabilities()
    }

    /// Asks all of `requests` and returns their outcomes in the same order.
    ///
    /// # Errors
    /// If the run must stop. Outcomes that were there by then are not lost: asked again, they are not asked twice.
    pub fn ask(&self, requests: &[Request]) -> Result<Vec<Outcome>, LlmError> {
        let outcomes: Mutex<Vec<Option<Outcome>>> = Mutex::new(vec![None; requests.len()]);
        self.model.answer(requests, &|index, outcome| {
            outcomes.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(outcome);
            true
        });
        let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        let left = outcomes.iter().filter(|outcome| outcome.is_none()).count();
        let answered: Vec<Outcome> = outcomes.into_iter().flatten().collect();
        if left > 0 {
            let model = self.name().to_owned();
            return Err(LlmError::Unanswered { model, left, asked: requests.len() });
        }
        Ok(answered)
    }
}
