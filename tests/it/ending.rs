//! Copies of a database, and what somebody who was disturbed has left in one, to compare with an undisturbed ending.
//!
//! Ids that are drawn and times of day are left out: they are never the same.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use url::Url;
use uuid::Uuid;

/// Everything that must be the same however often the way there was interrupted.
#[derive(Debug, PartialEq)]
pub struct Ending {
    /// Rows, security roles, open findings, decided sets, imported users: a line each, sorted.
    lines: Vec<String>,
    /// What the change log tells, and how often.
    log: BTreeMap<String, u64>,
    /// Users who have still to be judged, and removals that nobody has decided.
    pub left: i64,
}

impl Ending {
    /// What a database holds now.
    pub async fn of(database: &str) -> Self {
        let mut db = PgConnection::connect(database).await.unwrap();
        let lines = sqlx::query_scalar(
            "select line from (
                 select concat_ws(' ', 'row', to_jsonb(s) - 'systemuserid' - 'createdon' - 'modifiedon'
                                                         - 'azuredeletedon' - 'due_at') as line
                 from rollcall.system_user s
                 union all
                 select concat_ws(' ', 'role', environment, azureactivedirectoryobjectid, role, provenance, granted_by,
                                  revoked_by, revoked_at is not null)
                 from rollcall.system_user_role join rollcall.system_user using (environment, systemuserid)
                 union all
                 select concat_ws(' ', 'finding', code, environment, azureactivedirectoryobjectid, detail)
                 from rollcall.finding where closed_at is null
                 union all
                 select concat_ws(' ', 'set', environment, why, decision, decided_by) from rollcall.held_set
                 union all
                 select concat_ws(' ', 'job', id, state, outcome, total, created, already_present, refused)
                 from rollcall.import_job
                 union all
                 select concat_ws(' ', 'item', job, position, i.object_id, state, code, s.domainname)
                 from rollcall.import_item i
                 left join rollcall.system_user s using (systemuserid)) as everything
             order by line",
        );
        let log = sqlx::query_scalar::<_, String>(
            "select concat_ws(' ', environment, coalesce(azureactivedirectoryobjectid::text, domainname), operation,
                              reason, actor, by_rule, fields - 'azuredeletedon')
             from rollcall.system_user_change left join rollcall.system_user using (environment, systemuserid)",
        );
        let left = sqlx::query_scalar(
            "select (select count(*) from rollcall.pending) + (select count(*) from rollcall.removal)",
        );
        Self {
            lines: lines.fetch_all(&mut db).await.unwrap(),
            log: count(log.fetch_all(&mut db).await.unwrap()),
            left: left.fetch_one(&mut db).await.unwrap(),
        }
    }

    /// Fails with the first differences from the ending that is wanted.
    pub fn compare(&self, wanted: &Self, told: &str) {
        let lines = differences(&count(self.lines.clone()), &count(wanted.lines.clone()));
        assert!(lines.is_empty(), "{told}: {lines:#?}");
        // Each row was made once, disabled once, and nobody was disabled in between.
        let log = differences(&self.log, &wanted.log);
        assert!(log.is_empty(), "{told}: the change log: {log:#?}");
        assert_eq!(self.left, wanted.left, "{told}: something is left to be judged");
    }
}

fn count(lines: Vec<String>) -> BTreeMap<String, u64> {
    let mut counted = BTreeMap::new();
    for line in lines {
        *counted.entry(line).or_default() += 1;
    }
    counted
}

/// The first few lines that one side has oftener than the other.
fn differences(found: &BTreeMap<String, u64>, wanted: &BTreeMap<String, u64>) -> Vec<String> {
    let lines = found
        .keys()
        .chain(wanted.keys().filter(|line| !found.contains_key(*line)));
    let times = |counted: &BTreeMap<String, u64>, line| counted.get(line).copied().unwrap_or_default();
    lines
        .map(|line| (line, times(found, line), times(wanted, line)))
        .filter(|(_, found, wanted)| found != wanted)
        .map(|(line, found, wanted)| format!("{found} times instead of {wanted}: {line}"))
        .take(6)
        .collect()
}

/// Another database with the same content. Nobody may be connected to the original.
pub async fn copy_of(original: &str) -> String {
    let mut url = Url::parse(original).unwrap();
    let (from, to) = (
        url.path()[1..].to_owned(),
        format!("t_copy_{}", Uuid::new_v4().simple()),
    );
    url.set_path("postgres");
    let mut db = PgConnection::connect(url.as_str()).await.unwrap();
    let statement = format!("create database {to} template {from} strategy file_copy");
    execute(&mut db, &statement).await;
    url.set_path(&to);
    url.into()
}

pub async fn drop_database(database: &str) {
    let mut url = Url::parse(database).unwrap();
    let name = url.path()[1..].to_owned();
    url.set_path("postgres");
    let mut db = PgConnection::connect(url.as_str()).await.unwrap();
    execute(&mut db, &format!("drop database {name} with (force)")).await;
}

pub async fn execute(db: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(db).await.unwrap();
}

/// A number from a query.
pub async fn ask(database: &str, query: &'static str) -> i64 {
    let mut db = PgConnection::connect(database).await.unwrap();
    sqlx::query_scalar(query).fetch_one(&mut db).await.unwrap()
}
