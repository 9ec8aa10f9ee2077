//! Bulk ratings through what stands before a service: real nginx, HAProxy and Apache, sent by curl and by Python, which
//! both send all before they read. Half of the lines are bad.
//!
//! 200 MB take minutes: `scripts/test --test suite -- --ignored large_bodies`.

use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::http::Http;
use crate::support::spawn::{self, REMEDY, free_port};
use crate::support::until_some;
use crate::support::world::World;

const MB: usize = 1_000_000;
/// Refused lines that an answer lists.
const LISTED: usize = 1_000;

#[derive(Debug, Clone, Copy)]
enum Between {
    Nothing,
    Nginx { is_buffering: bool },
    HaProxy,
    Apache,
}

const ALL: [Between; 5] = [
    Between::Nothing,
    Between::Nginx { is_buffering: true },
    Between::Nginx { is_buffering: false },
    Between::HaProxy,
    Between::Apache,
];

#[test]
fn all_is_taken_without_a_proxy() {
    all_is_taken(&[Between::Nothing], 10 * MB);
}

#[test]
fn all_is_taken_behind_nginx() {
    all_is_taken(&[Between::Nginx { is_buffering: true }, Between::Nginx { is_buffering: false }], 10 * MB);
}

#[test]
fn all_is_taken_behind_haproxy_and_apache() {
    all_is_taken(&[Between::HaProxy, Between::Apache], 10 * MB);
}

#[test]
#[ignore = "minutes of work"]
fn large_bodies_are_taken_behind_all() {
    all_is_taken(&ALL, 200 * MB);
}

fn all_is_taken(places: &[Between], bytes: usize) {
    // A sender that reads nothing for a second would be given up on, if the answer began before its end.
    let world = World::embedded().with("api.write_timeout_ms", 1_000);
    let service = world.start_api();
    service.http().create("p");
    let mut body = Vec::with_capacity(bytes + 100);
    let (mut good, mut bad) = (0, 0);
    while body.len() < bytes {
        // A score of 5 or 6.
        let line = format!("{{\"post_id\":\"p\",\"user_id\":\"u{good}\",\"score\":{}}}\n", 5 + good - bad);
        body.extend_from_slice(line.as_bytes());
        if good == bad { good += 1 } else { bad += 1 }
    }
    let file = world.file("ratings.ndjson", &body);
    let mut sent = 0;
    for between in places {
        let proxy = Proxy::start(*between, service.http().address());
        for sender in [curl, python] {
            let answer = sender(&format!("http://{}/api/ratings", proxy.address), &file);
            let lines: Vec<&str> = answer.lines().collect();
            let totals: Value =
                lines.last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
            let expected = json!({"accepted": good, "refused": bad, "not_listed": bad - LISTED});
            assert_eq!((totals, lines.len()), (expected, LISTED + 1), "{between:?}: {}", proxy.log());
            sent += good;
        }
    }
    assert_eq!(world.status()["accepted"], sent);
}

fn curl(url: &str, file: &str) -> String {
    spawn::run(Command::new("curl").args(["-sS", "--data-binary", &format!("@{file}"), url]))
}

fn python(url: &str, file: &str) -> String {
    let program = "import sys, http.client, urllib.parse
url = urllib.parse.urlsplit(sys.argv[1])
connection = http.client.HTTPConnection(url.hostname, url.port, timeout=600)
connection.request('POST', url.path, open(sys.argv[2], 'rb').read())
print(connection.getresponse().read().decode())";
    spawn::run(Command::new("python3").args(["-c", program, url, file])).trim().to_owned()
}

/// What stands before the service; ended when dropped.
struct Proxy {
    address: String,
    running: Option<(Child, TempDir)>,
}

impl Proxy {
    #[track_caller]
    fn start(between: Between, service: &str) -> Self {
        let (dir, port) = (spawn::temp_dir("proxy-"), free_port());
        // Apache runs as another user.
        spawn::run(Command::new("chmod").arg("777").arg(dir.path()));
        let (place, file) = (dir.path().display().to_string(), dir.path().join("conf").display().to_string());
        let (config, program, args) = match between {
            Between::Nothing => return Self { address: service.to_owned(), running: None },
            Between::Nginx { is_buffering } => {
                (nginx(&place, port, service, is_buffering), "nginx", vec!["-e", "stderr", "-c", &file])
            }
            Between::HaProxy => (haproxy(port, service), "haproxy", vec!["-db", "-f", &file]),
            Between::Apache => (apache(&place, port, service), "apache2", vec!["-X", "-f", &file]),
        };
        std::fs::write(&file, config).expect("a file is written");
        let mut command = match between {
            Between::Apache => spawn::dying_as_postgres(program),
            _ => spawn::dying(program),
        };
        let path = std::env::var("PATH").unwrap_or_default();
        command.args(args).env("PATH", format!("{path}:/usr/sbin"));
        let log = std::fs::File::create(dir.path().join("log")).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = spawn::spawn(command).expect("setpriv starts");
        let mut proxy = Self { address: format!("127.0.0.1:{port}"), running: Some((child, dir)) };
        let http = Http::new(&proxy.address);
        until_some("the proxy to answer", || {
            let ended = proxy.running.as_mut().and_then(|(child, _)| child.try_wait().expect("a child"));
            assert!(ended.is_none(), "{program} ended; {REMEDY}: {}", proxy.log());
            http.try_get("/livez").ok().filter(|answer| answer.status == 200).map(drop)
        });
        proxy
    }

    fn log(&self) -> String {
        let log = self.running.as_ref().map(|(_, dir)| std::fs::read_to_string(dir.path().join("log")));
        log.map(|text| text.expect("a log")).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.running {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// The defaults, but for the size of a body and places for files. One process, which a signal ends whole.
fn nginx(place: &str, port: u16, service: &str, is_buffering: bool) -> String {
    let parts = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let places = parts.map(|part| format!("{part}_temp_path {place}/{part};")).join("\n");
    let buffering = if is_buffering { "on" } else { "off" };
    format!(
        "daemon off;
master_process off;
pid {place}/pid;
events {{}}
http {{
    access_log off;
    {places}
    client_max_body_size 0;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://{service};
            proxy_request_buffering {buffering};
        }}
    }}
}}"
    )
}

fn haproxy(port: u16, service: &str) -> String {
    format!(
        "defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
frontend front
    bind 127.0.0.1:{port}
    default_backend back
backend back
    server damper {service}
"
    )
}

fn apache(place: &str, port: u16, service: &str) -> String {
    let modules = ["mpm_event", "authz_core", "proxy", "proxy_http"];
    let load = |name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so");
    let modules = modules.map(load).join("\n");
    format!(
        "ServerRoot {place}
DefaultRuntimeDir {place}
PidFile {place}/pid
ErrorLog {place}/errors
ServerName localhost
Listen 127.0.0.1:{port}
{modules}
ProxyPass / http://{service}/
"
    )
}
