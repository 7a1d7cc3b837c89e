//! Who the commands say they are: a name with a password, or a token. Both come from files, stdin or the environment; the
//! command line is for everybody on the machine to see.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headwater_hub::Secret;
use hyper::header::HeaderValue;

use crate::exit;
use crate::user::{from_stdin, secret_in};

/// The variable that may hold a token.
const TOKEN_ENV: &str = "HEADWATER_TOKEN";

/// What the commands are told about it.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct LoginArgs {
    /// The user to log in as; with --password-file
    #[arg(long, value_name = "NAME", requires = "password_file")]
    pub user: Option<String>,
    /// A file with that user's password, or `-` for stdin
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
    /// A file with a token to show in place of a name and a password [default: HEADWATER_TOKEN in the environment]
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    pub token_file: Option<PathBuf>,
}

/// What is shown.
#[derive(Clone, Debug)]
pub enum Login {
    /// A name and a password.
    User(String, Secret),
    /// A token.
    Token(Secret),
}

impl LoginArgs {
    /// What they say; `None` to show nothing.
    ///
    /// # Errors
    /// When a file can't be read; usage when it holds what can't be shown.
    pub fn login(&self) -> anyhow::Result<Option<Login>> {
        if let (Some(user), Some(path)) = (&self.user, &self.password_file) {
            let is_stdin = path.as_os_str() == "-";
            let password = if is_stdin { from_stdin()? } else { secret_in(path)? };
            if user.contains(':') {
                return exit::usage(format!("{user:?} can't be a user's name: it has a colon"));
            }
            return Ok(Some(Login::User(user.clone(), password)));
        }
        let token = match &self.token_file {
            Some(path) => Some(secret_in(path)?),
            None => std::env::var(TOKEN_ENV).ok().filter(|token| !token.is_empty()).map(Secret::new),
        };
        let token = token.map(|token| Secret::new(token.reveal().trim_ascii()));
        if token.as_ref().is_some_and(|token| !token.reveal().iter().all(u8::is_ascii_graphic)) {
            return exit::usage("the token isn't one line of visible characters");
        }
        Ok(token.map(Login::Token))
    }
}

impl Login {
    /// As HTTP shows it.
    pub fn header(&self) -> anyhow::Result<HeaderValue> {
        let mut value = match self {
            Self::User(user, password) => {
                let pair = Secret::new([user.as_bytes(), b":", password.reveal()].concat());
                HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair.reveal())))?
            }
            Self::Token(token) => HeaderValue::from_bytes(&[b"Bearer ", token.reveal()].concat())?,
        };
        value.set_sensitive(true);
        Ok(value)
    }

    /// As the frames' HELLO shows it.
    pub fn field(&self) -> Vec<u8> {
        match self {
            Self::User(user, password) => [user.as_bytes(), b":", password.reveal()].concat(),
            Self::Token(token) => token.reveal().to_vec(),
        }
    }
}
