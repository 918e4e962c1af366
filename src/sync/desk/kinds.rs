//! Rows that do not come from a directory user: stubs of a data import, and application users (rules.md, section 6).

use serde_json::json;
use uuid::Uuid;

use super::edit::company_of;
use super::evaluate::ExtraWork;
use super::{Answer, Ask, Desk, Effect, Refusal, bad_input, no_row};
use crate::domain::directory_user::upn_key;
use crate::domain::environment::Environment;
use crate::domain::feed::ServicePrincipal;
use crate::domain::field::Field;
use crate::domain::reason::Code;
use crate::domain::role::Provenance;
use crate::domain::system_user::{ORIGIN_CUSTOMER, SYNC_ACTOR, SystemUser, access_mode, is_reserved};
use crate::domain::text::is_hidden;
use crate::graph::{GraphError, describe};
use crate::plan::roles::stub_role;
use crate::plan::{Change, Operation, RoleChange};
use crate::rules::Trigger;
use crate::store::changes::Author;
use crate::store::{StoreResult, Transaction, roles, rows};
use crate::sync::judge::{self, WriteMode};
use crate::sync::{DeskError, Failure};

impl Desk {
    /// Creates a stub: a placeholder for a user principal name that imported records refer to. It is created disabled
    /// and reserves its name until [`Self::map`] binds it to a directory user. An existing stub is returned.
    ///
    /// # Errors
    /// [`DeskError::Refused`] when a row that is not a stub has the name, [`DeskError::BadInput`], or when the database
    /// fails.
    pub async fn stub(&self, ask: Ask<'_>, company: Option<&str>) -> Result<Answer, DeskError> {
        let environment = self.base.environment(ask.environment)?;
        let is_name = ask.user.contains('@')
            && !ask
                .user
                .contains(|letter: char| letter.is_whitespace() || is_hidden(letter))
            && ask.user.chars().count() <= Field::DomainName.max_characters();
        if !is_name {
            return Err(bad_input("user", format!("`{}` is no user principal name", ask.user)));
        }
        let company = company_of(&json!(company))?;
        let company = company.as_deref();
        self.base.retry(|| self.try_stub(environment, ask, company)).await
    }

    async fn try_stub(
        &self,
        environment: &Environment,
        ask: Ask<'_>,
        company: Option<&str>,
    ) -> Result<Answer, DeskError> {
        if !environment.has_database {
            return Err(Refusal::new(Code::NoDatabase).into());
        }
        let key = upn_key(ask.user);
        if is_reserved(&key) {
            return Err(Refusal::new(Code::ReservedUser).into());
        }
        let name = &environment.name;
        let mut tx = self.base.begin(None).await?;
        if let Some(row) = rows::find_by_upn_key(&mut tx, name, &key).await? {
            return if row.isstub {
                Ok(unchanged(row))
            } else {
                Err(Refusal::new(Code::UpnConflict).into())
            };
        }
        let now = self.base.clock.now();
        let text = Some(ask.user.to_owned());
        let cut = |field: Field| ask.user.chars().take(field.max_characters()).collect::<String>();
        let mut row = SystemUser {
            domainname: text,
            firstname: Some("#".to_owned()),
            lastname: Some(cut(Field::LastName)),
            fullname: Some(cut(Field::FullName)),
            company: company.map(str::to_owned),
            isstub: true,
            ..SystemUser::blank(name, Uuid::now_v7(), ask.actor, now)
        };
        row.disable(ask.actor, Code::StubUser);
        let role = stub_role(environment).map(|role| RoleChange::grant(row.systemuserid, role, Provenance::Import));
        let row = self.create(&mut tx, ask, row, role.as_slice()).await?;
        tx.commit().await?;
        Ok(created(row))
    }

    /// Binds a stub to a directory user. From then on the normal rules apply; references to the row stay valid.
    ///
    /// # Errors
    /// [`DeskError::Refused`] when the row is not a stub, or the user is not in the directory or already has a row; or
    /// when the database fails. A verdict that does not grant access is not an error: the row is bound.
    pub async fn map(&self, ask: Ask<'_>, user: &str) -> Result<Answer, DeskError> {
        let environment = self.base.environment(ask.environment)?;
        let stub = self.stub_to_map(environment, ask).await?;
        let ask = Ask { user, ..ask };
        self.look_up_and_evaluate(ask, Trigger::AdminAdd, ExtraWork::Bind(ask, stub.systemuserid))
            .await
    }

    /// Binds a stub within a transaction that evaluates the user next.
    pub(in crate::sync) async fn bind_stub(
        &self,
        tx: &mut Transaction,
        ask: Ask<'_>,
        stub: Uuid,
        user: Uuid,
    ) -> Result<(), DeskError> {
        let environment = self.base.environment(ask.environment)?;
        let name = &environment.name;
        let Some(before) = rows::lock_by_ids(&mut *tx, name, &[stub]).await?.pop() else {
            return Err(no_row(ask.environment, ask.user).into());
        };
        if before.deletedstate != 0 {
            return Err(Refusal::new(Code::RowDeleted).into());
        }
        if !before.isstub {
            return Err(Refusal::new(Code::AlreadyMapped).into());
        }
        if let Some(row) = rows::find_by_object_id(&mut *tx, name, user).await? {
            let detail = format!(
                "the user has the row {} already: merge the stub into it",
                row.systemuserid
            );
            return Err(Refusal::saying(Code::AlreadyMapped, detail).into());
        }
        let present = crate::store::mirror::read_users(&mut *tx, &[user]).await?.remove(&user);
        match present.map(|user| user.state) {
            Some(crate::domain::directory_user::DirectoryState::Present) => {}
            Some(crate::domain::directory_user::DirectoryState::SoftDeleted) => {
                return Err(Refusal::new(Code::UserSoftDeleted).into());
            }
            _ => return Err(Refusal::new(Code::UserNotFound).into()),
        }
        let mut after = before.clone();
        after.isstub = false;
        after.azureactivedirectoryobjectid = Some(user);
        after.issyncwithdirectory = true;
        after.disable(SYNC_ACTOR, Code::StubUser);
        self.write_by_hand(tx, environment, ask, before, after, Operation::Edit)
            .await?;
        Ok(())
    }

