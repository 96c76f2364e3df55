//! `prosect models` as a user runs it, against a server on this machine that has the layout of
//! TotalSegmentator's releases and small stand-ins for its archives, or that of brainchop's repository
//! and its own files.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it skips"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::Value;

const BREASTS: &str = "Dataset527_breasts_1559subj.zip";

fn archives() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../prosect-import/tests/data")
}

/// brainchop's models; without the shared data the test is skipped, but not in CI.
fn meshnets() -> Option<PathBuf> {
    let root = std::env::var_os("PROSECT_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let folder = root.join("data/meshnet-t1-mr/models");
    if folder.is_dir() {
        return Some(folder);
    }
    let is_ci = std::env::var("CI").as_deref() == Ok("true");
    assert!(
        !is_ci,
        "{} is missing; set PROSECT_SHARED",
        folder.display()
    );
    println!("skipped: {} is missing", folder.display());
    None
}

/// A server that gives `release/FILE.zip` from a folder of archives, or `FOLDER/FILE` from a folder of folders, once cut short.
struct Mirror {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Mirror {
    fn start(folder: PathBuf, cut_first: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!(
            "http://{}/releases/download",
            listener.local_addr().unwrap()
        );
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut cut = cut_first;
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let request: Vec<String> = lines
                    .map_while(Result::ok)
                    .take_while(|l| !l.is_empty())
                    .collect();
                let path = request[0].split(' ').nth(1).unwrap().to_owned();
                log.lock().unwrap().push(path.clone());
                let range = request.iter().find_map(|l| {
                    l.to_lowercase()
                        .strip_prefix("range: bytes=")?
                        .strip_suffix('-')?
                        .parse::<usize>()
                        .ok()
                });
                let parts: Vec<&str> = path.rsplit('/').collect();
                let inside = folder.join(parts[1]).join(parts[0]);
                let file = if inside.is_file() {
                    inside
                } else {
                    folder.join(parts[0])
                };
                let Ok(bytes) = fs::read(file) else {
                    let _ = stream.write_all(
                        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                    );
                    continue;
                };
                let (n, from) = (bytes.len(), range.unwrap_or(0));
                let status = if from > 0 {
                    "206 Partial Content"
                } else {
                    "200 OK"
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\nETag: \"{n}\"\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{n}\r\nConnection: close\r\n\r\n",
                    n - from,
                    n - 1
                );
                let end = if cut { n / 2 } else { n };
                cut = false;
                // A client that has gone is no matter.
                let _ = stream
                    .write_all(head.as_bytes())
                    .and_then(|()| stream.write_all(&bytes[from..end]));
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Runs `prosect models ...` with this folder of models.
fn prosect(models: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_prosect"))
        .arg("models")
        .args(arguments)
        .args(["--models", models.to_str().unwrap()])
        .env_remove("ALL_PROXY")
        .env_remove("HTTPS_PROXY")
        .env_remove("HTTP_PROXY")
        .env_remove("https_proxy")
        .env_remove("http_proxy")
        .env_remove("all_proxy")
        .output()
        .unwrap()
}

/// It ends with this code; gives what it said on stdout and on stderr.
#[track_caller]
fn check(models: &Path, arguments: &[&str], code: i32) -> (String, String) {
    let output = prosect(models, arguments);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}\n{stdout}\n{stderr}"
    );
    (stdout, stderr)
}

#[test]
fn a_model_is_installed_verified_exported_and_removed() {
    let models = tempfile::tempdir().unwrap();
    let models = models.path();
    let mirror = Mirror::start(archives(), true);
    let (stdout, stderr) = check(models, &["install", "breasts", "--mirror", &mirror.url], 0);
    assert!(
        stdout.contains("licence of the weights: Apache-2.0"),
        "{stdout}"
    );
    assert!(stderr.contains("publisher gives no checksum"), "{stderr}");
    // The first transfer broke off and was continued.
    let path = format!("/releases/download/v2.5.0-weights/{BREASTS}");
    assert_eq!(mirror.asked(), [path.clone(), path]);
    let sums = fs::read_to_string(models.join("installed.sha256")).unwrap();
    assert!(
        sums.contains(&format!("v2.5.0-weights/{BREASTS}")),
        "{sums}"
    );
    assert!(!models.join(".downloads").exists());

    let (stdout, _) = check(models, &["list", "--json"], 0);
    let listed: Value = serde_json::from_str(&stdout).unwrap();
    assert!(
        listed
            .as_array()
            .unwrap()
            .iter()
            .any(|m| m["name"] == "breasts"),
        "{stdout}"
    );
    let (stdout, _) = check(models, &["info", "breasts"], 0);
    assert!(
        stdout.contains("TotalSegmentator") && stdout.contains("Apache-2.0"),
        "{stdout}"
    );
    check(models, &["verify", "breasts"], 0);

    // Again: nothing to do; with force it is fetched again and compared.
    let (_, stderr) = check(models, &["install", "breasts", "--mirror", &mirror.url], 0);
    assert!(stderr.contains("installed already"), "{stderr}");
    check(
        models,
        &["install", "breasts", "--force", "--mirror", &mirror.url],
        0,
    );
    assert_eq!(mirror.asked().len(), 3);

    let bundle = models.join("bundle.zip");
    let bundle = bundle.to_str().unwrap();
    check(models, &["export", "breasts", "-o", bundle], 0);
    check(models, &["export", "breasts", "-o", bundle], 2);
    check(models, &["remove", "breasts"], 0);
    check(models, &["info", "breasts", "--json"], 0);
    check(models, &["verify", "breasts"], 2);
    check(models, &["import", bundle], 0);
    check(models, &["verify"], 0);
    let (_, stderr) = check(models, &["import", bundle], 2);
    assert!(stderr.contains("--force"), "{stderr}");

    // A byte of the weights turns.
    let weights = models.join("breasts/527/fold_0.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    let (_, stderr) = check(models, &["verify", "breasts"], 2);
    assert!(stderr.contains("SHA-256"), "{stderr}");
    check(models, &["verify"], 1);
}

#[test]
fn an_archive_that_changes_is_refused_until_it_is_accepted() {
    let work = tempfile::tempdir().unwrap();
    let folder = work.path().join("archives");
    fs::create_dir(&folder).unwrap();
    fs::copy(archives().join(BREASTS), folder.join(BREASTS)).unwrap();
    let models = work.path().join("models");
    let mirror = Mirror::start(folder.clone(), false);
    let install = ["install", "breasts", "--force", "--mirror", &mirror.url];
    check(&models, &install, 0);
    // The same zip with a comment at its end: other bytes, same content.
    let mut bytes = fs::read(folder.join(BREASTS)).unwrap();
    let n = bytes.len();
    bytes[n - 2] = 1;
    bytes.push(b'!');
    fs::write(folder.join(BREASTS), &bytes).unwrap();
    let (_, stderr) = check(&models, &install, 2);
    assert!(stderr.contains("SHA-256"), "{stderr}");
    check(&models, &["verify", "breasts"], 0);
    let from = folder.to_str().unwrap();
    let (_, stderr) = check(
        &models,
        &["install", "breasts", "--force", "--from", from],
        2,
    );
    assert!(stderr.contains("--accept-changed"), "{stderr}");
    check(
        &models,
        &[
            "install",
            "breasts",
            "--force",
            "--accept-changed",
            "--from",
            from,
        ],
        0,
    );
    check(&models, &install, 0);
}

#[test]
fn a_task_brings_the_models_that_it_needs() {
    let work = tempfile::tempdir().unwrap();
    let models = work.path().join("models");
    let mirror = Mirror::start(archives(), false);
    let (stdout, stderr) = check(
        &models,
        &[
            "install",
            "headneck-muscles",
            "--json",
            "--mirror",
            &mirror.url,
        ],
        0,
    );
    assert!(stderr.contains("needs total-fastest"), "{stderr}");
    let reports: Value = serde_json::from_str(&stdout).unwrap();
    let names: Vec<&str> = reports
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["total-fastest", "headneck-muscles"]);
    assert_eq!(mirror.asked().len(), 3);

    // Without a network: from files, where one that is needed is missing.
    let offline = work.path().join("offline");
    let one = archives().join("Dataset778_headneck_muscles_part1_492subj.zip");
    let two = archives().join("Dataset779_headneck_muscles_part2_492subj.zip");
    let (one, two) = (one.to_str().unwrap(), two.to_str().unwrap());
    let (_, stderr) = check(
        &offline,
        &["install", "headneck-muscles", "--from", one, "--from", two],
        1,
    );
    assert!(
        stderr.contains("missing: the model total-fastest"),
        "{stderr}"
    );
    let (_, stderr) = check(&offline, &["install", "total", "--from", one], 2);
    assert!(stderr.contains("Dataset291"), "{stderr}");
    let all = archives();
    check(
        &offline,
        &["install", "total-fastest", "--from", all.to_str().unwrap()],
        0,
    );
}

#[test]
fn what_is_not_open_is_listed_and_refused() {
    let work = tempfile::tempdir().unwrap();
    let (stdout, _) = check(work.path(), &["list", "--available"], 0);
    for word in [
        "total-fast",
        "Apache-2.0",
        "heartchambers-highres",
        "license-academic",
        "CC-BY-NC-4.0",
    ] {
        assert!(stdout.contains(word), "{word}: {stdout}");
    }
    let mirror = Mirror::start(work.path().to_path_buf(), false);
    let refused = |name: &str, part: &str| {
        let (_, stderr) = check(work.path(), &["install", name, "--mirror", &mirror.url], 2);
        assert!(stderr.contains(part), "{stderr}");
    };
    refused("heartchambers-highres", "licence key");
    refused("brain-aneurysm", "--accept-license");
    refused("total-highres-test", "offers no weights");
    refused("no-such-model", "--available");
    assert!(mirror.asked().is_empty(), "nothing was asked for");
    refused("breasts", "404");
    assert_eq!(
        fs::read_dir(work.path())
            .unwrap()
            .filter(|e| e.as_ref().unwrap().path().is_dir())
            .count(),
        1,
        "the folder of downloads alone"
    );
    check(work.path(), &["remove", "liver-ct"], 2);
    check(work.path(), &["import", "/no/such/file"], 2);
}

#[test]
fn meshnets_are_installed_from_their_own_files() {
    let Some(published) = meshnets() else { return };
    let work = tempfile::tempdir().unwrap();
    let models = work.path().join("models");
    let mirror = Mirror::start(published.clone(), true);
    let install = |names: &[&str], code: i32| {
        let mut arguments = vec!["install"];
        arguments.extend(names);
        arguments.extend(["--mirror", &mirror.url]);
        check(&models, &arguments, code)
    };
    let (stdout, _) = install(&["meshnet-tissue-light", "meshnet-tissue-11"], 0);
    assert!(stdout.contains("licence of the weights: MIT"), "{stdout}");
    assert!(
        mirror
            .asked()
            .contains(&"/releases/download/model5_gw_ae/group1-shard1of1.bin".to_owned())
    );
    let sums = fs::read_to_string(models.join("installed.sha256")).unwrap();
    assert!(sums.contains("model11_gw_ae/model.json"), "{sums}");
    assert!(!models.join(".downloads").exists());
    check(&models, &["verify", "meshnet-tissue-light"], 0);
    let asked = mirror.asked().len();
    let (_, stderr) = install(&["meshnet-tissue-light"], 0);
    assert!(stderr.contains("installed already"), "{stderr}");
    assert_eq!(mirror.asked().len(), asked);
    let (stdout, _) = check(&models, &["list", "--available"], 0);
    assert!(stdout.contains("meshnet-aparc-aseg-104"), "{stdout}");

    // From a folder, without a network; and files that are not the published ones.
    let offline = work.path().join("offline");
    let from = published.to_str().unwrap();
    let brain = ["install", "meshnet-brain", "--from", from];
    check(&offline, &brain, 0);
    let changed = work.path().join("mindgrab");
    fs::create_dir(&changed).unwrap();
    for name in ["model.json", "model.bin", "colormap.json"] {
        let mut bytes = fs::read(published.join("mindgrab").join(name)).unwrap();
        if name == "model.bin" {
            *bytes.last_mut().unwrap() ^= 1;
        }
        fs::write(changed.join(name), bytes).unwrap();
    }
    let from = changed.to_str().unwrap();
    let brain = ["install", "meshnet-brain", "--force", "--from", from];
    let (_, stderr) = check(&offline, &brain, 2);
    assert!(stderr.contains("SHA-256"), "{stderr}");
    // Even when that is accepted, they are not the weights of that name.
    let accepted = [&brain[..], &["--accept-changed"]].concat();
    let (_, stderr) = check(&offline, &accepted, 2);
    assert!(stderr.contains("not those of meshnet-brain"), "{stderr}");
    check(&offline, &["verify", "meshnet-brain"], 0);
    let from = work.path().to_str().unwrap();
    let (_, stderr) = check(&offline, &["install", "meshnet-tissue", "--from", from], 2);
    assert!(stderr.contains("model20chan3cls"), "{stderr}");
    let elsewhere = Mirror::start(changed, false);
    let wrong = [
        "install",
        "meshnet-brain",
        "--force",
        "--mirror",
        &elsewhere.url,
    ];
    let (_, stderr) = check(&offline, &wrong, 2);
    assert!(stderr.contains("SHA-256"), "{stderr}");
}
