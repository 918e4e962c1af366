//! The catalogue against rules.md, section 12, and what plans are worth.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::*;

fn rows() -> Vec<(Uuid, Category, &'static str)> {
    lines(TABLE)
        .map(|line| {
            let (id, plan) = read_line(line).unwrap_or_else(|| panic!("malformed line {line:?}"));
            (id, plan.category, plan.name.unwrap())
        })
        .collect()
}

/// The one plan of that name.
fn id(name: &str) -> Uuid {
    let ids: Vec<Uuid> = rows()
        .into_iter()
        .filter(|row| row.2 == name)
        .map(|row| row.0)
        .collect();
    assert_eq!(ids.len(), 1, "{name} names {} plans", ids.len());
    ids[0]
}

/// Fails unless the pattern (a name, or a prefix or suffix marked by `*`) names at least `at_least` plans and
/// all of them have the category.
fn assert_all(pattern: &str, at_least: usize, category: Category) {
    let catalogue = Catalogue::builtin();
    let found: Vec<_> = rows()
        .into_iter()
        .filter(
            |(_, _, name)| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
                (Some(suffix), _) => name.ends_with(suffix),
                (_, Some(prefix)) => name.starts_with(prefix),
                _ => *name == pattern,
            },
        )
        .collect();
    assert!(
        found.len() >= at_least,
        "{pattern} names {} plans, expected {at_least}",
        found.len()
    );
    for (id, _, name) in found {
        assert_eq!(catalogue.category(id), category, "{name} {id}");
    }
}

fn assert_each(names: &[&str], category: Category) {
    for name in names {
        assert_all(name, 1, category);
    }
}

#[test]
fn every_line_of_the_table_is_well_formed_unique_and_in_order() {
    let rows = rows();
    assert_eq!(rows.len(), 723);
    assert_eq!(rows.iter().map(|row| row.0).collect::<BTreeSet<_>>().len(), 723);
    assert!(
        rows.windows(2)
            .all(|pair| (pair[0].2, pair[0].0) < (pair[1].2, pair[1].0)),
        "sorted by name, then id"
    );
    let catalogue = Catalogue::builtin();
    for (id, category, name) in rows {
        assert_eq!(catalogue.category(id), category);
        assert_eq!(catalogue.name(id), Some(name));
    }
}

#[test]
fn a_malformed_line_is_no_plan() {
    for line in [
        "",
        "ea2cf03b-ac60-46ae-9c1d-eeaeb63cec86",
        "ea2cf03b-ac60-46ae-9c1d-eeaeb63cec86\tfull",
        "ea2cf03b-ac60-46ae-9c1d-eeaeb63cec86\tfull\t",
        "ea2cf03b-ac60-46ae-9c1d-eeaeb63cec86\tfull\tNAME ",
        "ea2cf03b-ac60-46ae-9c1d-eeaeb63cec86\tfull\tNAME\tmore",
        "ea2cf03b-ac60-46ae-9c1d-eeaeb63cec86\tpaid\tNAME",
        "ea2cf03b\tfull\tNAME",
    ] {
        assert!(read_line(line).is_none(), "{line:?}");
    }
}

#[test]
fn paid_person_plans_are_full() {
    assert_each(
        &[
            "POWERAPPS_PER_USER",
            "POWERAPPS_P2",
            "POWERAPPS_DYN_APPS",
            "POWERAPPS_DYN_P2",
            "POWERAPPS_DYN_TEAM",
            "POWERAPPS_SALES_PRO",
            "POWERAPPS_CUSTOMER_SERVICE_PRO",
            "FLOW_PER_USER",
            "FLOW_P2",
            "DYN365_CDS_P2",
            "DYN365_ENTERPRISE_SALES",
            "DYN365_ENTERPRISE_CUSTOMER_SERVICE",
            "DYN365_ENTERPRISE_FIELD_SERVICE",
            "DYN365_ENTERPRISE_P1",
            "DYN365_ENTERPRISE_TEAM_MEMBERS",
            "DYN365_TEAM_MEMBERS",
            "DYN365_SALES_PRO",
            "DYN365_CUSTOMER_SERVICE_PRO",
            "Dynamics_365_for_Operations",
            "D365_Finance",
            "D365_SCM",
            "D365_SALES_ENT_ATTACH",
            "DYN365_BUSCENTRAL_PREMIUM",
            "CRMSTANDARD",
            "CRMPLAN2",
        ],
        Category::Full,
    );
}