    /// Creates an application user from an app registration: enabled, mode 4, uncapped, exempt from group and licence.
    /// An existing one gets its current name.
    ///
    /// # Errors
    /// [`DeskError::Refused`]: the application is unknown, or the permission to read applications is missing
    /// (Application.Read.All); or when the database fails.
    pub async fn application(&self, ask: Ask<'_>, application: Uuid) -> Result<Answer, DeskError> {
        let environment = self.base.environment(ask.environment)?;
        if !environment.has_database {
            return Err(Refusal::new(Code::NoDatabase).into());
        }
        let principal = self.registered(application).await?;
        self.base
            .retry(|| self.try_application(environment, ask, &principal))
            .await
    }

    /// Updates an application user's name.
    pub(in crate::sync) async fn refresh_application(
        &self,
        ask: Ask<'_>,
        row: &SystemUser,
        application: Uuid,
    ) -> Result<Answer, DeskError> {
        if row.deletedstate != 0 {
            return Err(Refusal::new(Code::RowDeleted).into());
        }
        self.application(ask, application).await
    }

    /// The service principal of an application id.
    async fn registered(&self, application: Uuid) -> Result<ServicePrincipal, DeskError> {
        match self
            .puller
            .graph()
            .for_someone_waiting()
            .service_principal(application)
            .await
        {
            Ok(Some(principal)) => Ok(principal),
            Ok(None) => Err(Refusal::saying(
                Code::UserNotFound,
                format!("the directory has no application {application}"),
            )
            .into()),
            Err(GraphError::Cancelled) => Err(Failure::Cancelled.into()),
            Err(error) => Err(Refusal::saying(Code::DirectoryUnavailable, describe(&error)).into()),
        }
    }

    async fn try_application(
        &self,
        environment: &Environment,
        ask: Ask<'_>,
        principal: &ServicePrincipal,
    ) -> Result<Answer, DeskError> {
        let name = &environment.name;
        let now = self.base.clock.now();
        let mut tx = self.base.begin(None).await?;
        let before = match rows::find_by_application_id(&mut tx, name, principal.app_id).await? {
            Some(row) => rows::lock_by_ids(&mut tx, name, &[row.systemuserid]).await?.pop(),
            None => None,
        };
        let fresh = || SystemUser::blank(name, Uuid::now_v7(), ask.actor, now);
        let mut after = before.clone().unwrap_or_else(fresh);
        name_application(&mut after, principal);
        if before.is_none() {
            after.applicationid = Some(principal.app_id);
            after.azureactivedirectoryobjectid = Some(principal.object_id);
            after.issyncwithdirectory = true;
            after.accessmode = access_mode::NON_INTERACTIVE;
            ORIGIN_CUSTOMER.clone_into(&mut after.accessmode_origin);
        }
        let answer = if let Some(before) = before {
            let id = before.systemuserid;
            let effect = self
                .write_by_hand(&mut tx, environment, ask, before, after, Operation::Update)
                .await?;
            Answer {
                outcome: effect,
                user: rows::find_by_id(&mut tx, name, id).await?,
                verdict: None,
            }
        } else {
            created(self.create(&mut tx, ask, after, &[]).await?)
        };
        tx.commit().await?;
        Ok(answer)
    }

    /// Writes a new row with its roles.
    async fn create(
        &self,
        tx: &mut Transaction,
        ask: Ask<'_>,
        row: SystemUser,
        granted: &[RoleChange],
    ) -> StoreResult<SystemUser> {
        let author = Author {
            actor: ask.actor,
            run_id: None,
            by_rule: false,
            at: row.createdon,
        };
        let name = row.environment.clone();
        let at = row.createdon;
        if let Some(change) = Change::between(None, row.clone(), Operation::Create, None, (ask.actor, at)) {
            judge::write_by_hand(&mut *tx, &name, vec![(None, change)], author, WriteMode::Together).await?;
        }
        roles::apply_in(tx, &name, granted, author).await?;
        Ok(row)
    }
}

/// The name of an application user: "#" as first name, the registration's as last and full name.
fn name_application(row: &mut SystemUser, principal: &ServicePrincipal) {
    let given = principal.display_name.as_deref().filter(|name| !name.trim().is_empty());
    let cut = |field: Field| {
        given.map_or_else(
            || "#".to_owned(),
            |name| name.chars().take(field.max_characters()).collect(),
        )
    };
    row.firstname = Some("#".to_owned());
    row.lastname = Some(cut(Field::LastName));
    row.fullname = Some(cut(Field::FullName));
}

fn created(row: SystemUser) -> Answer {
    Answer {
        outcome: Effect::Created,
        user: Some(row),
        verdict: None,
    }
}

fn unchanged(row: SystemUser) -> Answer {
    Answer {
        outcome: Effect::Unchanged,
        user: Some(row),
        verdict: None,
    }
}
