//! Teams, their members and their roles (rules.md, section 13), changed by a person.

use uuid::Uuid;

use super::by_hand::changeable;
use super::places::{Place, named, no_such};
use super::roles::check_role;
use super::{Answer, Ask, Desk, Effect, Refusal, bad_input, no_row};
use crate::domain::environment::Environment;
use crate::domain::reason::Code;
use crate::domain::role::SYSTEM_ADMINISTRATOR;
use crate::domain::team::{MembershipType, Team, TeamRole, TeamType};
use crate::domain::unit::Name;
use crate::graph::{GraphError, describe};
use crate::store::{Transaction, findings, quota, roles, team_roles, teams};
use crate::sync::{DeskError, Failure};

/// A team to create.
#[derive(Clone, Copy, Debug)]
pub struct NewTeam<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its kind.
    pub teamtype: TeamType,
    /// The business unit, by id or name; the root if there is none.
    pub unit: Option<&'a str>,
    /// The administrator, by row id, object id or user principal name.
    pub administrator: Option<&'a str>,
    /// The group and who of it, for a team that follows one.
    pub group: Option<(Uuid, MembershipType)>,
}

/// What to change of a team; what is not given stays. The kind and the group never change.
#[derive(Clone, Copy, Debug, Default)]
pub struct TeamEdit<'a> {
    /// A new name.
    pub name: Option<&'a str>,
    /// The business unit, by id or name.
    pub unit: Option<&'a str>,
    /// The administrator; none for no administrator.
    pub administrator: Option<Option<&'a str>>,
}

impl Desk {
    /// Creates a team.
    ///
    /// # Errors
    /// [`DeskError::BadInput`], [`DeskError::Refused`] for a name or a group that is taken, or when the database fails.
    pub async fn add_team(&self, environment: &str, new: NewTeam<'_>, actor: &str) -> Result<Team, DeskError> {
        let environment = self.with_database(environment)?;
        let name = named(new.name)?;
        let wants_group = matches!(new.teamtype, TeamType::SecurityGroup | TeamType::Microsoft365Group);
        if wants_group != new.group.is_some() {
            let problem = if wants_group {
                "a team of this type needs a group"
            } else {
                "only a team of type security_group or microsoft_365_group has a group"
            };
            return Err(bad_input("azureactivedirectoryobjectid", problem));
        }
        if let Some((group, _)) = new.group {
            self.check_group(group).await?;
        }
        self.base
            .retry(async || {
                let mut tx = self.begin_structure(environment).await?;
                check_free(&mut tx, environment, &name, None).await?;
                let (group, membership) = new.group.unzip();
                let membershiptype = membership.map(MembershipType::number);
                if let Some((group, membershiptype)) = group.zip(membershiptype)
                    && teams::is_group_taken(&mut tx, &environment.name, group, membershiptype).await?
                {
                    return Err(Refusal::new(Code::GroupTaken).into());
                }
                let at = self.base.clock.now();
                let mut team = Team {
                    environment: environment.name.clone(),
                    teamid: Uuid::now_v7(),
                    name: name.as_str().to_owned(),
                    teamtype: new.teamtype.number(),
                    businessunitid: Uuid::nil(),
                    businessunitidname: String::new(),
                    administratorid: None,
                    isdefault: false,
                    azureactivedirectoryobjectid: group,
                    membershiptype,
                    createdon: at,
                    createdby: actor.to_owned(),
                    modifiedon: at,
                    modifiedby: actor.to_owned(),
                };
                self.place_team(&mut tx, environment, &mut team, Some(new.unit), Some(new.administrator))
                    .await?;
                teams::write(&mut tx, &team, &name, self.by(actor)).await?;
                let team = self.team(&mut tx, environment, &team.teamid.to_string()).await?;
                tx.commit().await?;
                Ok(team)
            })
            .await
    }

    /// Changes the name, the unit or the administrator of a team. A default team has the name of its unit and stays there.
    ///
    /// # Errors
    /// [`DeskError::NotFound`], [`DeskError::BadInput`], [`DeskError::Refused`], or when the database fails.
    pub async fn edit_team(
        &self,
        environment: &str,
        team: &str,
        edit: TeamEdit<'_>,
        actor: &str,
    ) -> Result<Team, DeskError> {
        let environment = self.with_database(environment)?;
        let new_name = edit.name.map(named).transpose()?;
        self.base
            .retry(async || {
                let mut tx = self.begin_structure(environment).await?;
                let before = self.team(&mut tx, environment, team).await?;
                if before.isdefault && (edit.name.is_some() || edit.unit.is_some()) {
                    return Err(Refusal::new(Code::TeamIsDefault).into());
                }
                let mut after = before.clone();
                let name = new_name.clone().map_or_else(|| named(&before.name), Ok)?;
                name.as_str().clone_into(&mut after.name);
                self.place_team(
                    &mut tx,
                    environment,
                    &mut after,
                    edit.unit.map(Some),
                    edit.administrator,
                )
                .await?;
                if after == before {
                    return Ok(before);
                }
                if new_name.is_some() {
                    check_free(&mut tx, environment, &name, Some(before.teamid)).await?;
                }
                teams::write(&mut tx, &after, &name, self.by(actor)).await?;
                let after = self.team(&mut tx, environment, &before.teamid.to_string()).await?;
                tx.commit().await?;
                Ok(after)
            })
            .await
    }

