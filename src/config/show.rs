//! The effective configuration for `config show`: every key with its value, including defaults, without secrets.
//!
//! The TOML can be loaded again unless a secret was left out. It shows where secrets are, never their content.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Config;
use super::console::SignIn;
use super::database::Place;
use super::tenant::Cloud;
use super::value::shown;
use super::webhook::shown_url;
use crate::domain::environment::Environment;
use crate::domain::extra_field::ExtraField;
use crate::domain::field::{Field, Policies};
use crate::domain::licence::Category;
use crate::domain::retention::Kept;
use crate::domain::webhook::Webhook;

/// A table, in display order.
type Table = Vec<(&'static str, Value)>;

impl Config {
    /// The effective configuration as TOML.
    #[must_use]
    pub fn show(&self) -> String {
        let mut text = format!("# effective configuration, from {}\n", self.file.display());
        for (section, table) in self.sections() {
            self.write_table(&mut text, &format!("[{section}]"), section, &table);
        }
        for token in self.token_tables() {
            self.write_table(&mut text, "[[http.token]]", "", &token);
        }
        for webhook in &self.webhooks {
            self.write_table(&mut text, "[[webhook]]", "", &webhook_table(webhook));
        }
        for field in &self.extra_fields {
            self.write_table(&mut text, "[[extra_field]]", "", &extra_field_table(field));
        }
        for environment in &self.environments {
            self.write_table(&mut text, "[[environment]]", "", &environment_table(environment));
        }
        text
    }

    /// The effective configuration as JSON, in the shape of the file, plus `overrides` and `warnings`.
    #[must_use]
    pub fn show_json(&self) -> Value {
        let mut whole: Map<String, Value> = self
            .sections()
            .into_iter()
            .map(|(section, table)| (section.to_owned(), object(table)))
            .collect();
        if let Some(http) = whole.get_mut("http").and_then(Value::as_object_mut) {
            http.insert(
                "token".to_owned(),
                self.token_tables().into_iter().map(object).collect(),
            );
        }
        let webhooks = self.webhooks.iter().map(|webhook| object(webhook_table(webhook)));
        whole.insert("webhook".to_owned(), webhooks.collect());
        let extra_fields = self.extra_fields.iter().map(|field| object(extra_field_table(field)));
        whole.insert("extra_field".to_owned(), extra_fields.collect());
        let environments = self
            .environments
            .iter()
            .map(|environment| object(environment_table(environment)));
        whole.insert("environment".to_owned(), environments.collect());
        whole.insert("file".to_owned(), json!(self.file.display().to_string()));
        whole.insert("overrides".to_owned(), json!(self.overrides));
        whole.insert("warnings".to_owned(), json!(self.warnings));
        Value::Object(whole)
    }

    fn sections(&self) -> Vec<(&'static str, Table)> {
        let mut sections = vec![
            ("tenant", self.tenant_table()),
            ("database", self.database_table()),
            (
                "sync",
                vec![
                    ("interval", duration(self.sync.interval)),
                    ("full_interval", duration(self.sync.full_interval)),
                    ("verify_interval", duration(self.sync.verify_interval)),
                    ("access_freshness", duration(self.sync.access_freshness)),
                    ("scope", json!(self.sync.scope)),
                ],
            ),
            (
                "guard",
                vec![
                    ("max_disables", json!(self.guard.max_disables)),
                    ("max_disable_percent", json!(self.guard.max_disable_percent)),
                    ("hold_expiry", duration(self.guard.hold_expiry)),
                ],
            ),
            ("retention", self.retention_table()),
            ("http", self.http_table()),
            ("console", self.console_table()),
            (
                "telemetry",
                vec![
                    ("log", json!(self.telemetry.log)),
                    ("format", json!(self.telemetry.format.as_str())),
                ],
            ),
            ("licenses", self.licenses_table()),
        ];
        sections.extend(self.notifications.as_ref().map(|given| {
            let table = vec![("public_url", json!(given.public_url)), ("listen", json!(given.listen))];
            ("notifications", table)
        }));
        sections
    }

    fn tenant_table(&self) -> Table {
        let tenant = &self.tenant;
        let mut table = vec![
            ("id", json!(tenant.id)),
            ("client_id", json!(tenant.client_id)),
            ("credential", tenant.credential_given.clone()),
            ("cloud", json!(tenant.cloud.as_str())),
        ];
        if tenant.cloud == Cloud::Custom {
            table.push(("authority", json!(tenant.authority)));
            table.push(("graph_root", json!(tenant.graph_root)));
        }
        if let Some(certificate) = &tenant.ca_file {
            table.push(("ca_file", json!(certificate.file)));
        }
        table
    }

    fn database_table(&self) -> Table {
        let place = |place: &Place, url, in_file| match &place.file {
            Some(file) => (in_file, json!(file)),
            None => (url, json!(place.shown_url())),
        };
        let mut table = vec![place(&self.database.at, "url", "url_file")];
        let replica = self.database.read_at.as_ref();
        table.extend(replica.map(|replica| place(replica, "read_url", "read_url_file")));
        table.push(("schema", json!(self.database.schema.as_str())));
        table.push(("max_connections", json!(self.database.max_connections)));
        table
    }

    fn retention_table(&self) -> Table {
        let age = |what| {
            self.retention
                .ages
                .get(&what)
                .map_or(json!("forever"), |age| duration(*age))
        };
        let mut table: Table = Kept::ALL.map(|what| (what.as_str(), age(what))).into();
        table.push(("every", duration(self.retention.every)));
        table
    }

    fn http_table(&self) -> Table {
        let mut table = vec![("listen", json!(self.http.listen))];
        if let Some(listen) = self.http.metrics_listen {
            table.push(("metrics_listen", json!(listen)));
        }
        if let Some(audience) = &self.http.audience {
            table.push(("audience", json!(audience)));
        }
        table.push(("requests_per_second", json!(self.http.requests_per_second)));
        table.push(("requests_at_once", json!(self.http.requests_at_once)));
        table
    }

    fn console_table(&self) -> Table {
        let mut table = vec![("enabled", json!(self.console.enabled))];
        if let Some(SignIn::Entra(entra)) = &self.console.way {
            let address = entra.public_url.as_str().trim_end_matches('/');
            table.push(("public_url", json!(address)));
        }
        if let Some(credential) = &self.console.credential_given {
            table.push(("credential", credential.clone()));
        }
        table
    }

    fn token_tables(&self) -> Vec<Table> {
        let tokens = self.http.tokens.iter().map(|token| {
            let roles: Vec<_> = token.roles.iter().map(|role| role.as_str()).collect();
            vec![
                ("name", json!(token.name)),
                ("sha256", json!(token.shown_hash())),
                ("roles", json!(roles)),
            ]
        });
        tokens.collect()
    }

    fn licenses_table(&self) -> Table {
        let mut table = Vec::new();
        for category in Category::ALL {
            let plans = self.moved_plans.iter().filter(|(_, moved)| **moved == category);
            let plans: Vec<_> = plans.map(|(plan, _)| plan).collect();
            if !plans.is_empty() {
                table.push((category.as_str(), json!(plans)));
            }
        }
        table.push(("viral_counts_as", json!(self.viral_counts_as.as_str())));
        if let Some(marketing) = self.tenant_marketing {
            table.push(("tenant_marketing", json!(marketing)));
        }
        table
    }

    fn write_table(&self, text: &mut String, header: &str, section: &str, table: &Table) {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{header}\n");
        for (key, value) in table {
            let _ = write!(text, "{key} = {}", toml(value));
            if let Some(variable) = self.variable_of(section, key) {
                let _ = write!(text, "  # from {variable}");
            }
            text.push('\n');
        }
    }

    /// The variables that set a key, or keys inside it.
    fn variable_of(&self, section: &str, key: &str) -> Option<String> {
        let path = format!("{section}.{key}");
        let inside = format!("{path}.");
        let variables = self
            .overrides
            .iter()
            .filter(|(set, _)| **set == path || set.starts_with(&inside));
        let names: Vec<&str> = variables.map(|(_, variable)| variable.as_str()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

fn environment_table(environment: &Environment) -> Table {
    let mut table = vec![
        ("name", json!(environment.name)),
        ("kind", json!(environment.kind.as_str())),
        ("has_database", json!(environment.has_database)),
    ];
    if let Some(group) = environment.security_group {
        table.push(("security_group", json!(group)));
    }
    table.push(("group_nesting", json!(environment.group_nesting.as_str())));
    if let Some(creator) = environment.creator {
        table.push(("creator", json!(creator)));
    }
    if let Some(unit) = &environment.default_business_unit {
        table.push(("default_business_unit", json!(unit.as_str())));
    }
    let license_roles: Vec<Value> = environment
        .license_roles
        .iter()
        .map(|(plan, role)| json!({ "plan": plan, "role": role }))
        .collect();
    table.extend([
        ("app_pass_capacity", json!(environment.app_pass_capacity)),
        ("app_pass_lapse", json!(environment.app_pass_lapse)),
        ("app_pass_grace", duration(environment.app_pass_grace)),
        ("pay_as_you_go", json!(environment.pay_as_you_go)),
        ("non_interactive_cap", json!(environment.non_interactive_cap)),
        (
            "allow_role_assignment_on_disabled_users",
            json!(environment.allow_role_assignment_on_disabled_users),
        ),
        ("license_role_management", json!(environment.license_role_management)),
        ("roles", json!(environment.roles)),
        ("license_roles", json!(license_roles)),
        ("fields", fields(&environment.policies)),
    ]);
    table
}

/// The merged policies of both levels, which is why there is no section `[fields]`.
fn fields(policies: &Policies) -> Value {
    let policies = Field::ALL.map(|field| (field.column().to_owned(), json!(policies.of(field).as_str())));
    Value::Object(policies.into_iter().collect())
}

fn extra_field_table(field: &ExtraField) -> Table {
    vec![
        ("column", json!(field.column)),
        ("graph", json!(field.property.name)),
        ("policy", json!(field.policy.as_str())),
    ]
}

fn webhook_table(webhook: &Webhook) -> Table {
    vec![
        ("name", json!(webhook.name)),
        ("url", json!(shown_url(&webhook.url))),
        ("secret_file", json!(webhook.secret_file)),
        ("environments", json!(webhook.environments)),
        ("operations", json!(webhook.operations)),
        ("from", json!(if webhook.from_beginning { "beginning" } else { "now" })),
        ("include_values", json!(webhook.include_values)),
    ]
}

fn duration(duration: Duration) -> Value {
    json!(shown(duration))
}

fn object(table: Table) -> Value {
    Value::Object(table.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// A value on one line. JSON strings, numbers and booleans are valid TOML, and nothing here is null.
fn toml(value: &Value) -> String {
    let joined = |items: Vec<String>| items.join(", ");
    match value {
        Value::Array(items) => format!("[{}]", joined(items.iter().map(toml).collect())),
        Value::Object(table) => {
            let pairs = table
                .iter()
                .map(|(key, value)| format!("{key} = {}", toml(value)))
                .collect();
            format!("{{ {} }}", joined(pairs))
        }
        scalar => scalar.to_string(),
    }
}
