//! Options that several loads share.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// How much, how fast, how long.
#[derive(clap::Args, Clone, Debug)]
pub struct LoadArgs {
    /// How many connections
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub connections: usize,
    /// How many events each connection has under way at the most
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub in_flight: usize,
    /// Bytes of a payload
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    pub size: usize,
    /// How long to measure (10s, 500ms, 1m)
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub duration: Duration,
    /// How long to run before that, unmeasured
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub warmup: Duration,
    /// Events per second over all connections; latency then counts from when an event was due. Without it each answer
    /// makes room for the next event
    #[arg(long, value_name = "PER_SECOND")]
    pub rate: Option<f64>,
    /// End after so many events, in place of a time; there is no warm-up then
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// Threads of the generator
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: usize,
    #[command(flatten)]
    pub tell: TellArgs,
}

/// Whom to measure beside the load, and how to tell.
#[derive(clap::Args, Clone, Debug)]
pub struct TellArgs {
    /// The server's process: its CPU time and memory (with its children's) go into the report
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Reads `10s`, `500ms`, `2m`, or bare seconds.
///
/// # Errors
/// A sentence for the one who typed it.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        _ => return Err("write 500ms, 10s or 2min".to_owned()),
    };
    let number: f64 = digits.parse().map_err(|_| "write 500ms, 10s or 2min".to_owned())?;
    Duration::try_from_secs_f64(number * unit).map_err(|error| error.to_string())
}

/// Finds the address of `host:port`.
///
/// # Errors
/// A sentence for the one who typed it.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text.to_socket_addrs().map_err(|error| format!("{text}: {error}"))?;
    found.next().ok_or_else(|| format!("{text} has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration("2min"), Ok(Duration::from_secs(120)));
        for bad in ["", "s", "5h5", "-1s", "1e400"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
