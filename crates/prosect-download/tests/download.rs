//! Downloads from a server on this machine that behaves as well or as badly as the test asks.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prosect_base::{Cancel, Faulty, Silent};
use prosect_download::{DownloadError, Downloaded, Proxy, Request, download};

/// The SHA-256 of something else.
const SHA256: &str = "e77b0b15c29d67e9ba4d54f2e8c1c97c13bcb3af5e18c5d6a45a7df1a0f2b9e0";

fn content() -> Vec<u8> {
    (0..300_000_u32).map(|i| (i * 7 % 251) as u8).collect()
}

/// How the server answers one request; the last of a list answers all further ones.
#[derive(Clone, Copy)]
enum Answer {
    /// All, or the range asked for.
    Well,
    /// Closes after so many bytes of the body.
    BreakAfter(usize),
    /// Sends everything whatever was asked for.
    IgnoreRange,
    /// Claims a range that was not asked for.
    WrongRange,
    /// Another version, with another `ETag`.
    Changed,
    Status(u16),
    /// To the path `/there`.
    Redirect,
    /// Neither length nor `ETag`.
    Bare,
}

struct Server {
    address: String,
    /// What was asked for: the request line and the headers.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answers) = (Arc::clone(&asked), answers.to_vec());
        std::thread::spawn(move || {
            for (i, stream) in listener.incoming().enumerate() {
                let answer = answers[i.min(answers.len() - 1)];
                // A client that has gone is no matter.
                let _ = serve(stream.unwrap(), answer, &log);
            }
        });
        Self { address, asked }
    }

    fn url(&self) -> String {
        format!("http://{}/v2.0.0-weights/Dataset300.zip", self.address)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, answer: Answer, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut request = String::new();
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        request.push_str(&line);
        request.push('\n');
    }
    let header = |name: &str| {
        let found = request.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        });
        found.unwrap_or_default()
    };
    if request.starts_with("CONNECT ") {
        // A proxy opens a tunnel; here both ends are this server.
        log.lock().unwrap().push(request);
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
        return serve(stream, answer, log);
    }
    let (range, condition) = (header("range"), header("if-range"));
    log.lock().unwrap().push(request);
    let mut all = content();
    let mut etag = "\"one\"";
    if matches!(answer, Answer::Changed) {
        all.reverse();
        etag = "\"two\"";
    }
    let from: usize = range
        .strip_prefix("bytes=")
        .and_then(|r| r.strip_suffix('-')?.parse().ok())
        .filter(|_| condition == etag && !matches!(answer, Answer::IgnoreRange))
        .unwrap_or(0);
    let n = all.len();
    let head = match answer {
        Answer::Status(status) => format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n"),
        Answer::Redirect => {
            "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n".into()
        }
        Answer::Bare => "HTTP/1.1 200 OK\r\n".into(),
        Answer::WrongRange if from > 0 => format!(
            "HTTP/1.1 206 Partial Content\r\nETag: {etag}\r\nContent-Length: {n}\r\nContent-Range: bytes 0-{}/{n}\r\n",
            n - 1
        ),
        _ if from > 0 => format!(
            "HTTP/1.1 206 Partial Content\r\nETag: {etag}\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{n}\r\n",
            n - from,
            n - 1
        ),
        _ => format!("HTTP/1.1 200 OK\r\nETag: {etag}\r\nContent-Length: {n}\r\n"),
    };
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    match answer {
        Answer::Status(_) | Answer::Redirect => Ok(()),
        Answer::BreakAfter(bytes) => stream.write_all(&all[from..(from + bytes).min(n)]),
        _ => stream.write_all(&all[from..]),
    }
}

fn request<'a>(url: &'a str, target: &'a Path) -> Request<'a> {
    Request {
        url,
        target,
        sha256: None,
        max_bytes: 1 << 20,
        retries: 3,
        wait: Duration::from_millis(1),
        proxy: Proxy::Direct,
    }
}

fn fetch(request: &Request<'_>) -> Result<Downloaded, DownloadError> {
    download(request, &Silent, &Cancel::new())
}

/// The server answers so, and the file is whole after `n_requests` requests.
#[track_caller]
fn check(answers: &[Answer], n_requests: usize) -> Vec<String> {
    let server = Server::start(answers);
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a.zip");
    let done = fetch(&request(&server.url(), &target)).unwrap();
    assert_eq!(done.bytes, content().len() as u64);
    assert_eq!(std::fs::read(&target).unwrap(), content());
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing beside it"
    );
    let asked = server.asked();
    assert_eq!(asked.len(), n_requests, "{asked:#?}");
    asked
}

#[test]
fn a_file_arrives_whole() {
    check(&[Answer::Well], 1);
    check(&[Answer::Bare], 1);
    let asked = check(&[Answer::Redirect, Answer::Well], 2);
    assert!(asked[1].starts_with("GET /there "), "{}", asked[1]);
}

#[test]
fn a_broken_transfer_goes_on_where_it_broke() {
    let asked = check(
        &[
            Answer::BreakAfter(100_000),
            Answer::BreakAfter(50_000),
            Answer::Well,
        ],
        3,
    );
    assert!(!asked[0].to_lowercase().contains("range:"), "{}", asked[0]);
    for asked in &asked[1..] {
        let asked = asked.to_lowercase();
        assert!(
            asked.contains("range: bytes=") && asked.contains("if-range: \"one\""),
            "{asked}"
        );
    }
}

