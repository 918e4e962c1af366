//! The licence catalogue: what a service plan is worth to a SystemUser (rules.md, section 12).
//!
//! The directory names plans by id only, so the built-in table `licence_plans.tsv` says for every published plan
//! which category it has; a plan it does not know is worth nothing. The configuration may move single plans.
//! This module judges plans, never SKUs, and never whether a plan is usable: the caller passes the plans whose
//! `capabilityStatus` is `Enabled` or `Warning` (rules.md, section 1). What the judgement leads to is decided
//! where entitlement is (rules.md, section 3).

use super::word::words;
use std::collections::HashMap;
use std::sync::LazyLock;

use ring::digest;
use serde::Deserialize;
use uuid::Uuid;

words! {
    /// What a service plan is worth (rules.md, sections 1 and 12).
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Category {
        /// Gives a person a paid right to Dynamics 365, Power Apps or Power Automate.
        Full "full"
        /// Comes with Microsoft 365: enough on demand, not enough for background creation.
        FreeM365 "free_m365"
        /// A self-service free or trial plan; [`ViralCountsAs`] says what it is worth.
        Viral "viral"
        /// A pass for one app. It belongs to the environment and is worth nothing on a person.
        AppPass "app_pass"
        /// A right of the whole tenant, read from its SKUs, never through a person.
        Marketing "marketing"
        /// Worth nothing. Every plan the catalogue does not know is this.
        None "none"
    }
}

words! {
    /// What a plan of category [`Category::Viral`] is worth: `licenses.viral_counts_as` of the configuration.
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum ViralCountsAs {
        /// As much as a paid plan (rules.md, section 1).
        #[default]
        Full "full"
        /// As much as the plans that come with Microsoft 365.
        FreeM365 "free_m365"
        /// Nothing.
        None "none"
    }
}

/// What a person's usable plans are worth. Each field names the plan that decided, so that a verdict can.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Licences {
    /// The smallest id among the plans of category `full`; without one, the smallest viral id where viral plans
    /// count as full. `Some` is what the column `islicensed` says.
    pub full: Option<Uuid>,
    /// The smallest id among the plans of category `free_m365`; without one, the smallest viral id where viral
    /// plans count as that. Found whether or not there is a full plan.
    pub free_m365: Option<Uuid>,
}

/// The category of every known service plan, and the names people know the plans by.
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
        // A test reads every line, so a shipped table has none that fails; skipping one means `none`, which
        // gives nobody a right by mistake.
        debug_assert!(row.is_some(), "malformed line in licence_plans.tsv: {line:?}");
        row
    });
    Catalogue { plans: rows.collect() }
});

impl Catalogue {
    /// The table that the program was built with. Read once per process; later calls copy it.
    #[must_use]
    pub fn builtin() -> Self {
        BUILTIN.clone()
    }

    /// The same catalogue with these plans moved, as the `[licenses]` section of the configuration says.
    /// Ids may be unknown to the table. Of two entries for one id the later one counts; telling the operator about
    /// the contradiction is up to the configuration.
    #[must_use]
    pub fn with_overrides(mut self, overrides: &[(Uuid, Category)]) -> Self {
        for &(id, category) in overrides {
            self.plans.entry(id).or_insert(Plan { category, name: None }).category = category;
        }
        self
    }

    /// What the plan is worth; [`Category::None`] for a plan that is not known.
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

    /// Sixteen hexadecimal digits that change when, and only when, the worth of some plan changes: everybody has to
    /// be judged again. Names do not count, and neither does a plan that is listed as `none`, since unlisted ones
    /// are that too. [`ViralCountsAs`] is not part of it: who stores the fingerprint stores the setting next to it.
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
        // 64 bits: it tells versions of one table apart and guards nothing.
        let first = hash
            .finish()
            .as_ref()
            .iter()
            .take(8)
            .fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        format!("{first:016x}")
    }

    /// What a person's usable plans are worth together (rules.md, sections 1, 3 and 12). Neither order nor
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
