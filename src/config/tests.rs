//! What loads, what is refused and in which words, and that no secret is ever shown.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use super::tenant::Cloud;
use super::*;
use crate::domain::credential::ManagedHost;
use crate::domain::environment::{AppPassLapse, GroupNesting, Kind};
use crate::domain::field::{Field, Policy};
use crate::domain::retention::Kept;

mod hostile;
mod refusals;
mod secrecy;

const MINIMAL: &str = r#"
[tenant]
id = "11111111-1111-1111-1111-111111111111"
client_id = "22222222-2222-2222-2222-222222222222"
credential = { kind = "workload_identity" }

[database]
url = "postgres://rollcall@localhost/rollcall"

[[environment]]
name = "production"
kind = "production"
"#;

const PLAN: &str = "ea2cf03b-ac60-46ae-9c1d-eeaeb63cec86";

/// A folder of its own that goes away with the value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("rollcall-config-{}", Uuid::new_v4()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn load(&self, text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        self.write("rollcall.toml", text, 0o600);
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(&self.0.join("rollcall.toml"), variables)
    }

    /// The error line, with the folder's own name taken out.
    fn refusal(&self, text: &str, variables: &[(&str, &str)]) -> String {
        match self.load(text, variables) {
            Ok(_) => "loaded".to_owned(),
            Err(error) => error.to_string().replace(&format!("{}/", self.0.display()), ""),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn load(text: &str, variables: &[(&str, &str)]) -> Config {
    Folder::new().load(text, variables).unwrap()
}

#[test]
fn the_minimum_gets_the_documented_defaults() {
    let config = load(MINIMAL, &[]);
    assert_eq!(config.tenant.cloud, Cloud::Global);
    assert_eq!(config.tenant.authority.as_str(), "https://login.microsoftonline.com/");
    assert_eq!(config.tenant.graph_root.as_str(), "https://graph.microsoft.com/");
    let Credential::WorkloadIdentity { token_file } = &config.tenant.credential else {
        panic!("a workload identity")
    };
    assert_eq!(
        token_file.display().to_string(),
        "/var/run/secrets/azure/tokens/azure-identity-token"
    );
    assert_eq!(config.database.max_connections, 8);
    assert_eq!(config.database.schema.as_str(), "rollcall");
    assert_eq!(config.sync.interval, Duration::from_mins(15));
    assert_eq!(config.sync.full_interval, Duration::from_hours(24));
    assert_eq!(config.sync.access_freshness, Duration::from_mins(1));
    assert_eq!(
        config.guard,
        Guard {
            max_disables: 100,
            max_disable_percent: 10.0,
            hold_expiry: Duration::from_hours(72)
        }
    );
    let ages = config.retention.ages.iter();
    let ages: Vec<(&str, u64)> = ages
        .map(|(what, age)| (what.as_str(), age.as_secs() / 86_400))
        .collect();
    let defaults = [
        ("changes", 400),
        ("runs", 90),
        ("findings", 90),
        ("requests", 7),
        ("gone_users", 30),
        ("memberships", 30),
    ];
    assert_eq!(ages, defaults);
    assert_eq!(config.retention.every, Duration::from_hours(1));
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(
        (config.telemetry.log.as_str(), config.telemetry.format.as_str()),
        ("info", "text")
    );
    assert_eq!(
        (config.viral_counts_as, config.tenant_marketing),
        (ViralCountsAs::Full, None)
    );
    let [environment] = config.environments.as_slice() else {
        panic!("one environment")
    };
    let expected = Environment {
        roles: environment::DEFAULT_ROLES.map(str::to_owned).to_vec(),
        ..Environment::new("production", Kind::Production)
    };
    assert_eq!(*environment, expected);
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn the_commented_example_loads_and_its_visible_values_are_the_defaults() {
    let folder = Folder::new();
    folder.write("graph", "s3cret-of-graph\n", 0o600);
    let example = include_str!("../../config/rollcall.toml").replace("credentials/graph-secret", "graph");
    let config = folder.load(&example, &[]).unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());

    let minimal = folder.load(MINIMAL, &[]).unwrap();
    assert_eq!(config.sync, minimal.sync);
    assert_eq!(config.guard, minimal.guard);
    assert_eq!(config.retention, minimal.retention);
    assert_eq!(config.http, minimal.http);
    assert_eq!(config.console, minimal.console);
    assert!(config.console.why_off().unwrap().contains("nobody could sign in"));
    assert_eq!(config.telemetry, minimal.telemetry);
    let group = config.environments[0].security_group;
    assert!(group.is_some());
    assert_eq!(
        config.environments,
        [Environment {
            security_group: group,
            ..minimal.environments[0].clone()
        }]
    );
}

#[test]
fn every_commented_key_of_the_example_is_a_key() {
    let folder = Folder::new();
    folder.write("graph", "s3cret-of-graph\n", 0o600);
    folder.write("console", "s3cret-of-console\n", 0o600);
    folder.write("hook", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", 0o600);
    let example = include_str!("../../config/rollcall.toml")
        .replace("credentials/graph-secret", "graph")
        .replace("env = \"CONSOLE_CLIENT_SECRET\"", "file = \"console\"")
        .replace("credentials/webhook", "hook");
    let without = [
        "authority",
        "graph_root",
        "ca_file",
        "url_file",
        "credential",
        "creator",
    ];
    let uncommented: Vec<&str> = example
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.contains("\"console\"") => rest,
            Some(rest) if without.iter().any(|key| rest.starts_with(key)) => line,
            Some(rest) if rest.starts_with('[') && rest.ends_with(']') => rest,
            Some(rest) if rest.split_once(" = ").is_some_and(|(key, _)| !key.contains([' ', '.'])) => rest,
            _ => line,
        })
        .collect();
    let uncommented = uncommented.join("\n");
    let refusal = folder.refusal(&uncommented, &[]);
    assert!(
        refusal.contains("http.token[0].sha256"),
        "an example is no secret: {refusal}"
    );
    let hash = "0123456789abcdef".repeat(4);
    let config = folder
        .load(
            &uncommented.replace("replace: the 64 digits that sha256sum prints", &hash),
            &[],
        )
        .unwrap();
    assert_eq!(config.http.tokens.len(), 1);
    let shown = config.show();
    let section = "[console]\nenabled = true\npublic_url = \"https://rollcall.example.com\"\n\
                   credential = { file = \"console\", kind = \"secret\" }\n";
    assert!(shown.contains(section) && config.console.why_off().is_none(), "{shown}");
    assert_eq!(config.environments.len(), 2);
    assert_eq!(config.tenant_marketing, Some(true));
    assert_eq!(config.environments[0].policies.of(Field::MobilePhone), Policy::Never);
    assert_eq!(config.environments[1].policies.of(Field::MobilePhone), Policy::Always);
    assert_eq!(config.moved_plans.len(), 1);
}

#[test]
fn nothing_is_deleted_before_a_held_set_expires_and_forever_is_an_age() {
    let text = format!("{MINIMAL}\n[guard]\nhold_expiry = \"60d\"\n[retention]\nruns = \"forever\"\n");
    let config = load(&text, &[]);
    let days = |what| config.retention.ages.get(&what).map(|age| age.as_secs() / 86_400);
    assert_eq!(
        Kept::ALL.map(days),
        [Some(400), None, Some(90), Some(60), Some(60), Some(60)]
    );
    assert!(config.show().contains("\nrequests = \"60d\"\n") && config.show().contains("\nruns = \"forever\"\n"));
}

#[test]
fn a_duration_of_nothing_needs_no_unit_and_means_never_for_verifications() {
    let verifications = |value: &str| {
        let line = format!("[sync]\ninterval = \"20m\"\n{value}");
        let config = load(&format!("{MINIMAL}\n{line}"), &[]);
        config.sync.verifications().map(|verify| (verify.first, verify.every))
    };
    for never in ["0", "\"0\"", "\"0s\""] {
        assert_eq!(verifications(&format!("verify_interval = {never}")), None);
    }
    let (first, every) = verifications("").unwrap();
    assert_eq!((first, every), (Duration::from_mins(20), Duration::from_hours(7 * 24)));
}

#[test]
fn variables_override_keys_and_are_parsed_to_the_wanted_type() {
    let config = load(
        MINIMAL,
        &[
            ("ROLLCALL__SYNC__FULL_INTERVAL", "12h"),
            ("ROLLCALL__DATABASE__MAX_CONNECTIONS", "20"),
            ("ROLLCALL__DATABASE__SCHEMA", "contoso"),
            ("ROLLCALL__DATABASE__URL", "postgres://other:pa55w0rd@db/rollcall"),
            ("ROLLCALL__GUARD__MAX_DISABLE_PERCENT", "2.5"),
            ("ROLLCALL__LICENSES__TENANT_MARKETING", "false"),
            ("ROLLCALL__FIELDS__FULLNAME", "always"),
            ("ROLLCALL__TENANT__CREDENTIAL__KIND", "secret"),
            ("ROLLCALL__TENANT__CREDENTIAL__ENV", "GRAPH_SECRET"),
            ("ROLLCALL__TELEMETRY__LOG", "debug"),
            ("GRAPH_SECRET", "s3cret-of-graph"),
            ("ROLLCALL_CONFIG", "is not a key"),
        ],
    );
    assert_eq!(config.sync.full_interval, Duration::from_hours(12));
    assert_eq!(config.database.max_connections, 20);
    assert_eq!(config.database.schema.as_str(), "contoso");
    assert_eq!(config.database.at.url.expose(), "postgres://other:pa55w0rd@db/rollcall");
    assert!((config.guard.max_disable_percent - 2.5).abs() < f64::EPSILON);
    assert_eq!(config.tenant_marketing, Some(false));
    assert_eq!(config.environments[0].policies.of(Field::FullName), Policy::Always);
    assert_eq!(config.telemetry.log, "debug");
    let secret = Secret::new("s3cret-of-graph".to_owned());
    assert_eq!(config.tenant.credential, Credential::Secret(secret));
    let given = serde_json::json!({ "kind": "secret", "env": "GRAPH_SECRET" });
    assert_eq!(config.tenant.credential_given, given);
    assert!(
        config
            .show()
            .contains("max_connections = 20  # from ROLLCALL__DATABASE__MAX_CONNECTIONS\n")
    );
    assert_eq!(
        config.show_json()["overrides"]["sync.full_interval"],
        "ROLLCALL__SYNC__FULL_INTERVAL"
    );
}

#[test]
fn what_the_platform_says_about_its_identities_is_taken_from_its_variables() {
    let credential = |kind: &str, variables: &[(&str, &str)]| {
        let mut all = vec![("ROLLCALL__TENANT__CREDENTIAL__KIND", kind)];
        all.extend(variables);
        load(MINIMAL, &all).tenant.credential
    };
    let file = credential("workload_identity", &[("AZURE_FEDERATED_TOKEN_FILE", "/run/token")]);
    assert_eq!(
        file,
        Credential::WorkloadIdentity {
            token_file: "/run/token".into()
        }
    );
    let machine = credential(
        "managed_identity",
        &[("IDENTITY_ENDPOINT", "http://127.0.0.1:41/token")],
    );
    assert_eq!(
        machine,
        Credential::ManagedIdentity {
            client_id: None,
            host: ManagedHost::InstanceMetadata {
                root: "http://169.254.169.254".parse().unwrap()
            }
        }
    );
    let both = [
        ("IDENTITY_ENDPOINT", "http://127.0.0.1:41/token"),
        ("IDENTITY_HEADER", "s3cret-header"),
    ];
    let service = credential("managed_identity", &both);
    assert!(!format!("{service:?}").contains("s3cret"));
    let Credential::ManagedIdentity {
        host: ManagedHost::AppService { endpoint, header },
        ..
    } = service
    else {
        panic!("an App Service")
    };
    assert_eq!(
        (endpoint.as_str(), header.expose()),
        ("http://127.0.0.1:41/token", "s3cret-header")
    );
}

#[test]
fn everything_about_an_environment_can_be_said() {
    let text = format!(
        r#"{MINIMAL}
        has_database = false
        security_group = "33333333-3333-3333-3333-333333333333"
        group_nesting = "on_demand"
        app_pass_capacity = 5
        app_pass_lapse = "keep"
        app_pass_grace = "0s"
        pay_as_you_go = true
        non_interactive_cap = 9
        allow_role_assignment_on_disabled_users = true
        license_role_management = false
        roles = ["System Administrator", "Salesperson"]
        license_roles = [{{ plan = "{PLAN}", role = "Salesperson" }}]
        fields = {{ jobtitle = "never" }}

        [[environment]]
        name = "dev-1"
        kind = "developer"
        creator = "44444444-4444-4444-4444-444444444444"
        security_group = "00000000-0000-0000-0000-000000000000"

        [fields]
        jobtitle = "on_create"
        address1_city = "on_create"
        "#
    );
    let config = load(&text, &[]);
    let [production, developer] = config.environments.as_slice() else {
        panic!("two environments")
    };
    assert!(!production.has_database);
    assert_eq!(production.group_nesting, GroupNesting::OnDemand);
    assert_eq!(production.app_pass_lapse, AppPassLapse::Keep);
    assert_eq!(production.app_pass_grace, Duration::ZERO);
    assert_eq!(
        production.license_roles,
        [(Uuid::try_parse(PLAN).unwrap(), "Salesperson".to_owned())]
    );
    assert_eq!(production.policies.of(Field::JobTitle), Policy::Never);
    assert_eq!(production.policies.of(Field::City), Policy::OnCreate);
    assert_eq!(developer.policies.of(Field::JobTitle), Policy::OnCreate);
    assert_eq!(developer.security_group, None);
    assert_eq!(
        developer.creator,
        Some(Uuid::from_u128(0x4444_4444_4444_4444_4444_4444_4444_4444))
    );
}

#[test]
fn plans_move_between_categories_even_unknown_ones() {
    let unknown = "99999999-9999-9999-9999-999999999999";
    let text =
        format!("{MINIMAL}\n[licenses]\nnone = [\"{PLAN}\"]\nfull = [\"{unknown}\"]\nviral_counts_as = \"none\"\n");
    let config = load(&text, &[]);
    assert_eq!(
        config.catalogue.category(Uuid::try_parse(PLAN).unwrap()),
        Category::None
    );
    assert_eq!(
        config.catalogue.category(Uuid::try_parse(unknown).unwrap()),
        Category::Full
    );
    assert_eq!(config.viral_counts_as, ViralCountsAs::None);
}

#[test]
fn clouds_have_the_published_addresses() {
    let cases = [
        (
            "us_gov",
            "https://login.microsoftonline.us/",
            "https://graph.microsoft.us/",
        ),
        (
            "us_gov_dod",
            "https://login.microsoftonline.us/",
            "https://dod-graph.microsoft.us/",
        ),
        (
            "china",
            "https://login.chinacloudapi.cn/",
            "https://microsoftgraph.chinacloudapi.cn/",
        ),
    ];
    for (cloud, authority, graph_root) in cases {
        let tenant = load(MINIMAL, &[("ROLLCALL__TENANT__CLOUD", cloud)]).tenant;
        assert_eq!(
            (tenant.authority.as_str(), tenant.graph_root.as_str()),
            (authority, graph_root)
        );
    }
    let tenant = load(
        MINIMAL,
        &[
            ("ROLLCALL__TENANT__CLOUD", "custom"),
            ("ROLLCALL__TENANT__AUTHORITY", "http://127.0.0.1:4567"),
            ("ROLLCALL__TENANT__GRAPH_ROOT", "http://[::1]:4567/"),
        ],
    )
    .tenant;
    assert_eq!(tenant.authority.as_str(), "http://127.0.0.1:4567/");
    assert_eq!(tenant.graph_root.as_str(), "http://[::1]:4567/");
}

#[test]
fn an_open_address_is_fine_with_a_credential() {
    let open = [
        ("ROLLCALL__HTTP__LISTEN", "0.0.0.0:8080"),
        ("ROLLCALL__HTTP__AUDIENCE", "api://rollcall"),
    ];
    assert_eq!(load(MINIMAL, &open).http.listen.to_string(), "0.0.0.0:8080");
    let metrics = [
        ("ROLLCALL__HTTP__METRICS_LISTEN", "0.0.0.0:9090"),
        ("ROLLCALL__HTTP__LISTEN", "localhost:0"),
    ];
    let http = load(MINIMAL, &metrics).http;
    assert_eq!(
        (http.listen.to_string(), http.metrics_listen.is_some()),
        ("127.0.0.1:0".to_owned(), true)
    );
}

#[test]
fn the_fingerprint_follows_meaning_and_not_order() {
    let print = |text: &str| {
        let config = load(text, &[]);
        fingerprint(
            &config.environments[0],
            &config.catalogue,
            config.viral_counts_as,
            config.tenant_marketing,
        )
    };
    let (plan, other) = (PLAN, "99999999-9999-9999-9999-999999999999");
    let with = |lines: &str| format!("{MINIMAL}\n{lines}");
    let ordered = with(&format!(
        "roles = [\"A\", \"B\"]\nlicense_roles = [{{ plan = \"{plan}\", role = \"A\" }}, {{ role = \"B\", plan = \"{other}\" }}]\n\
         fields = {{ jobtitle = \"never\", address1_city = \"never\" }}\n[licenses]\nnone = [\"{plan}\", \"{other}\"]\n"
    ));
    let reordered = with(&format!(
        "fields = {{ address1_city = \"never\", jobtitle = \"never\" }}\nlicense_roles = [{{ role = \"B\", plan = \"{other}\" }}, \
         {{ plan = \"{plan}\", role = \"A\" }}]\nroles = [\"B\", \"A\"]\n[licenses]\nnone = [\"{other}\", \"{plan}\"]\n"
    ));
    assert_eq!(print(&ordered), print(&reordered));
    assert_eq!(print(MINIMAL).len(), 64);
    assert_eq!(
        print(MINIMAL),
        print(&MINIMAL.replace("name = \"production\"", "name = \"renamed\""))
    );

    let changes = [
        with(""),
        with("has_database = false"),
        with("security_group = \"33333333-3333-3333-3333-333333333333\""),
        with("group_nesting = \"full\""),
        with("app_pass_capacity = 1"),
        with("app_pass_lapse = \"keep\""),
        with("app_pass_grace = \"1d\""),
        with("pay_as_you_go = true"),
        with("non_interactive_cap = 8"),
        with("license_role_management = false"),
        with("roles = [\"Basic User\"]"),
        with(&format!(
            "license_roles = [{{ plan = \"{plan}\", role = \"Basic User\" }}]"
        )),
        with("fields = { jobtitle = \"never\" }"),
        with("[fields]\nfullname = \"always\""),
        with("[licenses]\nviral_counts_as = \"none\""),
        with("[licenses]\ntenant_marketing = true"),
        with("[licenses]\ntenant_marketing = false"),
        with(&format!("[licenses]\nnone = [\"{plan}\"]")),
        MINIMAL.replace("kind = \"production\"", "kind = \"sandbox\""),
    ];
    let prints: std::collections::BTreeSet<String> = changes.iter().map(|text| print(text)).collect();
    assert_eq!(prints.len(), changes.len());
}
