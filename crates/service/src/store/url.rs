//! Where stores are.

use std::fmt;
use std::path::{Path, PathBuf};

use super::StoreError;

/// Where the stores of a program are: `sqlite:FOLDER` (a file for each service) or `postgres://USER:PASSWORD@HOST:PORT/DB`
/// (a schema for each service).
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `FOLDER/NAME.sqlite` for each service.
    Sqlite {
        /// The folder.
        folder: PathBuf,
    },
    /// The schema NAME for each service.
    Postgres {
        /// As it was written.
        config: String,
    },
}

impl StoreUrl {
    /// Reads a URL; `sqlite:` alone means this data folder.
    ///
    /// # Errors
    /// Says what is wrong with it, without repeating a password.
    pub fn new(text: &str, data: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = text.strip_prefix("sqlite:") {
            let folder = if folder.is_empty() { data.to_path_buf() } else { PathBuf::from(folder) };
            return Ok(Self::Sqlite { folder });
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let config: tokio_postgres::Config =
                text.parse().map_err(|error| StoreError::Url(format!("the store's URL can't be read: {error}")))?;
            if config.get_hosts().is_empty() {
                return Err(StoreError::Url(
                    "the store's URL names no host: postgres://USER:PASSWORD@HOST:PORT/DB".into(),
                ));
            }
            return Ok(Self::Postgres { config: text.to_owned() });
        }
        Err(StoreError::Url(
            "the store's URL must begin with sqlite: (a folder, or nothing for the data folder) or postgres://".into(),
        ))
    }

    /// A file for each service in this folder.
    #[must_use]
    pub fn sqlite(folder: impl Into<PathBuf>) -> Self {
        Self::Sqlite { folder: folder.into() }
    }
}

impl fmt::Display for StoreUrl {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { folder } => write!(f, "sqlite:{}", folder.display()),
            Self::Postgres { config } => {
                let (scheme, rest) = config.split_once("://").unwrap_or(("postgres", ""));
                // Parameters may hold a password, too; the last `@` ends the user's part.
                let rest = rest.split('?').next().unwrap_or("");
                match rest.rsplit_once('@') {
                    Some((user, host)) => {
                        let user = user.split(':').next().unwrap_or("");
                        write!(f, "{scheme}://{user}@{host}")
                    }
                    None => write!(f, "{scheme}://{rest}"),
                }
            }
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

/// A store's name becomes that of a file and of a schema.
pub(crate) fn check_name(name: &str) -> Result<(), StoreError> {
    /// PostgreSQL cuts names after this many bytes.
    const LEN_MAX: usize = 63;
    let is_plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if is_plain && name.len() <= LEN_MAX && name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return Ok(());
    }
    Err(StoreError::Url(format!(
        "{name:?} can't be a store's name: up to {LEN_MAX} of a-z, 0-9 and _, beginning with a letter"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<StoreUrl, StoreError> {
        StoreUrl::new(text, Path::new("data"))
    }

    #[test]
    fn urls_are_read_and_never_show_their_password() {
        assert_eq!(url("sqlite:").unwrap(), StoreUrl::sqlite("data"));
        assert_eq!(url("sqlite:/var/x").unwrap().to_string(), "sqlite:/var/x");
        let shown = url("postgres://anna:se%40cret@db:5432/shop?password=also").unwrap();
        assert_eq!(shown.to_string(), "postgres://anna@db:5432/shop");
        assert!(!format!("{shown:?}").contains("secret"));
        for text in ["", "shop.sqlite", "mysql://x", "postgres://", "postgres:///db"] {
            assert!(url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_fit_a_file_and_a_schema() {
        for name in ["inventory", "a", "a_1"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "A", "1a", "_a", "a-b", "a/b", "..", "a\"b", "ä", &"x".repeat(64)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
