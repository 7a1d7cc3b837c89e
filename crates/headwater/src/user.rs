//! `headwater user`: who is known to the hub. Changes the users' file; a running hub takes it at the next reload.

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use headwater_hub::access::{PASSWORD_LEN_MAX, PasswordHash, Secret, User, check_name};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::access::{Files, UsersFile};
use crate::cli::SettingArgs;
use crate::config::{self, Sources};
use crate::exit;

/// What is done with the users.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  headwater user add ada --role operator            asks for the password
  headwater user add d1 --role device --password-file d1.secret
  headwater user add press --role device --certificate press.plant.example --no-password
  headwater user set ada --disable && kill -HUP $(pidof headwater)

A running hub takes a change at SIGHUP or `POST /v1/admin/reload`; whoever may no longer come is out within a second.")]
pub struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
    /// Settings file, for where the users' file lies [default: ./headwater.toml where there is one]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The hub's data folder; the users are in users.toml there [default: ./headwater-data]
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<String>,
    /// The users' file itself
    #[arg(long, value_name = "FILE", global = true)]
    users_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add a user
    Add {
        /// Their name: it can stand for a level of a topic, so it has none of + # / $ : { }
        name: String,
        /// A role they hold; may be given several times
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// A name in their client certificate (subject alternative name), letter by letter; may be given several times
        #[arg(long = "certificate", value_name = "NAME")]
        certificates: Vec<String>,
        #[command(flatten)]
        password: PasswordArgs,
        /// They come by certificate alone
        #[arg(long, conflicts_with = "password_file")]
        no_password: bool,
    },
    /// Remove a user
    Remove {
        /// Their name
        name: String,
    },
    /// List the users
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Give a user another password
    Passwd {
        /// Their name
        name: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Change a user's roles or certificates, or whether they may come
    Set {
        /// Their name
        name: String,
        /// The roles they hold from now on; may be given several times
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// They hold no role any more
        #[arg(long, conflicts_with = "roles")]
        no_roles: bool,
        /// The names of their certificates from now on; may be given several times
        #[arg(long = "certificate", value_name = "NAME")]
        certificates: Vec<String>,
        /// They may not come any more
        #[arg(long)]
        disable: bool,
        /// They may come again
        #[arg(long, conflicts_with = "disable")]
        enable: bool,
    },
}

/// Where a password comes from. Never from the command line: that is for everybody on the machine to see.
#[derive(Args, Debug)]
struct PasswordArgs {
    /// A file with the password, or `-` for stdin [default: asked for at a terminal, else read from stdin]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// Usage, for a name that isn't there or can't be; otherwise what the file says.
pub fn run(args: UserArgs) -> anyhow::Result<()> {
    let settings = SettingArgs { config: args.config, data: args.data, ..SettingArgs::default() };
    let loaded = Sources::gather(&settings).and_then(|sources| config::load(&sources));
    let mut loaded = loaded.map_err(|faults| exit::Usage(faults.to_string()))?;
    if args.users_file.is_some() {
        loaded.config.access.users_file = args.users_file;
    }
    let files = Files::new(&loaded);
    if let UserCommand::List { json } = args.command {
        return list(&UsersFile::look_into(files.users_path())?, json);
    }
    let mut file = UsersFile::open(files.users_path())?;
    match args.command {
        UserCommand::List { .. } => {}
        UserCommand::Add { name, roles, certificates, password, no_password } => {
            check_name(&name).map_err(|error| exit::Usage(error.to_string()))?;
            if file.users.iter().any(|user| user.name == name) {
                return exit::usage(format!("there is a user {name:?} already: `headwater user set` changes one"));
            }
            let password = if no_password { None } else { Some(password.read()?) };
            file.users.push(User { name, password, roles, certificates, is_disabled: false });
        }
        UserCommand::Remove { name } => {
            find(&mut file.users, &name)?;
            file.users.retain(|user| user.name != name);
        }
        UserCommand::Passwd { name, password } => {
            find(&mut file.users, &name)?;
            let hash = password.read()?;
            find(&mut file.users, &name)?.password = Some(hash);
        }
        UserCommand::Set { name, roles, no_roles, certificates, disable, enable } => {
            let user = find(&mut file.users, &name)?;
            if no_roles || !roles.is_empty() {
                user.roles = roles;
            }
            if !certificates.is_empty() {
                user.certificates = certificates;
            }
            user.is_disabled = (user.is_disabled || disable) && !enable;
        }
    }
    file.save()?;
    tell(&files);
    Ok(())
}

fn find<'u>(users: &'u mut [User], name: &str) -> anyhow::Result<&'u mut User> {
    match users.iter_mut().find(|user| user.name == name) {
        Some(user) => Ok(user),
        None => exit::usage(format!("there is no user {name:?}")),
    }
}