#[test]
fn a_server_that_cannot_continue_sends_all_again() {
    check(&[Answer::BreakAfter(100_000), Answer::IgnoreRange], 2);
    // Another part than asked for is thrown away.
    check(
        &[
            Answer::BreakAfter(100_000),
            Answer::WrongRange,
            Answer::Well,
        ],
        3,
    );
}

#[test]
fn passing_faults_are_tried_again_and_lasting_ones_told() {
    check(&[Answer::Status(503), Answer::Status(429), Answer::Well], 3);
    for (status, hint) in [(404, "moved or withdrawn"), (407, "name and a password")] {
        let server = Server::start(&[Answer::Status(status)]);
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.zip");
        let error = fetch(&request(&server.url(), &target)).unwrap_err();
        assert!(error.to_string().contains(&status.to_string()), "{error}");
        assert!(error.hint().unwrap().contains(hint), "{error}");
        assert_eq!(server.asked().len(), 1);
        assert!(!target.exists());
    }
    let server = Server::start(&[Answer::Status(500)]);
    let folder = tempfile::tempdir().unwrap();
    fetch(&request(&server.url(), &folder.path().join("a.zip"))).unwrap_err();
    assert_eq!(server.asked().len(), 4, "three retries");
}

#[test]
fn a_later_run_continues_unless_the_file_has_changed() {
    for (then, continued) in [(Answer::Well, true), (Answer::Changed, false)] {
        let server = Server::start(&[Answer::BreakAfter(120_000), then]);
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.zip");
        let url = server.url();
        let once = Request {
            retries: 0,
            ..request(&url, &target)
        };
        let error = fetch(&once).unwrap_err();
        assert!(
            matches!(error, DownloadError::Interrupted { .. }),
            "{error}"
        );
        assert!(!target.exists());
        let done = fetch(&once).unwrap();
        assert!(done.continued_from > 0);
        let mut expected = content();
        if !continued {
            expected.reverse();
        }
        assert_eq!(std::fs::read(&target).unwrap(), expected);
    }
}

#[test]
fn a_checksum_is_compared() {
    let server = Server::start(&[Answer::Well]);
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a.zip");
    let url = server.url();
    let found = fetch(&request(&url, &target)).unwrap().sha256;
    assert_eq!(found.len(), 64);
    let known = Request {
        sha256: Some(&found),
        ..request(&url, &target)
    };
    fetch(&known).unwrap();
    std::fs::remove_file(&target).unwrap();
    let wrong = Request {
        sha256: Some(SHA256),
        ..request(&url, &target)
    };
    let error = fetch(&wrong).unwrap_err();
    assert!(
        error.to_string().contains(&found) && error.to_string().contains(SHA256),
        "{error}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    for answer in [Answer::Well, Answer::Bare] {
        let server = Server::start(&[answer]);
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.zip");
        let url = server.url();
        let small = Request {
            max_bytes: 1000,
            ..request(&url, &target)
        };
        let error = fetch(&small).unwrap_err();
        assert!(
            matches!(error, DownloadError::TooLarge { limit: 1000, .. }),
            "{error}"
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_proxy_is_asked_instead() {
    let proxy = Server::start(&[Answer::Well]);
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a.zip");
    let address = format!("http://name:secret@{}", proxy.address);
    let through = Request {
        proxy: Proxy::At(&address),
        ..request("http://weights.invalid/a.zip", &target)
    };
    fetch(&through).unwrap();
    let asked = proxy.asked();
    assert!(
        asked[0].starts_with("CONNECT weights.invalid:80 "),
        "{asked:?}"
    );
    assert!(
        asked[0]
            .to_lowercase()
            .contains("proxy-authorization: basic "),
        "{asked:?}"
    );
    assert!(asked[1].starts_with("GET /a.zip "), "{asked:?}");
    assert!(!asked[1].to_lowercase().contains("proxy-authorization"));
}

#[test]
fn what_cannot_be_reached_is_told_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a.zip");
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://name:secret@{closed}/a.zip?signature=hidden");
    let once = Request {
        retries: 0,
        ..request(&url, &target)
    };
    let error = fetch(&once).unwrap_err().to_string();
    assert!(error.contains(&format!("http://{closed}/a.zip")), "{error}");
    assert!(
        !error.contains("secret") && !error.contains("hidden"),
        "{error}"
    );
    for url in ["ftp://host/a", "not a url", "", "file:///etc/passwd"] {
        let error = fetch(&request(url, &target)).unwrap_err();
        assert!(matches!(error, DownloadError::Url { .. }), "{error}");
    }
}

#[test]
fn a_request_to_stop_keeps_what_is_there() {
    let server = Server::start(&[Answer::BreakAfter(120_000), Answer::Well]);
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a.zip");
    let url = server.url();
    fetch(&Request {
        retries: 0,
        ..request(&url, &target)
    })
    .unwrap_err();
    let cancel = Cancel::new();
    cancel.request();
    let error = download(&request(&url, &target), &Silent, &cancel).unwrap_err();
    assert!(matches!(error, DownloadError::Canceled(_)), "{error}");
    assert!(fetch(&request(&url, &target)).unwrap().continued_from > 0);
}
