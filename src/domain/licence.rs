//! The licence catalogue: how a service plan counts for a SystemUser (rules.md, section 12).
//!
//! The directory identifies plans by id only, so the built-in table `licence_plans.tsv` gives the category of every
//! published plan; an unknown plan counts for nothing. The configuration may change single plans. This module
//! evaluates plans, never SKUs, and never whether a plan is usable: the caller passes the plans whose
//! `capabilityStatus` is `Enabled` or `Warning` (rules.md, section 1). The entitlement code decides the effect
//! (rules.md, section 3).

use super::word::words;
use std::collections::HashMap;
use std::sync::LazyLock;

use ring::digest;
use serde::Deserialize;
use uuid::Uuid;

words! {
    /// How a service plan counts (rules.md, sections 1 and 12).
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Category {
        /// Gives a person a paid right to Dynamics 365, Power Apps or Power Automate.
        Full "full"
        /// Part of Microsoft 365: sufficient on demand, not for background creation.
        FreeM365 "free_m365"
        /// A self-service free or trial plan; [`ViralCountsAs`] says how it counts.
        Viral "viral"
        /// A pass for one app. It belongs to the environment and counts for nothing on a person.
        AppPass "app_pass"
        /// A right of the whole tenant, read from its SKUs, never through a person.
        Marketing "marketing"
        /// Counts for nothing. Every plan that the catalogue does not know has this category.
        None "none"
    }
}

words! {
    /// How a plan of category [`Category::Viral`] counts: `licenses.viral_counts_as` of the configuration.
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum ViralCountsAs {
        /// As a paid plan (rules.md, section 1).
        #[default]
        Full "full"
        /// As the plans that are part of Microsoft 365.
        FreeM365 "free_m365"
        /// Not at all.
        None "none"
    }
}

/// How a person's usable plans count. Each field names the plan that decided, so that a verdict can name it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Licences {
    /// The smallest id among the plans of category `full`; without one, the smallest viral id if viral plans count as
    /// full. `Some` sets the column `islicensed`.
    pub full: Option<Uuid>,
    /// The smallest id among the plans of category `free_m365`; without one, the smallest viral id if viral plans
    /// count as that. Set whether or not there is a full plan.
    pub free_m365: Option<Uuid>,
}

/// The category of every known service plan, and the published plan names.
#[derive(Clone, Debug)]
pub struct Catalogue {
    plans: HashMap<Uuid, Plan>,
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    category: Category,
    /// `None` for a plan that only the configuration knows.
    name: Option<&'static str>,
}

const TABLE: &str = include_str!("licence_plans.tsv");

static BUILTIN: LazyLock<Catalogue> = LazyLock::new(|| {
    let rows = lines(TABLE).filter_map(|line| {
        let row = read_line(line);
        // A test reads every line, so no line of a released table fails. Skipping a line means `none`, which grants no
        // one a right by mistake.
        debug_assert!(row.is_some(), "malformed line in licence_plans.tsv: {line:?}");
        row
    });
    Catalogue { plans: rows.collect() }
});

impl Catalogue {
    /// The table built into the program. Parsed once per process; later calls copy it.
    #[must_use]
    pub fn builtin() -> Self {
        BUILTIN.clone()
    }

    /// The same catalogue with the categories of these plans changed, as the `[licenses]` section of the configuration
    /// says. Ids may be unknown to the table. Of two entries for one id the later one counts; reporting the
    /// contradiction to the operator is up to the configuration.
    #[must_use]
    pub fn with_overrides(mut self, overrides: &[(Uuid, Category)]) -> Self {
        for &(id, category) in overrides {
            self.plans.entry(id).or_insert(Plan { category, name: None }).category = category;
        }
        self
    }

    /// The plan's category; [`Category::None`] for an unknown plan.
    #[must_use]
    pub fn category(&self, id: Uuid) -> Category {
        self.plans.get(&id).map_or(Category::None, |plan| plan.category)
    }

    /// The plan's published name, such as `POWERAPPS_PER_USER`. Not unique, and some contain blanks.
    #[must_use]
    pub fn name(&self, id: Uuid) -> Option<&'static str> {
        self.plans.get(&id).and_then(|plan| plan.name)
    }

    /// The ids of all known plans of one category, ascending. Unknown plans are `none` but cannot be listed.
    pub fn plans(&self, category: Category) -> impl Iterator<Item = Uuid> + use<> {
        let mut ids: Vec<Uuid> = self
            .plans
            .iter()
            .filter(|(_, plan)| plan.category == category)
            .map(|(id, _)| *id)
            .collect();
        ids.sort_unstable();
        ids.into_iter()
    }

    /// Sixteen hexadecimal digits that change if, and only if, the category of some plan changes: everyone must then be
    /// re-evaluated. Names do not count. Neither does a plan listed as `none`, since unlisted plans have that category
    /// too. [`ViralCountsAs`] is not included: the caller stores that setting next to the fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut worth: Vec<(Uuid, Category)> = self
            .plans
            .iter()
            .map(|(id, plan)| (*id, plan.category))
            .filter(|(_, category)| *category != Category::None)
            .collect();
        worth.sort_unstable();
        let mut hash = digest::Context::new(&digest::SHA256);
        for (id, category) in worth {
            hash.update(id.as_bytes());
            hash.update(category.as_str().as_bytes());
            hash.update(b"\n");
        }
        // 64 bits: it distinguishes versions of one table and has no security purpose.
        let first = hash
            .finish()
            .as_ref()
            .iter()
            .take(8)
            .fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        format!("{first:016x}")
    }

    /// How a person's usable plans count together (rules.md, sections 1, 3 and 12). Neither order nor
    /// repetition matters. Plans of the categories `app_pass` and `marketing` count for nothing on a person.
    #[must_use]
    pub fn judge(&self, usable_plans: &[Uuid], viral: ViralCountsAs) -> Licences {
        let mut full = None;
        let mut free_m365 = None;
        let mut self_service = None;
        for &id in usable_plans {
            let smallest = match self.category(id) {
                Category::Full => &mut full,
                Category::FreeM365 => &mut free_m365,
                Category::Viral => &mut self_service,
                Category::AppPass | Category::Marketing | Category::None => continue,
            };
            *smallest = Some(smallest.map_or(id, |other: Uuid| other.min(id)));
        }
        match viral {
            ViralCountsAs::Full => full = full.or(self_service),
            ViralCountsAs::FreeM365 => free_m365 = free_m365.or(self_service),
            ViralCountsAs::None => {}
        }
        Licences { full, free_m365 }
    }
}

/// The lines of the table that describe a plan.
fn lines(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// `id<TAB>category<TAB>name`; anything else is `None`.
fn read_line(line: &'static str) -> Option<(Uuid, Plan)> {
    let mut columns = line.split('\t');
    let id = Uuid::try_parse(columns.next()?).ok()?;
    let category = Category::parse(columns.next()?)?;
    let name = columns.next().filter(|name| !name.is_empty() && name.trim() == *name)?;
    columns.next().is_none().then_some((
        id,
        Plan {
            category,
            name: Some(name),
        },
    ))
}

#[cfg(test)]
mod tests;