fn list(users: &[User], json: bool) -> anyhow::Result<()> {
    let mut out = Vec::new();
    for User { name, password, roles, certificates, is_disabled } in users {
        if json {
            let line = serde_json::json!({
                "name": name, "roles": roles, "certificates": certificates, "password": password.is_some(),
                "disabled": is_disabled,
            });
            writeln!(out, "{line}")?;
            continue;
        }
        let mut words = vec![if password.is_some() { "password" } else { "no password" }.to_owned()];
        words.extend(certificates.iter().map(|name| format!("certificate {name}")));
        words.extend(is_disabled.then(|| "disabled".to_owned()));
        let roles = if roles.is_empty() { "no role".to_owned() } else { roles.join(",") };
        writeln!(out, "{name:<24} {roles:<24} {}", words.join(", "))?;
    }
    Ok(std::io::stdout().write_all(&out)?)
}

/// What one should know after a change.
fn tell(files: &Files) {
    match files.read() {
        Ok(read) => read.remarks.iter().for_each(|remark| eprintln!("headwater: {remark}")),
        // The users were good when they were written; whatever else is wrong, the hub would say at its reload.
        Err(faults) => eprintln!("headwater: a reload would fail: {faults}"),
    }
    eprintln!("headwater: written to {}; a running hub takes it at SIGHUP", files.users_path().display());
}

impl PasswordArgs {
    fn read(&self) -> anyhow::Result<PasswordHash> {
        let password = match self.password_file.as_deref() {
            None if std::io::stdin().is_terminal() => ask_twice()?,
            None => from_stdin()?,
            Some(path) if path == Path::new("-") => from_stdin()?,
            Some(path) => secret_in(path)?,
        };
        PasswordHash::of(&password).map_err(|error| exit::Usage(error.to_string()).into())
    }
}

/// A secret from a file, without the line end that an editor adds.
///
/// # Errors
/// When the file can't be read.
pub fn secret_in(path: &Path) -> anyhow::Result<Secret> {
    let read = std::fs::read(path).with_context(|| format!("can't read the secret in {}", path.display()))?;
    Ok(one_line(&Secret::new(read)))
}

/// A secret from stdin, without the line end.
///
/// # Errors
/// When stdin can't be read.
pub fn from_stdin() -> anyhow::Result<Secret> {
    let mut read = Vec::new();
    std::io::stdin().take(PASSWORD_LEN_MAX as u64 + 3).read_to_end(&mut read).context("can't read stdin")?;
    Ok(one_line(&Secret::new(read)))
}

fn one_line(text: &Secret) -> Secret {
    let bytes = text.reveal();
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    Secret::new(bytes.strip_suffix(b"\r").unwrap_or(bytes))
}

/// Asks at a terminal, which doesn't show what is typed.
fn ask_twice() -> anyhow::Result<Secret> {
    let (first, second) = (ask("Password: ")?, ask("Again: ")?);
    if first.reveal() != second.reveal() {
        bail!("these are two different passwords");
    }
    Ok(first)
}

fn ask(prompt: &str) -> anyhow::Result<Secret> {
    let stdin = std::io::stdin();
    eprint!("{prompt}");
    let shown = tcgetattr(&stdin).context("can't hide what is typed")?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &hidden).context("can't hide what is typed")?;
    let mut line = String::new();
    let read = stdin.read_line(&mut line);
    let restored = tcsetattr(&stdin, OptionalActions::Flush, &shown);
    eprintln!();
    let typed = Secret::new(line.into_bytes());
    read.context("can't read the password")?;
    restored.context("can't show again what is typed")?;
    Ok(one_line(&typed))
}
