//! Hostile input is normal input: bytes of any kind in a file, in a body and in a query.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use logweir_tests::harness::{Agent, Client, Server, run};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// Lines as a file may hold them, each with a word that finds it.
fn odd_lines() -> Vec<(&'static str, Vec<u8>)> {
    let long = [b"oddlong ".as_slice(), &b"x".repeat(900_000)].concat();
    vec![
        ("oddutf8", b"oddutf8 \xff\xfe\xc3( end".to_vec()),
        ("oddnul", b"oddnul a\0b".to_vec()),
        ("oddansi", b"oddansi \x1b[31mred\x1b[0m \x07".to_vec()),
        ("oddbidi", "oddbidi \u{202e}abc\u{202c}".as_bytes().to_vec()),
        ("oddjson", b"{\"msg\":\"oddjson\",\"a\":{\"b\":[1,{\"c\":null}]}, broken".to_vec()),
        ("oddquote", b"oddquote <script>alert(1)</script> \"'`${x}".to_vec()),
        ("oddspace", b"  \t oddspace \t ".to_vec()),
        ("oddpercent", b"oddpercent %s%n%x {} {0}".to_vec()),
        ("oddlong", long),
    ]
}

#[test]
fn odd_lines_come_back_as_they_were_written() -> anyhow::Result<()> {
    run("hostile", async |scratch| {
        let lines = odd_lines();
        let mut file = Vec::new();
        for (_, line) in &lines {
            file.extend_from_slice(line);
            file.push(b'\n');
        }
        let path = scratch.file("app/odd.log", &file)?;
        let server = Server::serve(scratch, "server", "").await?;
        let files =
            format!("discover: []\nfiles:\n  - {{ paths: [{}], service: odd, multiline: none }}\n", path.display());
        Agent::configure(scratch, server.url(), &files)?.run("--once").await?.expect_code(0)?;
        server.wait_count("service:odd", lines.len() as u64, Duration::from_secs(5)).await?;
        for (word, line) in &lines {
            let found = server.cli(&["search", &format!("service:odd {word}"), "-o", "raw"]).await?.expect_code(0)?;
            let got = found.stdout.strip_suffix(b"\n").unwrap_or(&found.stdout);
            let shown = String::from_utf8_lossy(&got[..got.len().min(200)]);
            ensure!(got == line, "{word}: {} bytes came back for {}: {shown}", got.len(), line.len());
        }
        Ok(())
    })
}

#[test]
fn a_line_over_the_limit_is_cut_and_the_next_ones_are_whole() -> anyhow::Result<()> {
    run("long", async |scratch| {
        let text = format!("before\r\nhuge {}\nafter\nno end of line", "y".repeat(5 << 20));
        let path = scratch.file("app/long.log", text)?;
        let server = Server::serve(scratch, "server", "").await?;
        let files =
            format!("discover: []\nfiles:\n  - {{ paths: [{}], service: long, multiline: none }}\n", path.display());
        Agent::configure(scratch, server.url(), &files)?.run("--once").await?.expect_code(0)?;
        for word in ["before", "huge", "after", "\"no end of line\""] {
            server.wait_count(&format!("service:long {word}"), 1, Duration::from_secs(5)).await?;
        }
        Ok(())
    })
}

type Headers = Vec<(&'static str, &'static str)>;

async fn post(
    client: &Client,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> anyhow::Result<(StatusCode, String)> {
    let mut request = client.post(path).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await?;
    Ok((response.status(), response.text().await?))
}

#[test]
fn odd_bodies_are_answered_and_never_500() -> anyhow::Result<()> {
    run("bodies", async |scratch| {
        let mut server = Server::serve(scratch, "server", "").await?;
        let client = server.client().clone();
        let bomb = zstd::bulk::compress(&vec![b' '; 256 << 20], 3)?;
        let deep = "[".repeat(100_000).into_bytes();
        let encoding = "content-encoding";
        let kind = "content-type";
        let cases: [(&str, &str, Headers, Vec<u8>); 8] = [
            ("zip bomb", "/api/v1/ingest", vec![(encoding, "zstd")], bomb),
            ("not zstd", "/api/v1/ingest", vec![(encoding, "zstd")], b"plain".to_vec()),
            ("not gzip", "/api/v1/ingest", vec![(encoding, "gzip")], b"\x1f\x8b\x08nope".to_vec()),
            ("deep", "/api/v1/ingest", vec![], deep.clone()),
            ("binary", "/api/v1/ingest", vec![], (0..=255).cycle().take(10_000).collect()),
            (
                "no batch",
                "/api/v1/batches",
                vec![(kind, "application/vnd.logweir.batch")],
                b"LWB\x01\xff\xff\xff\xff".to_vec(),
            ),
            ("query of no JSON", "/api/v1/query", vec![(kind, "application/json")], b"{".to_vec()),
            (
                "deep query",
                "/api/v1/query",
                vec![(kind, "application/json")],
                json!({"query": "(".repeat(10_000)}).to_string().into_bytes(),
            ),
        ];
        for (name, path, headers, body) in cases {
            let (status, text) = post(&client, path, &headers, body).await.context(name)?;
            ensure!(!status.is_server_error(), "{name}: {status} {text}");
            server.process().check_alive().context(name)?;
        }
        Ok(())
    })
}

#[test]
fn one_bad_line_is_told_and_the_others_are_stored() -> anyhow::Result<()> {
    run("badline", async |scratch| {
        let server = Server::serve(scratch, "server", "").await?;
        let body = "{\"service\":\"mix\",\"msg\":\"one\"}\n{broken\n{\"service\":\"mix\",\"msg\":\"three\"}\n";
        // The default of `curl -d`, which others take for a form and lose.
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let (status, text) = post(server.client(), "/api/v1/ingest", &headers, body.into()).await?;
        ensure!(status == StatusCode::OK, "{status} {text}");
        let answer: BTreeMap<String, Value> = serde_json::from_str(&text)?;
        ensure!(answer["accepted"] == 2 && answer["rejected"] == 1 && answer["errors"][0]["line"] == 2, "{text}");
        server.wait_count("service:mix", 2, Duration::from_secs(5)).await
    })
}
