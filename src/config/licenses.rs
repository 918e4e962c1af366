//! Section `[licenses]`: moves plans between the categories of the built-in catalogue (rules.md, section 12).
//!
//! It cannot add categories. It may move plans that the catalogue does not know.

use std::collections::BTreeMap;

use serde::Deserialize;
use uuid::Uuid;

use super::Issue;
use super::value::Parsed;
use crate::domain::licence::{Catalogue, Category, ViralCountsAs};

/// Section `[licenses]`.
#[derive(Clone, Debug)]
pub struct Licenses {
    /// The built-in catalogue with the moves applied.
    pub catalogue: Catalogue,
    /// The moved plans.
    pub moved: BTreeMap<Uuid, Category>,
    /// The category that viral plans count as.
    pub viral_counts_as: ViralCountsAs,
    /// Whether the tenant has a Marketing licence; if `None`, its SKUs decide.
    pub tenant_marketing: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLicenses {
    full: Vec<Parsed<Uuid>>,
    free_m365: Vec<Parsed<Uuid>>,
    viral: Vec<Parsed<Uuid>>,
    app_pass: Vec<Parsed<Uuid>>,
    marketing: Vec<Parsed<Uuid>>,
    none: Vec<Parsed<Uuid>>,
    viral_counts_as: Option<Parsed<ViralCountsAs>>,
    tenant_marketing: Option<bool>,
}

impl RawLicenses {
    pub(super) fn validate(self) -> Result<Licenses, Issue> {
        let lists = [
            (Category::Full, self.full),
            (Category::FreeM365, self.free_m365),
            (Category::Viral, self.viral),
            (Category::AppPass, self.app_pass),
            (Category::Marketing, self.marketing),
            (Category::None, self.none),
        ];
        let mut moved = BTreeMap::new();
        for (category, plans) in lists {
            for (index, Parsed(plan)) in plans.into_iter().enumerate() {
                match moved.insert(plan, category) {
                    Some(other) if other != category => {
                        return Err(Issue::new(
                            &format!("licenses.{category}[{index}]"),
                            format!("plan {plan} is listed under {other} too; a plan has one category"),
                        ));
                    }
                    _ => {}
                }
            }
        }
        let overrides: Vec<(Uuid, Category)> = moved.iter().map(|(plan, category)| (*plan, *category)).collect();
        Ok(Licenses {
            catalogue: Catalogue::builtin().with_overrides(&overrides),
            moved,
            viral_counts_as: self
                .viral_counts_as
                .map_or_else(ViralCountsAs::default, |worth| worth.0),
            tenant_marketing: self.tenant_marketing,
        })
    }
}
