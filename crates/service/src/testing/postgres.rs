//! A real PostgreSQL server for tests, on a port and in a folder of its own, that ends with the test's process.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_postgres::NoTls;

use crate::StoreUrl;

/// A port can be taken between asking for a free one and using it; three times in a row it isn't chance.
const STARTS_MAX: usize = 3;

/// How long a server may take to read its rules anew.
const RELOAD_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(30);

/// Says when the server is there, waits for the test's process to end (its end of the pipe closes, whatever ended it),
/// then takes the server and its folder away.
const KEEPER: &str = r#"
bin=$1 folder=$2 port=$3
"$bin/initdb" -D "$folder/data" -U test -A trust -E UTF8 --no-sync --no-instructions >"$folder/initdb.log" 2>&1 || exit 1
"$bin/pg_ctl" -D "$folder/data" -w -l "$folder/server.log" \
    -o "-h 127.0.0.1 -p $port -k $folder -c max_connections=200 -c shared_buffers=32MB" start >/dev/null 2>&1 || exit 1
echo ready
cat >/dev/null
"$bin/pg_ctl" -D "$folder/data" -m immediate stop >/dev/null 2>&1
rm -rf "$folder"
"#;

/// A server.
pub struct Postgres {
    bin: PathBuf,
    folder: PathBuf,
    port: u16,
    user: Option<&'static str>,
    keeper: Child,
    databases: AtomicU64,
}

impl Postgres {
    /// The server that all tests of a process share; each takes a database of its own. `None`, with a word, when PostgreSQL
    /// isn't installed.
    ///
    /// # Panics
    /// When it doesn't start, or isn't installed although `HEADWATER_NO_SKIP` is set.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// A server for one test.
    ///
    /// # Panics
    /// As [`shared`](Self::shared).
    pub fn start() -> Option<Self> {
        let Some(bin) = programs() else {
            assert!(
                std::env::var_os("HEADWATER_NO_SKIP").is_none(),
                "PostgreSQL is not installed (Debian: postgresql), and nothing may be skipped"
            );
            eprintln!("skipped: PostgreSQL is not installed (Debian: postgresql)");
            return None;
        };
        for _ in 0..STARTS_MAX {
            if let Some(server) = Self::try_start(&bin) {
                return Some(server);
            }
        }
        panic!("PostgreSQL doesn't start");
    }

    fn try_start(bin: &Path) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("headwater-pg-").tempdir().expect("a folder").keep();
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        // The server refuses to run as root.
        let user = is_root().then_some("postgres");
        if let Some(user) = user {
            let owned = Command::new("chown").arg(user).arg(&folder).status().expect("chown");
            assert!(owned.success(), "the user {user} is needed to run PostgreSQL as");
        }
        let mut command = as_user(user, "sh");
        command.arg("-c").arg(KEEPER).arg("keeper").arg(bin).arg(&folder).arg(port.to_string());
        // Not where the test stands: its user may not go there.
        command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = command.spawn().expect("a shell");
        let mut said = String::new();
        let stdout = keeper.stdout.take().expect("its output");
        let _ = std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut said);
        if said.trim() != "ready" {
            let _ = keeper.wait();
            let _ = std::fs::remove_dir_all(&folder);
            return None;
        }
        Some(Self { bin: bin.to_path_buf(), folder, port, user, keeper, databases: AtomicU64::new(0) })
    }

    /// A new database.
    ///
    /// # Panics
    /// When the server doesn't make one.
    pub async fn database(&self) -> StoreUrl {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let url = |database: &str| format!("postgres://test@127.0.0.1:{}/{database}", self.port);
        let (client, connection) = tokio_postgres::connect(&url("postgres"), NoTls).await.expect("the server is there");
        let connection = tokio::spawn(connection);
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a new database");
        drop(client);
        let _ = connection.await;
        StoreUrl::new(&url(&name), Path::new("")).expect("a URL")
    }

    /// From now on everybody who comes over the network has to say this password.
    ///
    /// # Panics
    /// When the server doesn't take that.
    pub fn ask_for_password(&self, password: &str) {
        let says = |host: &std::ffi::OsStr, sql: &str| {
            let mut command = as_user(self.user, self.bin.join("psql"));
            command.arg("-h").arg(host).args(["-p", &self.port.to_string(), "-U", "test", "-q", "-w", "-c", sql]);
            command.arg("postgres").current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
            command.status().expect("psql").success()
        };
        let set = format!("ALTER USER test PASSWORD '{password}'");
        assert!(says(self.folder.as_os_str(), &set), "the password is set");
        let rules = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(self.folder.join("data/pg_hba.conf"), rules).expect("its rules");
        self.control(&["reload"]);
        // The server reads them when it comes to it.
        let begun = std::time::Instant::now();
        while says("127.0.0.1".as_ref(), "SELECT 1") {
            assert!(begun.elapsed() < RELOAD_TIME_MAX, "it goes on letting in whoever comes");
        }
    }

    /// Ends the server as a crash would, and starts it again; all connections are lost.
    ///
    /// # Panics
    /// When it doesn't come back.
    pub fn restart(&self) {
        self.control(&["-m", "immediate", "-w", "restart"]);
    }

    /// Ends the server as a crash would.
    ///
    /// # Panics
    /// When it doesn't end.
    pub fn stop(&self) {
        self.control(&["-m", "immediate", "-w", "stop"]);
    }

    fn control(&self, words: &[&str]) {
        let mut command = as_user(self.user, self.bin.join("pg_ctl"));
        command.arg("-D").arg(self.folder.join("data")).arg("-l").arg(self.folder.join("server.log")).args(words);
        let ended = command.current_dir("/").stdout(Stdio::null()).status().expect("pg_ctl");
        assert!(ended.success(), "pg_ctl {words:?}");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// The newest version that Debian's packages have put here.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let programs = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").exists());
    programs.max_by_key(|bin| {
        let version = bin.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        version.and_then(|version| version.parse::<u32>().ok())
    })
}

fn is_root() -> bool {
    let said = Command::new("id").arg("-u").output().expect("id");
    said.stdout.trim_ascii() == b"0"
}

fn as_user(user: Option<&str>, program: impl AsRef<std::ffi::OsStr>) -> Command {
    match user {
        None => Command::new(program),
        Some(user) => {
            let mut command = Command::new("runuser");
            command.args(["-u", user, "--"]).arg(program);
            command
        }
    }
}