    /// Deletes a team with its roles. A default team goes with its unit only.
    ///
    /// # Errors
    /// [`DeskError::NotFound`], [`DeskError::Refused`], or when the database fails.
    pub async fn delete_team(&self, environment: &str, team: &str) -> Result<Team, DeskError> {
        let environment = self.with_database(environment)?;
        self.base
            .retry(async || {
                let mut tx = self.begin_structure(environment).await?;
                let team = self.team(&mut tx, environment, team).await?;
                if team.isdefault {
                    return Err(Refusal::new(Code::TeamIsDefault).into());
                }
                let had = administrators(&mut tx, environment).await?;
                teams::delete(&mut tx, &environment.name, team.teamid).await?;
                keep_an_administrator(&mut tx, environment, had).await?;
                tx.commit().await?;
                Ok(team)
            })
            .await
    }

    /// Adds a user to an owner or access team.
    ///
    /// # Errors
    /// [`DeskError::NotFound`], [`DeskError::Refused`] for a team that is not kept by hand, a stub or a placeholder; or
    /// when the database fails.
    pub async fn add_member(&self, ask: Ask<'_>, team: &str) -> Result<Answer, DeskError> {
        let environment = self.with_database(ask.environment)?;
        self.base
            .retry(async || {
                let mut tx = self.base.begin(None).await?;
                let team = self.team_by_hand(&mut tx, environment, team).await?;
                let row = self.lock_row(&mut tx, environment, ask).await?;
                if row.isstub {
                    return Err(Refusal::new(Code::StubUser).into());
                }
                let author = self.by(ask.actor);
                let is_new = teams::add_member(&mut tx, &team, row.systemuserid, author).await?;
                findings::close_regained(&mut tx, &environment.name, author.at).await?;
                tx.commit().await?;
                Ok(Answer {
                    outcome: if is_new { Effect::Updated } else { Effect::Unchanged },
                    user: Some(row),
                    verdict: None,
                })
            })
            .await
    }

    /// Removes a user from an owner or access team.
    ///
    /// # Errors
    /// As [`Self::add_member`], and [`DeskError::Refused`] for a user who is not in the team or through whom alone the
    /// environment has a System Administrator.
    pub async fn remove_member(&self, ask: Ask<'_>, team: &str) -> Result<Answer, DeskError> {
        let environment = self.with_database(ask.environment)?;
        self.base
            .retry(async || {
                let mut tx = self.base.begin(None).await?;
                let team = self.team_by_hand(&mut tx, environment, team).await?;
                let row = self.lock_row(&mut tx, environment, ask).await?;
                quota::lock(&mut tx, &environment.name, environment.non_interactive_cap).await?;
                let had = administrators(&mut tx, environment).await?;
                if !teams::remove_member(&mut tx, &team, row.systemuserid, self.by(ask.actor)).await? {
                    return Err(Refusal::new(Code::NotAMember).into());
                }
                keep_an_administrator(&mut tx, environment, had).await?;
                tx.commit().await?;
                Ok(Answer {
                    outcome: Effect::Updated,
                    user: Some(row),
                    verdict: None,
                })
            })
            .await
    }

    /// Grants a role to a team.
    ///
    /// # Errors
    /// [`DeskError::NotFound`], [`DeskError::Refused`] for an access team or a role that the environment lacks, or when the
    /// database fails.
    pub async fn grant_to_team(
        &self,
        environment: &str,
        team: &str,
        role: &str,
        actor: &str,
    ) -> Result<Vec<TeamRole>, DeskError> {
        let environment = self.with_database(environment)?;
        check_role(environment, role)?;
        self.base
            .retry(async || {
                let mut tx = self.begin_structure(environment).await?;
                let team = self.team(&mut tx, environment, team).await?;
                if !team.takes_roles() {
                    return Err(Refusal::new(Code::TeamTakesNoRoles).into());
                }
                let author = self.by(actor);
                team_roles::grant(&mut tx, &team, role, author).await?;
                findings::close_regained(&mut tx, &environment.name, author.at).await?;
                let granted = team_roles::list(&mut tx, &environment.name, team.teamid).await?;
                tx.commit().await?;
                Ok(granted)
            })
            .await
    }

