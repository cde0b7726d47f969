//! `radtally token` and `radtally staff`: who may ask and who may log in.

use std::io::{IsTerminal as _, stdin};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use subscribers::Role;

use crate::config::Config;
use crate::serve::connect;

/// What can be done with tokens.
#[derive(Subcommand)]
pub enum TokenCommand {
    /// Make a token; it is the last line printed and cannot be shown again.
    Create {
        /// What its bearer may do: support, billing or admin.
        #[arg(long)]
        role: Role,
        /// What it is for.
        #[arg(long)]
        name: String,
    },
    /// List all tokens, without their secrets.
    List,
    /// End a token.
    Revoke {
        /// The token's name.
        #[arg(long)]
        name: String,
    },
}

/// What can be done with staff.
#[derive(Subcommand)]
pub enum StaffCommand {
    /// Add somebody. Asks for a password, or reads it from standard input.
    Add {
        /// The name to log in with.
        #[arg(long)]
        name: String,
        /// What they may do: support, billing or admin.
        #[arg(long)]
        role: Role,
    },
    /// Set a new password, and end their sessions.
    Password {
        /// The name they log in with.
        #[arg(long)]
        name: String,
    },
    /// List everybody.
    List,
    /// Let somebody log in no more, and end their sessions.
    Disable {
        /// The name they log in with.
        #[arg(long)]
        name: String,
    },
    /// Let somebody log in again.
    Enable {
        /// The name they log in with.
        #[arg(long)]
        name: String,
    },
}

/// Runs `radtally token`.
pub async fn token(config: &Config, command: TokenCommand) -> anyhow::Result<()> {
    let directory = connect(config).await?;
    match command {
        TokenCommand::Create { role, name } => println!("{}", directory.create_token(&name, role).await?),
        TokenCommand::List => {
            for token in directory.tokens().await? {
                let state =
                    token.revoked_at.map_or_else(|| "active".to_owned(), |at| format!("revoked {at}"));
                println!("{}\t{}\tcreated {}\t{state}", token.name, token.role, token.created_at);
            }
        }
        TokenCommand::Revoke { name } => {
            directory.revoke_token(&name).await?;
            println!("token \"{name}\" is revoked; a running service forgets it within seconds");
        }
    }
    Ok(())
}

/// Runs `radtally staff`.
pub async fn staff(config: &Config, command: StaffCommand) -> anyhow::Result<()> {
    let directory = connect(config).await?;
    match command {
        StaffCommand::Add { name, role } => {
            directory.add_staff(&name, role, &read_password()?).await?;
            println!("\"{name}\" can log in as {role}");
        }
        StaffCommand::Password { name } => {
            directory.set_password(&name, &read_password()?).await?;
            println!("\"{name}\" has a new password");
        }
        StaffCommand::List => {
            for member in directory.staff().await? {
                println!(
                    "{}\t{}\t{}",
                    member.name,
                    member.role,
                    if member.disabled { "disabled" } else { "active" }
                );
            }
        }
        StaffCommand::Disable { name } => {
            directory.set_disabled(&name, true).await?;
            println!("\"{name}\" can log in no more");
        }
        StaffCommand::Enable { name } => {
            directory.set_disabled(&name, false).await?;
            println!("\"{name}\" can log in again");
        }
    }
    Ok(())
}

/// Asks twice at a terminal; else reads the first line of standard input.
fn read_password() -> anyhow::Result<String> {
    if !stdin().is_terminal() {
        let mut line = String::new();
        stdin().read_line(&mut line).context("reading the password from standard input")?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let password = rpassword::prompt_password("Password: ").context("reading the password")?;
    if rpassword::prompt_password("Again: ").context("reading the password")? != password {
        bail!("the two passwords differ");
    }
    Ok(password)
}