#[test]
fn government_variants_of_paid_person_plans_are_full() {
    assert_each(
        &[
            "POWERAPPS_PER_USER_GCC",
            "POWERAPPS_P1_GOV",
            "POWERAPPS_DYN_APPS_GOV",
            "POWERAPPS_DYN_P2_GOV",
            "POWERAPPS_DYN_TEAM_GOV",
            "POWERAPPS_SALES_PRO_GOV",
            "FLOW_PER_USER_GCC",
            "FLOW_P1_GOV",
            "DYN365_CDS_P1_GOV",
            "DYN365_CDS_P2_GOV",
            "DYN365_ENTERPRISE_SALES_GOV",
            "DYN365_ENTERPRISE_CUSTOMER_SERVICE_GOV",
            "DYN365_ENTERPRISE_FIELD_SERVICE_GOV",
            "DYN365_ENTERPRISE_TEAM_MEMBERS_GOV",
            "DYN365_SALES_PRO_GOV",
            "CRMSTANDARD_GCC",
            "CRMPLAN2_GCC",
        ],
        Category::Full,
    );
}

#[test]
fn every_government_variant_has_the_category_of_its_commercial_twin() {
    let names: BTreeMap<&str, Category> = rows().into_iter().map(|(_, category, name)| (name, category)).collect();
    let mut pairs = 0;
    for (name, category) in &names {
        for suffix in ["_GOV", "_Gov", "_GCC", "_GCCHIGH", "_GCCH", "_DOD", "_DoD"] {
            let Some(twin) = name.strip_suffix(suffix).and_then(|base| names.get(base)) else {
                continue;
            };
            assert_eq!(category, twin, "{name}");
            pairs += 1;
        }
    }
    assert!(pairs > 80, "{pairs} pairs");
}

#[test]
fn plans_that_come_with_microsoft_365_are_free() {
    assert_all("DYN365_CDS_O365_*", 8, Category::FreeM365);
    assert_all("CDS_O365_*", 8, Category::FreeM365);
    assert_all("POWERAPPS_O365_*", 11, Category::FreeM365);
    assert_all("FLOW_O365_*", 11, Category::FreeM365);
    assert_each(
        &[
            "DYN365_CDS_O365_F1_GCC",
            "DYN365_CDS_O365_P1_GCC",
            "DYN365_CDS_O365_P2_GCC",
            "DYN365_CDS_O365_P3_GCC",
            "CDS_O365_F1_GCC",
            "CDS_O365_P1_GCC",
            "CDS_O365_P2_GCC",
            "CDS_O365_P3_GCC",
            "POWERAPPS_O365_P2_GOV",
            "POWERAPPS_O365_P3_GCCHIGH",
            "FLOW_O365_S1_GOV",
            "FLOW_O365_P3_GCCHIGH",
        ],
        Category::FreeM365,
    );
}

#[test]
fn self_service_plans_are_viral() {
    assert_each(
        &[
            "DYN365_CDS_VIRAL",
            "DYN365_CDS_DEV_VIRAL",
            "POWERAPPS_P2_VIRAL",
            "POWERAPPS_DEV_VIRAL",
            "FLOW_P2_VIRAL",
            "FLOW_P2_VIRAL_REAL",
            "POWERAPPSFREE",
        ],
        Category::Viral,
    );
    assert_all("*_VIRAL_TRIAL", 11, Category::Viral);
    assert_all("*_VIRAL_TRIAL_MIXED_REALITY", 2, Category::Viral);
}

#[test]
fn passes_for_one_app_are_app_passes() {
    assert_all("POWERAPPS_PER_APP*", 5, Category::AppPass);
    assert_all("CDS_PER_APP*", 3, Category::AppPass);
    assert_all("Flow_Per_APP*", 3, Category::AppPass);
    assert_all("DATAVERSE_POWERAPPS_PER_APP_NEW", 1, Category::AppPass);
}

#[test]
fn marketing_plans_are_marketing() {
    assert_each(
        &[
            "DYN365_MARKETING_APP",
            "DYN365_MARKETING_USER",
            "DYN365_BUSINESS_Marketing",
        ],
        Category::Marketing,
    );
    assert_all("DYN365_MARKETING_*", 6, Category::Marketing);
}

