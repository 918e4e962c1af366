//! Section 7: the fourteen columns under their policies, the columns of state, and that a plan is made once.

mod codes;
mod columns;
mod gates;
mod judged;
mod properties;
mod state;

use std::borrow::Cow;

use chrono::{DateTime, TimeZone, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::domain::environment::Kind;
use crate::domain::field::Policy;
use crate::domain::licence::Licences;
use crate::rules::{AdminRoles, DirectoryAnswer, GroupRelation, Subject, Trigger, evaluate};

const USER: Uuid = Uuid::from_u128(0x0a);
const ROW: Uuid = Uuid::from_u128(0xab);
const PLAN: Uuid = Uuid::from_u128(0x9a);

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 2, 8, 0, 0).unwrap()
}

/// One user with a row or without, and everything that shapes the plan.
#[derive(Clone, Debug)]
struct Stage {
    environment: Environment,
    user: DirectoryUser,
    licensed: bool,
    roles: AdminRoles,
    relation: GroupRelation,
    row: Option<SystemUser>,
    trigger: Trigger,
    keeps_name: bool,
    slot: bool,
    removals: RemovalMode,
    now: DateTime<Utc>,
}

impl Stage {
    /// A licensed user with a value in every property, and no row.
    fn new() -> Self {
        let text = |text: &str| Some(text.to_owned());
        Self {
            environment: Environment::new("test", Kind::Production),
            user: DirectoryUser {
                id: USER,
                account_enabled: Some(true),
                user_principal_name: text("Ada@contoso.example"),
                display_name: text("Ada L."),
                given_name: text("Ada"),
                surname: text("Lovelace"),
                job_title: text("Countess"),
                mail: text("ada@mail.example"),
                business_phone: text("+44 1"),
                mobile_phone: text("+44 2"),
                street_address: text("12 St James's Square"),
                city: text("London"),
                state_or_province: text("Greater London"),
                postal_code: text("SW1Y"),
                country: text("United Kingdom"),
                ..DirectoryUser::default()
            },
            licensed: true,
            roles: AdminRoles::default(),
            relation: GroupRelation::None,
            row: None,
            trigger: Trigger::Background,
            keeps_name: false,
            slot: true,
            removals: RemovalMode::Apply,
            now: now(),
        }
    }

    /// The same with the row that its first plan makes.
    fn created() -> Self {
        let mut stage = Self::new();
        stage.apply();
        stage
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn row(&mut self) -> &mut SystemUser {
        self.row.as_mut().unwrap()
    }

    fn plan(&self) -> RowPlan {
        let subject = Subject {
            answer: DirectoryAnswer::Known(&self.user),
            licences: Licences {
                full: self.licensed.then_some(PLAN),
                free_m365: None,
            },
            roles: self.roles,
            relation: self.relation,
            row: self.row.as_ref(),
            upn_blocked: self.keeps_name,
            tenant_marketing: false,
            non_interactive_slot: self.slot,
            last_system_administrator: false,
            stale_roles: false,
            stale_skus: false,
            now: self.now,
        };
        let verdict = evaluate(&self.environment, &subject, self.trigger);
        let writer = Writer {
            actor: "sync",
            now: self.now,
            new_id: ROW,
        };
        let row = self.row.as_ref();
        let user = Some(&self.user);
        plan_row(
            &self.environment,
            user,
            row,
            &verdict,
            self.keeps_name,
            self.removals,
            writer,
        )
    }

    /// Plans, applies as the store does, and answers the columns that changed.
    fn apply(&mut self) -> Vec<(&'static str, Value, Value)> {
        let Some(change) = self.plan().change else {
            return Vec::new();
        };
        self.row = Some(change.after);
        let fields = change.fields.into_iter();
        let borrowed = |column| match column {
            Cow::Borrowed(column) => column,
            Cow::Owned(column) => panic!("{column} is no column of the program"),
        };
        fields
            .map(|field| (borrowed(field.column), field.old, field.new))
            .collect()
    }

    /// The columns that changed, without their values.
    fn changed(&mut self) -> Vec<&'static str> {
        self.apply().into_iter().map(|(column, ..)| column).collect()
    }

    fn set_policy(&mut self, field: Field, policy: Policy) {
        self.environment.policies.set(field, policy).unwrap();
    }

    /// Another value in the directory, for every column that has one.
    fn change_everything(&mut self) {
        let user = &mut self.user;
        for text in [
            &mut user.user_principal_name,
            &mut user.given_name,
            &mut user.surname,
            &mut user.job_title,
            &mut user.mail,
            &mut user.business_phone,
            &mut user.mobile_phone,
            &mut user.street_address,
            &mut user.city,
            &mut user.state_or_province,
            &mut user.postal_code,
            &mut user.country,
        ] {
            let changed = format!("new-{}", text.as_deref().unwrap());
            *text = Some(changed);
        }
    }
}

/// The columns with a policy to choose.
fn choosable() -> impl Iterator<Item = Field> {
    Field::ALL
        .into_iter()
        .filter(|field| !matches!(field, Field::DomainName | Field::ObjectId))
}
