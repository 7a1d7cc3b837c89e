//! How often somebody may be wrong: a bucket for each address and one for each name, in tables of bounded size.

use std::net::IpAddr;
use std::time::Duration;

use headwater_event::Refusal;

use super::users::NAME_LEN_MAX;
use crate::rate::Rates;

/// Wrong logins from one address: a whole office behind one address may mistype, a guesser gets nowhere.
const ADDRESS_BURST: u32 = 20;
const ADDRESS_PER_S: f64 = 0.5;

/// Wrong logins by one name, from wherever: some 7,000 guesses a day.
const NAME_BURST: u32 = 10;
const NAME_PER_S: f64 = 0.08;

/// The buckets. Each attempt takes from both; who was right gets it back.
pub(super) struct Attempts {
    addresses: Rates<IpAddr>,
    names: Rates<Box<str>>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { addresses: Rates::new(ADDRESS_PER_S, ADDRESS_BURST), names: Rates::new(NAME_PER_S, NAME_BURST) }
    }
}

/// The longest wait that is named: nobody has to know how full the bucket is.
const WAIT_MAX: Duration = Duration::from_secs(10);

impl Attempts {
    /// Takes one attempt.
    ///
    /// # Errors
    /// `TooFast`.
    pub(super) fn take(&self, peer: IpAddr, name: Option<&str>) -> Result<(), Refusal> {
        let address = network(peer);
        self.addresses.take(&address, 1).map_err(shorter)?;
        if let Some(name) = name
            && let Err(refusal) = self.names.take(&key(name), 1)
        {
            self.addresses.give(&address, 1);
            return Err(shorter(refusal));
        }
        Ok(())
    }

    /// The attempt was right, or wasn't looked at.
    pub(super) fn give(&self, peer: IpAddr, name: Option<&str>) {
        self.addresses.give(&network(peer), 1);
        if let Some(name) = name {
            self.names.give(&key(name), 1);
        }
    }
}

/// Names that are too long to be anybody's are counted as one, and not kept.
fn key(name: &str) -> Box<str> {
    if name.len() > NAME_LEN_MAX { Box::default() } else { name.into() }
}

fn shorter(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::TooFast { wait } => Refusal::TooFast { wait: wait.min(WAIT_MAX) },
        other => other,
    }
}

/// Who has one IPv6 address has 2^64 of them.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_21_a_guesser_is_stopped_by_address_and_by_name() {
        let attempts = Attempts::default();
        let peer = |last: u8| IpAddr::from([10, 0, 0, last]);
        for _ in 0..NAME_BURST {
            attempts.take(peer(1), Some("ada")).unwrap();
        }
        assert!(matches!(attempts.take(peer(1), Some("ada")), Err(Refusal::TooFast { .. })), "by name");
        assert!(attempts.take(peer(2), Some("ada")).is_err(), "by name, from wherever");
        for number in NAME_BURST..ADDRESS_BURST {
            attempts.take(peer(1), Some(&format!("user{number}"))).unwrap();
        }
        assert!(attempts.take(peer(1), Some("another")).is_err(), "by address");
        assert!(attempts.take(peer(2), Some("another")).is_ok());
    }

    #[test]
    fn who_is_right_may_be_right_again_and_again() {
        let attempts = Attempts::default();
        let peer = IpAddr::from([10, 0, 0, 1]);
        for _ in 0..10 * ADDRESS_BURST {
            attempts.take(peer, Some("ada")).unwrap();
            attempts.give(peer, Some("ada"));
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2:3::4"), network("2001:db8:1:2:ffff::"));
        assert_ne!(network("2001:db8:1:2::"), network("2001:db8:1:3::"));
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
    }
}