#[test]
fn capacity_and_other_products_are_none() {
    for pattern in [
        "CDS_DB_CAPACITY*",
        "CDS_FILE_CAPACITY*",
        "CDS_LOG_CAPACITY*",
        "CRMINSTANCE*",
        "CRMTESTINSTANCE*",
        "CRMSTORAGE*",
        "POWERAPPS_PORTALS_*",
        "CDS_POWERAPPS_PORTALS_*",
        "CDS_UNATTENDED_RPA*",
        "POWER_AUTOMATE_UNATTENDED_RPA*",
        "CDSAICAPACITY*",
        "DYN365BC_MS_INVOICING",
        "EXCHANGE*",
        "SHAREPOINT*",
        "SharePoint*",
        "ONEDRIVE*",
        "TEAMS*",
        "Teams*",
        "MCO*",
        "AAD_*",
        "Entra_*",
        "INTUNE_*",
        "Intune*",
        "RMS_*",
        "OFFICE*",
        "PROJECT_O365_*",
        "PROJECT_P*",
        "FLOW_FOR_PROJECT*",
        "DYN365_CDS_PROJECT*",
        "DYN365_CDS_FOR_PROJECT*",
        "VISIO*",
        "BI_AZURE_*",
        "POWER_VIRTUAL_AGENTS_*",
        "FLOW_VIRTUAL_AGENT_*",
        "CDS_VIRTUAL_AGENT_*",
    ] {
        assert_all(pattern, 1, Category::None);
    }
}

#[test]
fn the_categories_have_plausible_sizes() {
    let catalogue = Catalogue::builtin();
    let sizes = Category::ALL.map(|category| (category, catalogue.plans(category).count()));
    println!("{sizes:?}");
    for (category, size) in sizes {
        let expected = match category {
            Category::Full => 80..130,
            Category::FreeM365 => 35..45,
            Category::Viral => 20..50,
            Category::AppPass => 10..20,
            Category::Marketing => 5..10,
            Category::None => 480..560,
        };
        assert!(expected.contains(&size), "{category}: {size}");
    }
    assert_eq!(sizes.iter().map(|(_, size)| size).sum::<usize>(), 723);
}

#[test]
fn an_unknown_plan_is_worth_nothing() {
    let catalogue = Catalogue::builtin();
    assert_eq!(catalogue.category(Uuid::max()), Category::None);
    assert_eq!(catalogue.name(Uuid::max()), None);
    assert_eq!(
        catalogue.judge(&[Uuid::max(), Uuid::nil()], ViralCountsAs::Full),
        Licences::default()
    );
    assert_eq!(catalogue.judge(&[], ViralCountsAs::Full), Licences::default());
}

#[test]
fn an_override_moves_known_and_unknown_plans_and_the_last_one_counts() {
    let known = id("SWAY");
    let unknown = Uuid::max();
    let catalogue = Catalogue::builtin().with_overrides(&[
        (known, Category::Viral),
        (unknown, Category::FreeM365),
        (known, Category::Full),
    ]);
    assert_eq!(catalogue.category(known), Category::Full);
    assert_eq!(catalogue.name(known), Some("SWAY"));
    assert_eq!(catalogue.category(unknown), Category::FreeM365);
    assert_eq!(catalogue.name(unknown), None);
    assert!(catalogue.plans(Category::Full).any(|id| id == known));
    let expected = Licences {
        full: Some(known),
        free_m365: Some(unknown),
    };
    assert_eq!(catalogue.judge(&[unknown, known], ViralCountsAs::Full), expected);
    assert_eq!(
        Catalogue::builtin().category(known),
        Category::None,
        "the built-in table stays as it is"
    );
}

#[test]
fn viral_plans_count_as_configured() {
    let catalogue = Catalogue::builtin();
    let trial = id("POWERAPPS_P2_VIRAL");
    let judge = |viral| catalogue.judge(&[trial], viral);
    assert_eq!(ViralCountsAs::default(), ViralCountsAs::Full);
    assert_eq!(
        judge(ViralCountsAs::Full),
        Licences {
            full: Some(trial),
            free_m365: None
        }
    );
    assert_eq!(
        judge(ViralCountsAs::FreeM365),
        Licences {
            full: None,
            free_m365: Some(trial)
        }
    );
    assert_eq!(judge(ViralCountsAs::None), Licences::default());
}

#[test]
fn a_plan_of_the_category_itself_decides_before_a_viral_one() {
    // The paid and the Microsoft 365 plan have larger ids than the trial.
    let catalogue = Catalogue::builtin();
    let (trial, paid, office) = (
        id("DYN365_CDS_VIRAL"),
        id("POWERAPPS_PER_USER"),
        id("DYN365_CDS_O365_P2"),
    );
    assert!(trial < paid && trial < office);
    let plans = [trial, office, paid];
    let both = Licences {
        full: Some(paid),
        free_m365: Some(office),
    };
    for viral in [ViralCountsAs::Full, ViralCountsAs::FreeM365, ViralCountsAs::None] {
        assert_eq!(catalogue.judge(&plans, viral), both);
    }
}

