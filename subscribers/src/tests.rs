//! What the directory promises, on SQLite and on PostgreSQL.

mod postgres;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel};

use postgres::Cluster;

use crate::entities::{api_token, staff_session};
use crate::{Credential, DatabaseConfig, Directory, DirectoryError, PasswordCheck, Role};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PASSWORD: &str = "correct horse battery";

/// The server of all tests that run at the same time.
static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

/// The running server, or a new one.
fn shared() -> Arc<Cluster> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = shared.upgrade() {
        return running;
    }
    let started = Arc::new(Cluster::start());
    *shared = Arc::downgrade(&started);
    started
}

/// Runs `scenario` on a new SQLite file and on a new PostgreSQL database.
async fn on_both<F: Future<Output = ()>>(scenario: impl Fn(Directory) -> F) {
    let folder = tempfile::tempdir().unwrap();
    scenario(Directory::connect(&DatabaseConfig::default(), folder.path()).await.unwrap()).await;
    let cluster = tokio::task::spawn_blocking(shared).await.unwrap();
    let config = DatabaseConfig { url: cluster.new_database() };
    let directory = Directory::connect(&config, Path::new("/nonexistent")).await.unwrap();
    scenario(directory.clone()).await;
    directory.db.close().await.unwrap();
}

async fn log_in(directory: &Directory, password: &str) -> PasswordCheck {
    directory.verify_password("ada", password, HERE).await.unwrap()
}

#[tokio::test]
async fn only_the_right_password_logs_in() {
    on_both(|directory| async move {
        let ada = directory.add_staff("ada", Role::Billing, PASSWORD).await.unwrap();
        assert_eq!(log_in(&directory, PASSWORD).await, PasswordCheck::Accepted(ada));
        assert_eq!(log_in(&directory, "correct horse").await, PasswordCheck::Refused);
        let nobody = directory.verify_password("eve", PASSWORD, HERE).await.unwrap();
        assert_eq!(nobody, PasswordCheck::Refused);
    })
    .await;
}

#[tokio::test]
async fn after_five_wrong_passwords_even_the_right_one_waits() {
    on_both(|directory| async move {
        directory.add_staff("ada", Role::Support, PASSWORD).await.unwrap();
        for _ in 0..5 {
            assert_eq!(log_in(&directory, "wrong password").await, PasswordCheck::Refused);
        }
        assert!(matches!(log_in(&directory, PASSWORD).await, PasswordCheck::Throttled { .. }));
        let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let there = directory.verify_password("ada", PASSWORD, elsewhere).await.unwrap();
        assert!(matches!(there, PasswordCheck::Accepted(_)));
    })
    .await;
}

#[tokio::test]
async fn a_name_is_given_once_and_a_refusal_names_it() {
    on_both(|directory| async move {
        directory.add_staff("ada", Role::Support, PASSWORD).await.unwrap();
        let error = directory.add_staff("ada", Role::Admin, PASSWORD).await.unwrap_err();
        assert_eq!(error.to_string(), "staff member \"ada\" exists already");
        directory.create_token("billing run", Role::Billing).await.unwrap();
        let error = directory.create_token("billing run", Role::Billing).await.unwrap_err();
        assert_eq!(error.to_string(), "token \"billing run\" exists already");
        let error = directory.revoke_token("biling run").await.unwrap_err();
        assert_eq!(error.to_string(), "there is no token \"biling run\"");
    })
    .await;
}

