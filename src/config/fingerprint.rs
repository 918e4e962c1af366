//! A fingerprint of everything in the configuration that changes verdicts or fields of one environment.
//!
//! Stored beside an environment's checkpoint: when it differs, every row is re-evaluated from the mirror. It must not
//! depend on the order of keys or lists, nor on names that are only for the operator.

use ring::digest;
use uuid::Uuid;

use super::value::hex;
use crate::domain::environment::Environment;
use crate::domain::field::Field;
use crate::domain::licence::{Catalogue, ViralCountsAs};

/// The version of the rules: a hash of their source (`build.rs`), so that a program with other rules re-evaluates
/// everybody. The catalogue has a fingerprint of its own.
const RULES: &str = env!("ROLLCALL_RULES");

/// 64 hexadecimal digits that change when a verdict or a field of the environment may change.
#[must_use]
pub fn fingerprint(
    environment: &Environment,
    catalogue: &Catalogue,
    viral: ViralCountsAs,
    tenant_marketing: Option<bool>,
) -> String {
    // Fully destructured, so that a new property cannot be forgotten here.
    let Environment {
        name: _,
        kind,
        has_database,
        security_group,
        group_nesting,
        creator,
        app_pass_capacity,
        app_pass_lapse,
        app_pass_grace,
        pay_as_you_go,
        non_interactive_cap,
        // Read when a row is created, which it does not decide.
        default_business_unit: _,
        // Read when a role is assigned, never when a user is evaluated.
        allow_role_assignment_on_disabled_users: _,
        license_role_management,
        roles,
        license_roles,
        policies,
        extra_fields,
    } = environment;
    let id = |id: &Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let mut parts = vec![
        ("rules", RULES.to_owned()),
        ("kind", kind.as_str().to_owned()),
        ("has_database", has_database.to_string()),
        ("security_group", id(security_group)),
        ("group_nesting", group_nesting.as_str().to_owned()),
        ("creator", id(creator)),
        ("app_pass_capacity", app_pass_capacity.to_string()),
        ("app_pass_lapse", app_pass_lapse.to_string()),
        ("app_pass_grace", app_pass_grace.as_secs().to_string()),
        ("pay_as_you_go", pay_as_you_go.to_string()),
        ("non_interactive_cap", non_interactive_cap.to_string()),
        ("license_role_management", license_role_management.to_string()),
        ("catalogue", catalogue.fingerprint()),
        ("viral_counts_as", viral.as_str().to_owned()),
        (
            "tenant_marketing",
            tenant_marketing.map(|known| known.to_string()).unwrap_or_default(),
        ),
    ];
    parts.extend(Field::ALL.map(|field| (field.column(), policies.of(field).as_str().to_owned())));
    let mut lists: Vec<_> = roles.iter().map(|role| ("role", role.clone())).collect();
    lists.extend(
        license_roles
            .iter()
            .map(|(plan, role)| ("license_role", format!("{plan} {role}"))),
    );
    lists.extend(extra_fields.iter().map(|field| {
        let shown = format!("{} {} {}", field.column, field.property.name, field.policy.as_str());
        ("extra_field", shown)
    }));
    lists.sort_unstable();
    parts.extend(lists);

    let mut hash = digest::Context::new(&digest::SHA256);
    for (key, value) in parts {
        // The length separates the value from the next key.
        hash.update(format!("{key}={}:{value}\n", value.len()).as_bytes());
    }
    hex(hash.finish().as_ref())
}
