use crate::binary::Installation;
use crate::world::migrated_database;
use rollcall::simulator::tenant::{LARGE_GROUP, TokenDeath};
use rollcall::simulator::{Effect, Fault, Settings, Simulator, When};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explore() {
    let simulator = Simulator::start(Settings {
        users: 60,
        ..Settings::default()
    })
    .unwrap();
    let f = simulator.tenant().furnish();
    let database = migrated_database().await;
    let rest = format!(
        "[[environment]]\nname = \"production\"\nkind = \"production\"\nsecurity_group = \"{LARGE_GROUP}\"\n\n[[environment]]\nname = \"sandbox\"\nkind = \"sandbox\"\n"
    );
    let i = Installation::new(&simulator, &database.url, &rest);
    let show = async |a: &str| {
        let s = i.run(a).await;
        println!(
            "\n$ rollcall {a}   -> {:?}\n--- stdout\n{}--- stderr\n{}",
            s.code, s.stdout, s.stderr
        );
    };
    show("check").await;
    show("sync --dry-run --environment sandbox").await;
    show("sync").await;
    show("sync --output json").await;
    show("config check").await;
    show("config show").await;
    show("migrate").await;
    show("runs list").await;
    show("runs show 2").await;
    show("runs show 99").await;
    show("runs approve 2").await;
    show("user list --environment production --limit 3").await;
    show("user list --environment nowhere").await;
    show(&format!(
        "user show {} --environment production",
        f.global_administrator
    ))
    .await;
    show("user show nobody@contoso.example --environment production").await;
    show("explain nobody@contoso.example --environment production").await;
    show("explain nobody@contoso.example --environment nowhere").await;
    show("explain nobody@contoso.example --environment production --trigger bogus").await;
    show(&format!(
        "explain {} --environment production",
        f.dynamics_administrator
    ))
    .await;
    show("sync --environment nowhere").await;
    for id in simulator.tenant().user_ids().into_iter().take(40) {
        simulator.tenant().update_user(id, |u| u.account_enabled = Some(false));
    }
    show("sync --dry-run").await;
    show("sync").await;
    show("runs list").await;
    show("findings").await;
    show("runs show 5").await;
    show("runs reject 5 --environment sandbox").await;
    show("runs approve 5").await;
    show("runs approve 5").await;
    simulator.configure(|s| s.client_secret = "other".into());
    show("sync").await;
    show("sync --output json").await;
    show("check").await;
    simulator.configure(|s| s.client_secret = "simulated~secret".into());
    simulator.configure(|s| {
        s.permissions.remove("User.Read.All");
    });
    show("sync").await;
    show("check").await;
    simulator.configure(|s| {
        s.permissions.insert("User.Read.All".into());
        s.permissions.remove("GroupMember.Read.All");
    });
    show("sync").await;
    show("check").await;
    simulator.configure(|s| {
        s.permissions.insert("GroupMember.Read.All".into());
        s.permissions.remove("RoleManagement.Read.Directory");
    });
    show("sync").await;
    simulator.configure(|s| {
        s.permissions.insert("RoleManagement.Read.Directory".into());
        s.limited_information = true;
    });
    simulator.tenant().expire_tokens(TokenDeath::Gone);
    show("sync").await;
    show("check").await;
    show("findings").await;
    simulator.configure(|s| s.limited_information = false);
    simulator.tenant().delete_group(LARGE_GROUP);
    show("sync").await;
    show("check").await;
    simulator
        .faults()
        .push(Fault::forever(When::any(), Effect::unavailable(None)));
    show("explain nobody@contoso.example --environment production").await;
    i.amend("/t_", "/x_");
    show("sync").await;
    show("check").await;
    show("migrate").await;
    show("user list --environment production").await;
    show("serve").await;
    i.amend("127.0.0.1:", "127.0.0.1:1");
    show("sync").await;
    i.amend("[database]", "[database]\ncolour = 1");
    show("sync").await;
    show("config check").await;
    i.amend("colour = 1", "");
    i.amend("max_connections = 5", "max_connections = \"five\"");
    show("sync").await;
    i.amend("max_connections = \"five\"", "");
    std::fs::remove_file(i.folder.join("secret")).unwrap();
    show("sync").await;
    show("bogus").await;
    show("runs").await;
}
