//! What a process does, when several share the work.

use super::nearest::nearest;

/// A part of the whole that a process takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Clients come in: MQTT, frames, and the HTTP routes below `/v1`.
    Edge,
    /// The console at `/`.
    Console,
    /// The shop's routes and page.
    Front,
    /// The shop's stock.
    Inventory,
    /// The shop's orders.
    Order,
    /// Raw alerts come in.
    Listener,
    /// Alerts are made of raw ones.
    Processor,
    /// Alerts go out.
    Notifier,
}

/// A word for several roles.
struct Several {
    name: &'static str,
    roles: &'static [Role],
}

/// Words that stand for several roles. `log` adds nothing: the embedded log runs wherever the engine is the embedded one.
const SEVERAL: [Several; 3] = [
    Several { name: "all", roles: &Role::ALL },
    Several { name: "work", roles: &[Role::Inventory, Role::Order, Role::Processor] },
    Several { name: "log", roles: &[] },
];

impl Role {
    /// All that there are.
    pub const ALL: [Self; 8] = [
        Self::Edge,
        Self::Console,
        Self::Front,
        Self::Inventory,
        Self::Order,
        Self::Listener,
        Self::Processor,
        Self::Notifier,
    ];

    /// Its name in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Console => "console",
            Self::Front => "front",
            Self::Inventory => "inventory",
            Self::Order => "order",
            Self::Listener => "listener",
            Self::Processor => "processor",
            Self::Notifier => "notifier",
        }
    }

    /// The roles of a list of words.
    ///
    /// # Errors
    /// The word that names none, and the nearest one that does.
    pub fn list<'a>(words: impl Iterator<Item = &'a str>) -> Result<Vec<Self>, (String, Option<String>)> {
        let mut roles = Vec::new();
        let mut is_empty = true;
        for word in words {
            is_empty = false;
            for role in Self::meant(word)? {
                if !roles.contains(&role) {
                    roles.push(role);
                }
            }
        }
        if is_empty { Err(("a process without a role would do nothing".to_owned(), None)) } else { Ok(roles) }
    }

    fn meant(word: &str) -> Result<Vec<Self>, (String, Option<String>)> {
        if let Some(several) = SEVERAL.iter().find(|several| several.name == word) {
            return Ok(several.roles.to_vec());
        }
        match Self::ALL.into_iter().find(|role| role.name() == word) {
            Some(role) => Ok(vec![role]),
            None => {
                let names = Self::ALL.map(Self::name).into_iter().chain(SEVERAL.iter().map(|several| several.name));
                Err((format!("there is no role {word:?}"), nearest(word, names).map(|name| format!("\"{name}\""))))
            }
        }
    }

    /// The list as it would be written.
    pub fn show(roles: &[Self]) -> String {
        if Self::ALL.iter().all(|role| roles.contains(role)) {
            return "all".to_owned();
        }
        if roles.is_empty() {
            return "log".to_owned();
        }
        roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Result<String, String> {
        Role::list(text.split(',')).map(|roles| Role::show(&roles)).map_err(|(what, nearest)| {
            let nearest = nearest.unwrap_or_default();
            format!("{what} {nearest}")
        })
    }

    #[test]
    fn roles_are_a_list_of_words_some_of_which_stand_for_several() {
        assert_eq!(list("all").unwrap(), "all");
        assert_eq!(list("front,edge").unwrap(), "front,edge");
        assert_eq!(list("work,order").unwrap(), "inventory,order,processor");
        assert_eq!(list("log").unwrap(), "log");
    }

    #[test]
    fn an_unknown_role_is_refused_with_the_nearest_one() {
        assert_eq!(list("edge,invetory").unwrap_err(), "there is no role \"invetory\" \"inventory\"");
        assert!(Role::list(std::iter::empty()).is_err());
    }
}