#[test]
fn the_judgement_depends_on_neither_order_nor_repetition() {
    let catalogue = Catalogue::builtin();
    let mut plans: Vec<Uuid> = [Category::Full, Category::FreeM365, Category::Viral]
        .into_iter()
        .flat_map(|it| catalogue.plans(it))
        .collect();
    let expected = Licences {
        full: catalogue.plans(Category::Full).next(),
        free_m365: catalogue.plans(Category::FreeM365).next(),
    };
    assert_eq!(catalogue.judge(&plans, ViralCountsAs::Full), expected);
    plans.reverse();
    plans.extend_from_within(..);
    assert_eq!(catalogue.judge(&plans, ViralCountsAs::Full), expected);
}

#[test]
fn app_passes_and_marketing_count_for_nothing_on_a_person() {
    let catalogue = Catalogue::builtin();
    let plans: Vec<Uuid> = catalogue
        .plans(Category::AppPass)
        .chain(catalogue.plans(Category::Marketing))
        .collect();
    assert!(plans.len() > 10);
    assert_eq!(catalogue.judge(&plans, ViralCountsAs::Full), Licences::default());
}

#[test]
fn the_fingerprint_changes_with_the_worth_of_a_plan_and_with_nothing_else() {
    let builtin = Catalogue::builtin();
    let fingerprint = builtin.fingerprint();
    assert_eq!(fingerprint.len(), 16);
    assert!(fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(fingerprint, Catalogue::builtin().fingerprint());
    let (paid, office) = (id("POWERAPPS_PER_USER"), id("DYN365_CDS_O365_P2"));
    let moved = |overrides: &[(Uuid, Category)]| Catalogue::builtin().with_overrides(overrides).fingerprint();
    assert_eq!(
        moved(&[(paid, Category::Full), (Uuid::max(), Category::None)]),
        fingerprint
    );
    let demoted = moved(&[(paid, Category::None)]);
    let promoted = moved(&[(office, Category::Full)]);
    let added = moved(&[(Uuid::max(), Category::Full)]);
    assert_eq!(BTreeSet::from([fingerprint, demoted, promoted, added]).len(), 4);
}

#[test]
fn words_are_read_as_they_are_written() {
    for category in Category::ALL {
        assert_eq!(Category::parse(category.as_str()), Some(category));
        assert_eq!(serde_json::to_value(category).unwrap(), category.as_str());
    }
    for viral in [ViralCountsAs::Full, ViralCountsAs::FreeM365, ViralCountsAs::None] {
        assert_eq!(ViralCountsAs::parse(viral.as_str()), Some(viral));
        assert_eq!(
            serde_json::from_value::<ViralCountsAs>(viral.as_str().into()).unwrap(),
            viral
        );
    }
    assert_eq!(Category::FreeM365.to_string(), "free_m365");
    assert_eq!(Category::parse("Full"), None);
    assert_eq!(ViralCountsAs::parse("viral"), None);
}

/// The published table lies beside the repository where the project is developed, and nowhere else.
fn published_table() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    ["../shared", "../../shared"]
        .into_iter()
        .map(|shared| here.join(shared).join("graph-schema/service-plans.json"))
        .find(|file| file.is_file())
}

#[test]
fn the_table_has_exactly_the_published_plans() {
    #[derive(Deserialize)]
    struct RawTable {
        plans: BTreeMap<Uuid, RawPlan>,
    }
    #[derive(Deserialize)]
    struct RawPlan {
        names: Vec<String>,
    }

    let Some(file) = published_table() else {
        eprintln!("not compared: shared/graph-schema/service-plans.json is not beside this repository");
        return;
    };
    let published: RawTable = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let ours: BTreeMap<Uuid, &str> = rows().into_iter().map(|(id, _, name)| (id, name)).collect();
    assert!(ours.keys().eq(published.plans.keys()), "the ids are those published");
    for (id, name) in ours {
        let names = &published.plans[&id].names;
        // Published as "EXCHANGE_S_FOUNDATION PBI_PREMIUM_EM1_ADDON": two names in one cell.
        let corrected = name == "PBI_PREMIUM_EM1_ADDON";
        assert!(
            corrected || names.iter().any(|published| published.trim() == name),
            "{id} {name} {names:?}"
        );
    }
}