    /// Revokes a role of a team.
    ///
    /// # Errors
    /// [`DeskError::NotFound`], [`DeskError::Refused`] for a role that neither the environment nor the team has, or where no
    /// System Administrator would remain; or when the database fails.
    pub async fn revoke_from_team(
        &self,
        environment: &str,
        team: &str,
        role: &str,
        actor: &str,
    ) -> Result<Vec<TeamRole>, DeskError> {
        let environment = self.with_database(environment)?;
        self.base
            .retry(async || {
                let mut tx = self.begin_structure(environment).await?;
                let team = self.team(&mut tx, environment, team).await?;
                let had = administrators(&mut tx, environment).await?;
                if !team_roles::revoke(&mut tx, &team, role, self.by(actor)).await? {
                    check_role(environment, role)?;
                }
                keep_an_administrator(&mut tx, environment, had).await?;
                let left = team_roles::list(&mut tx, &environment.name, team.teamid).await?;
                tx.commit().await?;
                Ok(left)
            })
            .await
    }

    /// Asks the directory whether a team can follow a group.
    async fn check_group(&self, group: Uuid) -> Result<(), DeskError> {
        let refused = |code, detail| Err(Refusal::saying(code, detail).into());
        match self.puller.graph().for_someone_waiting().can_be_gate(group).await {
            Ok(true) => Ok(()),
            Ok(false) => refused(
                Code::GroupNotUsable,
                format!("{group} is neither a security group nor a Microsoft 365 group"),
            ),
            Err(GraphError::NotFound { .. }) => {
                refused(Code::GroupNotUsable, format!("the directory has no group {group}"))
            }
            Err(GraphError::Cancelled) => Err(Failure::Cancelled.into()),
            Err(error) => refused(Code::DirectoryUnavailable, describe(&error)),
        }
    }

    /// A team by id or name.
    async fn team(&self, tx: &mut Transaction, environment: &Environment, team: &str) -> Result<Team, DeskError> {
        let found = teams::find(tx, &environment.name, team).await?;
        found.ok_or_else(|| no_such("team", team, environment))
    }

    /// A team whose members people choose.
    async fn team_by_hand(
        &self,
        tx: &mut Transaction,
        environment: &Environment,
        team: &str,
    ) -> Result<Team, DeskError> {
        let team = self.team(tx, environment, team).await?;
        if team.isdefault {
            return Err(Refusal::new(Code::TeamIsDefault).into());
        }
        if team.follows_group() {
            return Err(Refusal::new(Code::TeamFollowsGroup).into());
        }
        Ok(team)
    }

    /// Sets the unit and the administrator of a team, where they are given.
    #[expect(clippy::option_option, reason = "not given, none, one")]
    async fn place_team(
        &self,
        tx: &mut Transaction,
        environment: &Environment,
        team: &mut Team,
        unit: Option<Option<&str>>,
        administrator: Option<Option<&str>>,
    ) -> Result<(), DeskError> {
        if let Some(unit) = unit {
            let unit = self.place(&mut *tx, environment, Place::BusinessUnit, unit).await?;
            team.businessunitid = unit.unwrap_or(team.businessunitid);
        }
        match administrator {
            None => {}
            Some(None) => team.administratorid = None,
            Some(Some(user)) => {
                let row = super::find_row(tx, &environment.name, user).await?;
                let row = row.ok_or_else(|| no_row(&environment.name, user))?;
                changeable(&row)?;
                team.administratorid = Some(row.systemuserid);
            }
        }
        Ok(())
    }
}

async fn check_free(
    tx: &mut Transaction,
    environment: &Environment,
    name: &Name,
    except: Option<Uuid>,
) -> Result<(), DeskError> {
    if teams::is_name_taken(tx, &environment.name, name, except).await? {
        return Err(Refusal::new(Code::NameTaken).into());
    }
    Ok(())
}

/// How many enabled rows are System Administrators, directly or through a team. The environment's quota must be locked.
pub(super) async fn administrators(tx: &mut Transaction, environment: &Environment) -> Result<i64, DeskError> {
    let names = std::slice::from_ref(&environment.name);
    let counts = roles::count_enabled_holders(tx, names, SYSTEM_ADMINISTRATOR).await?;
    Ok(counts.into_values().sum())
}

/// Refuses a change after which no System Administrator is left of those that an environment `had`.
pub(super) async fn keep_an_administrator(
    tx: &mut Transaction,
    environment: &Environment,
    had: i64,
) -> Result<(), DeskError> {
    if had > 0 && administrators(tx, environment).await? == 0 {
        return Err(Refusal::new(Code::LastSystemAdministrator).into());
    }
    Ok(())
}
