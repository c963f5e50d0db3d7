//! An open atlas as the documents that the page shows. Server and static export read through it alike.

use glossator_atlas::{Atlas, HEADLINE, ListQuery, Sort};
use glossator_model::{HookPoint, UnitId};
use serde::Deserialize;

use crate::document::{
    AtlasDocument, ExplainerDocument, Fact, HeadlineDocument, HookDocument, ListDocument, UnitEntry, UnitName,
};
use crate::error::ServeError;
use crate::random;
use crate::unit::UnitEvidence;

/// The parameters of `GET /api/units`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct UnitRequest {
    /// Only units of this hook point.
    pub hook: Option<HookPoint>,
    /// What to sort by.
    pub sort: Sort,
    /// The explainer whose headline score `sort=score` means; the best score of each unit without it.
    pub explainer: Option<String>,
    /// `descending` or `ascending`.
    pub order: Order,
    /// Words looked for in names, tokens and explanations.
    pub search: Option<String>,
    /// Only units with an explanation.
    pub explained: bool,
    /// Only units with an explanation by this explainer.
    pub explained_by: Option<String>,
    /// Units to leave out at the start.
    pub offset: u32,
    /// Most units to return: 50 unless given, 1000 at most.
    pub limit: u32,
}

/// Which end of the order comes first. Undefined values come last either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Smallest first.
    #[default]
    Ascending,
    /// Largest first.
    Descending,
}

/// An atlas, open for reading by many threads.
pub struct Library {
    atlas: Atlas,
}

impl Library {
    /// Wraps an open atlas.
    pub fn new(atlas: Atlas) -> Self {
        Self { atlas }
    }

    /// The atlas itself.
    pub(crate) fn inner(&self) -> &Atlas {
        &self.atlas
    }

    /// What the atlas is and what has been done in it.
    pub fn atlas(&self) -> Result<AtlasDocument, ServeError> {
        let manifest = self.atlas.manifest();
        let progress = self.atlas.progress()?;
        let hooks = self.atlas.hooks().iter().map(|hook| HookDocument {
            hook: hook.hook,
            units: u64::from(hook.units),
            explained: progress.explained.get(&hook.hook).cloned().unwrap_or_default(),
        });
        let explainers = progress.explainers.into_iter().map(|explainer| ExplainerDocument {
            name: explainer.name,
            units: explainer.units,
            scored: explainer.scored,
            mean_score: explainer.mean_score,
        });
        let name = self.atlas.path().file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(AtlasDocument {
            name: name.unwrap_or_else(|| "atlas".to_owned()),
            schema: manifest.schema_version,
            model: manifest.run.model.clone(),
            facts: self.facts(),
            hooks: hooks.collect(),
            explainers: explainers.collect(),
            headline: HeadlineDocument { metric: HEADLINE.0, sample: HEADLINE.1 },
        })
    }

    fn facts(&self) -> Vec<Fact> {
        let manifest = self.atlas.manifest();
        let run = &manifest.run;
        let dictionaries: Vec<&str> =
            run.dictionaries.iter().map(|dictionary| dictionary.location.as_str()).collect();
        [
            ("model", run.model.clone()),
            ("precision", run.precision.clone()),
            ("dictionaries", dictionaries.join(", ")),
            ("corpus", run.corpus.clone()),
            ("windows", format!("{} of {} tokens", run.windows, run.context)),
            ("tokens", run.tokens.to_string()),
            ("seed", run.seed.to_string()),
            ("glossator", manifest.glossator.clone()),
            ("schema", manifest.schema_version.to_string()),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(label, value)| Fact { label, value })
        .collect()
    }

    /// A page of the units that match a request.
    pub fn units(&self, request: &UnitRequest) -> Result<ListDocument, ServeError> {
        let search = request.search.as_deref().map(str::trim).filter(|search| !search.is_empty());
        let page = self.atlas.list(&ListQuery {
            hook: request.hook,
            search: search.map(str::to_owned),
            explainer: request.explained_by.clone(),
            score_of: request.explainer.clone(),
            explained: request.explained,
            sort: request.sort,
            descending: request.order == Order::Descending,
            offset: request.offset,
            limit: request.limit,
            ..ListQuery::default()
        })?;
        let units = page.units.into_iter().map(UnitEntry::from).collect();
        Ok(ListDocument { total: page.total, offset: request.offset, units })
    }

    /// Everything about one unit, as JSON; the units before and after it are its neighbours in the atlas.
    pub(crate) fn unit_json(&self, unit: UnitId) -> Result<Vec<u8>, ServeError> {
        let rank = self.atlas.rank_of(unit)?;
        let at = |rank: Option<u64>| rank.and_then(|rank| self.atlas.unit_at(rank)).map(UnitName::from);
        self.unit_json_between(unit, at(rank.checked_sub(1)), at(rank.checked_add(1)))
    }

    /// The same with chosen units before and after it.
    pub(crate) fn unit_json_between(
        &self,
        unit: UnitId,
        previous: Option<UnitName>,
        next: Option<UnitName>,
    ) -> Result<Vec<u8>, ServeError> {
        let evidence = UnitEvidence::read(&self.atlas, unit)?;
        let document = evidence.document(self.atlas.vocabulary(), previous, next);
        serde_json::to_vec(&document).map_err(ServeError::json(unit.to_string()))
    }

    /// Any unit of a hook point, explained by a certain explainer or not, each as likely as the other; `None` where
    /// there is none of the kind.
    pub fn random(
        &self,
        hook: Option<HookPoint>,
        explained_by: Option<String>,
    ) -> Result<Option<UnitName>, ServeError> {
        let query = ListQuery { hook, explainer: explained_by, limit: 1, ..ListQuery::default() };
        let total = self.atlas.list(&query)?.total;
        let offset = random::below(total) as u32;
        let page = self.atlas.list(&ListQuery { offset, ..query })?;
        Ok(page.units.first().map(|summary| summary.unit.into()))
    }
}
