//! Who decides the cases of a desk: the rules, one of the learned models, or any other way that was given a name.

use std::str::FromStr;
use std::sync::Arc;

use decision::Decider;

use crate::settings::named;
use crate::{ApiError, RulesEngine, State};

/// The desk whose cases rules decide, and the name by which requests ask for them.
const RULED: &str = "transactions";
pub(crate) const RULES: &str = "rules";

/// A way to decide as an option names it: `NAME=WITH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedDecider {
    /// What requests ask for.
    pub name: String,
    /// What it is, in words that whoever starts the server understands.
    pub with: String,
}

impl FromStr for NamedDecider {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, with) = named(text).ok_or("write NAME=WITH")?;
        Ok(Self { name: name.to_owned(), with: with.to_owned() })
    }
}

/// A decider, held until the request is answered.
pub(crate) enum Deciding {
    /// The rule file.
    Rules(Arc<RulesEngine>),
    /// A learned model, or another way to decide, which may take long.
    Other(Arc<dyn Decider>),
}

impl Deciding {
    /// What decides.
    pub(crate) fn decider(&self) -> &dyn Decider {
        match self {
            Self::Rules(engine) => engine.decider(),
            Self::Other(decider) => &**decider,
        }
    }
}

impl State {
    /// What decides cases of a desk: that of the name, or the only one.
    ///
    /// # Errors
    /// When there is none, more than one without a name, or it is still being loaded.
    pub(crate) fn deciding(&self, desk: &str, name: Option<&str>) -> Result<Deciding, ApiError> {
        let loading = self.models().into_iter().find(|model| model.identity().is_none());
        let loading = loading.map(|model| ApiError::Loading(model.name().to_owned()));
        if let (None, Some(loading)) = (name, &loading) {
            // Whether one alone decides, or a name is needed, is known when all are loaded.
            return Err(loading.clone());
        }
        let rules = self.rules().ok().filter(|_| desk == RULED);
        let rules = rules.map(|engine| (RULES.to_owned(), Deciding::Rules(engine)));
        let models = self.learned().filter(|opened| opened.desk == Some(desk));
        let models = models.filter_map(|opened| Some((opened.name.clone(), Deciding::Other(opened.decider.clone()?))));
        let mut all: Vec<(String, Deciding)> = rules.into_iter().chain(models).collect();
        let known = all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let place = match name {
            Some(name) => all.iter().position(|(known, _)| known == name),
            None => (all.len() == 1).then_some(0),
        };
        if let Some(place) = place {
            return Ok(all.swap_remove(place).1);
        }
        Err(match (loading, name) {
            (Some(loading), _) => loading,
            _ if all.is_empty() => ApiError::NotServed("what decides cases of this desk (--rules, --model, --decider)"),
            (None, Some(name)) => ApiError::invalid("with", format!("`{name}` is not served; served: {known}")),
            (None, None) => ApiError::invalid("with", format!("name one of: {known}")),
        })
    }
}