#[tokio::test]
async fn a_token_works_until_it_is_revoked_and_not_a_moment_longer() {
    on_both(|directory| async move {
        let token = directory.create_token("billing run", Role::Billing).await.unwrap();
        let identity = directory.authenticate_token(&token).await.unwrap().unwrap();
        assert_eq!(
            (identity.name.as_str(), identity.role, identity.csrf),
            ("billing run", Role::Billing, None)
        );
        assert!(directory.is_valid(identity.credential).await.unwrap());
        assert!(directory.tokens().await.unwrap()[0].last_used_at.is_some());

        let mut news = directory.revocations();
        directory.revoke_token("billing run").await.unwrap();
        assert_eq!(directory.authenticate_token(&token).await.unwrap(), None);
        assert_eq!(news.recv().await.unwrap(), identity.credential);
        assert!(!directory.is_valid(identity.credential).await.unwrap());

        let again = directory.create_token("billing run", Role::Support).await.unwrap();
        assert!(directory.authenticate_token(&again).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn what_is_no_token_authenticates_nobody() {
    on_both(|directory| async move {
        let token = directory.create_token("t", Role::Support).await.unwrap();
        let secret = token.strip_prefix("radtally_").unwrap();
        let wrong = format!("radtally_{}", "0".repeat(64));
        for bad in ["", "radtally_", secret, wrong.as_str(), "radtally_' OR 1=1 --"] {
            assert_eq!(directory.authenticate_token(bad).await.unwrap(), None, "{bad}");
            assert_eq!(directory.authenticate_session(bad).await.unwrap(), None, "{bad}");
        }
    })
    .await;
}

#[tokio::test]
async fn no_secret_is_stored() {
    on_both(|directory| async move {
        let ada = directory.add_staff("ada", Role::Support, PASSWORD).await.unwrap();
        let session = directory.open_session(&ada).await.unwrap();
        let token = directory.create_token("t", Role::Support).await.unwrap();
        let tokens = api_token::Entity::find().all(&directory.db).await.unwrap();
        let sessions = staff_session::Entity::find().all(&directory.db).await.unwrap();
        let stored = format!("{tokens:?}{sessions:?}");
        assert!(!stored.contains(&session.cookie) && !stored.contains(&session.csrf));
        assert!(!stored.contains(token.strip_prefix("radtally_").unwrap()));
    })
    .await;
}

#[tokio::test]
async fn a_session_ends_at_log_out() {
    on_both(|directory| async move {
        let ada = directory.add_staff("ada", Role::Admin, PASSWORD).await.unwrap();
        let session = directory.open_session(&ada).await.unwrap();
        let identity = directory.authenticate_session(&session.cookie).await.unwrap().unwrap();
        assert_eq!((identity.name.as_str(), identity.role), ("ada", Role::Admin));
        assert_eq!(identity.csrf.as_deref(), Some(session.csrf.as_str()));
        assert_eq!(directory.staff_sessions().await.unwrap().len(), 1);

        let mut news = directory.revocations();
        directory.close_session(&session.cookie).await.unwrap();
        assert_eq!(directory.authenticate_session(&session.cookie).await.unwrap(), None);
        assert_eq!(news.recv().await.unwrap(), identity.credential);
        directory.close_session(&session.cookie).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn disabling_a_member_ends_all_their_sessions_and_keeps_them_out() {
    on_both(|directory| async move {
        let ada = directory.add_staff("ada", Role::Admin, PASSWORD).await.unwrap();
        let one = directory.open_session(&ada).await.unwrap();
        let two = directory.open_session(&ada).await.unwrap();
        assert!(directory.authenticate_session(&one.cookie).await.unwrap().is_some());

        let mut news = directory.revocations();
        directory.set_disabled("ada", true).await.unwrap();
        for session in [&one, &two] {
            assert_eq!(directory.authenticate_session(&session.cookie).await.unwrap(), None);
            assert!(matches!(news.recv().await.unwrap(), Credential::Session(_)));
        }
        assert_eq!(log_in(&directory, PASSWORD).await, PasswordCheck::Refused);
        directory.set_disabled("ada", false).await.unwrap();
        assert!(matches!(log_in(&directory, PASSWORD).await, PasswordCheck::Accepted(_)));
    })
    .await;
}

#[tokio::test]
async fn a_new_password_ends_the_sessions_of_the_old_one() {
    on_both(|directory| async move {
        let ada = directory.add_staff("ada", Role::Admin, PASSWORD).await.unwrap();
        let session = directory.open_session(&ada).await.unwrap();
        directory.set_password("ada", "another long one").await.unwrap();
        assert_eq!(directory.authenticate_session(&session.cookie).await.unwrap(), None);
        assert_eq!(log_in(&directory, PASSWORD).await, PasswordCheck::Refused);
        assert!(matches!(log_in(&directory, "another long one").await, PasswordCheck::Accepted(_)));
        let error = directory.set_password("adda", PASSWORD).await.unwrap_err();
        assert!(matches!(error, DirectoryError::Missing { .. }), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_session_in_use_goes_on_and_an_idle_one_ends() {
    on_both(|directory| async move {
        let ada = directory.add_staff("ada", Role::Admin, PASSWORD).await.unwrap();
        let used = directory.open_session(&ada).await.unwrap();
        let opened_until = used.expires_at.0;
        age(&directory, 3600).await;
        assert!(directory.authenticate_session(&used.cookie).await.unwrap().is_some());
        let renewed = directory.staff_sessions().await.unwrap();
        assert!(renewed[0].expires_at.0 >= opened_until);

        let idle = directory.open_session(&ada).await.unwrap();
        age(&directory, 12 * 3600 + 1).await;
        assert_eq!(directory.authenticate_session(&idle.cookie).await.unwrap(), None);
        assert!(directory.staff_sessions().await.unwrap().is_empty());
        directory.open_session(&ada).await.unwrap();
        assert_eq!(staff_session::Entity::find().all(&directory.db).await.unwrap().len(), 1);
    })
    .await;
}

/// Lets `seconds` pass for all sessions.
async fn age(directory: &Directory, seconds: i64) {
    for row in staff_session::Entity::find().all(&directory.db).await.unwrap() {
        let expires_at = row.expires_at - seconds;
        let mut row = row.into_active_model();
        row.expires_at = Set(expires_at);
        row.update(&directory.db).await.unwrap();
    }
    directory.cache.forget();
}

#[tokio::test]
async fn a_directory_opens_again_with_what_it_held() {
    let folder = tempfile::tempdir().unwrap();
    let config = DatabaseConfig::default();
    let first = Directory::connect(&config, folder.path()).await.unwrap();
    let token = first.create_token("t", Role::Support).await.unwrap();
    let second = Directory::connect(&config, folder.path()).await.unwrap();
    assert!(second.authenticate_token(&token).await.unwrap().is_some());
    second.ping().await.unwrap();

    use std::os::unix::fs::PermissionsExt;
    let file = std::fs::metadata(folder.path().join("directory.sqlite")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_missing_data_directory_is_named() {
    let opened = Directory::connect(&DatabaseConfig::default(), Path::new("/nonexistent/radtally")).await;
    let error = opened.err().unwrap().to_string();
    assert!(error.contains("/nonexistent/radtally/directory.sqlite"), "{error}");
}

#[tokio::test]
async fn of_two_who_want_a_lease_one_gets_it() {
    on_both(|directory| async move {
        let take = |holder: &'static str| {
            let directory = directory.clone();
            async move { directory.acquire_lease("work", holder, 60).await.unwrap() }
        };
        let (one, two) = tokio::join!(take("one"), take("two"));
        assert!(one != two);
        let winner = if one { "one" } else { "two" };
        assert!(take(winner).await, "it is renewed");
        assert_eq!(directory.lease_holder("work").await.unwrap().unwrap().0, winner);
        directory.release_lease("work", "nobody").await.unwrap();
        assert!(!take(if one { "two" } else { "one" }).await);
        directory.release_lease("work", winner).await.unwrap();
        assert!(take("three").await);
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_ran_out_is_taken_over() {
    on_both(|directory| async move {
        assert!(directory.acquire_lease("work", "gone", 0).await.unwrap());
        assert_eq!(directory.lease_holder("work").await.unwrap(), None);
        assert!(directory.acquire_lease("work", "next", 60).await.unwrap());
        assert!(!directory.acquire_lease("work", "gone", 60).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_database_that_was_away_is_used_again() {
    let mut cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    let config = DatabaseConfig { url: cluster.new_database() };
    let directory = Directory::connect(&config, Path::new("/nonexistent")).await.unwrap();
    let ada = directory.add_staff("ada", Role::Billing, PASSWORD).await.unwrap();
    cluster.stop();
    directory.ping().await.unwrap_err();
    cluster.go_on();
    directory.ping().await.unwrap();
    assert_eq!(log_in(&directory, PASSWORD).await, PasswordCheck::Accepted(ada));
    directory.db.close().await.unwrap();
}
