//! The directories of the shop's machine, and the configuration files by which its logs are found.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::files::Logs;
use super::{DemoConfig, DemoError, DemoPaths};

/// NGINX's combined format and the times behind it, as many people write it.
const LOG_FORMAT: &str = "log_format timed '$remote_addr - $remote_user [$time_local] \"$request\" $status \
$body_bytes_sent \"$http_referer\" \"$http_user_agent\" '\n                   'rt=$request_time \
urt=$upstream_response_time ua=$upstream_addr host=$host trace=$otel_trace_id';";

const CREATED: &str = "2026-11-16T06:12:09.417003251Z";
const REDIS_ID: &str = "b7f3c1d09a5e48c2a6d0f41e93b57c28d4e6a1908f7c35b2d9e04a61c8f2b37d";
const INVENTORY_ID: &str = "1d4e9a72c05b4f6e8a317c9d20b6e5f483a9c7d1650e2b48f7a3c9e1d5b08642";

/// Makes what is missing. What is there from an earlier run is kept: the logs go on where they ended.
pub(super) fn create(config: &DemoConfig) -> Result<(DemoPaths, Logs), DemoError> {
    // Configuration files name their logs by absolute paths, wherever the agent is started.
    let dir = std::path::absolute(&config.dir).map_err(|source| DemoError {
        what: "cannot find",
        path: config.dir.clone(),
        source,
    })?;
    let paths = DemoPaths::below(&dir);
    let DemoPaths { nginx_conf: conf, pm2_home: pm2, docker_root: docker } = &paths;
    let nginx = dir.join("nginx");
    let redis = docker.join("containers").join(REDIS_ID);
    let inventory = docker.join("containers").join(INVENTORY_ID);
    for path in [&nginx.join("logs"), &pm2.join("logs"), &redis, &inventory] {
        fs::create_dir_all(path).map_err(|source| DemoError { what: "cannot create", path: path.clone(), source })?;
    }
    put(conf, &nginx_conf(&nginx))?;
    put(&pm2.join("dump.pm2"), &pretty(&dump(pm2)))?;
    for (dir, id, name, image) in [
        (&redis, REDIS_ID, "redis", "redis:7.4-alpine"),
        (&inventory, INVENTORY_ID, "inventory", "shop/inventory:2.14.0"),
    ] {
        put(&dir.join("config.v2.json"), &container(dir, id, name, image).to_string())?;
        put(&dir.join("hostconfig.json"), r#"{"LogConfig":{"Type":"json-file","Config":{}}}"#)?;
    }
    let app = |name: &str| pm2.join("logs").join(name);
    let logs = [
        nginx.join("logs/access.log"),
        nginx.join("logs/error.log"),
        app("api-out.log"),
        app("api-error.log"),
        app("payments-out.log"),
        app("payments-error.log"),
        pm2.join("pm2.log"),
        redis.join(format!("{REDIS_ID}-json.log")),
        inventory.join(format!("{INVENTORY_ID}-json.log")),
    ];
    Ok((paths, Logs::new(logs, config.rotate_bytes)))
}

fn put(path: &Path, text: &str) -> Result<(), DemoError> {
    fs::write(path, text).map_err(|source| DemoError { what: "cannot write", path: path.to_owned(), source })
}

fn nginx_conf(dir: &Path) -> String {
    let logs = dir.join("logs");
    format!(
        "worker_processes 2;\nerror_log {logs}/error.log warn;\nevents {{ worker_connections 1024; }}\n\nhttp {{\n  \
         {LOG_FORMAT}\n  access_log {logs}/access.log timed;\n  proxy_read_timeout 3s;\n  \
         upstream api {{ server 10.20.0.11:3000; server 10.20.0.12:3000; }}\n  \
         server {{\n    listen 80;\n    server_name shop.example;\n    \
         location /assets/ {{ root /srv/shop/public; }}\n    location / {{ proxy_pass http://api; }}\n  }}\n}}\n",
        logs = logs.display()
    )
}

fn dump(pm2: &Path) -> Value {
    let app = |name: &str, id: u32, mode: &str| {
        let path = |stream: &str| pm2.join("logs").join(format!("{name}-{stream}.log"));
        json!({
            "name": name, "pm_id": id, "exec_mode": mode, "merge_logs": true,
            "pm_exec_path": format!("/srv/shop/{name}/server.js"), "pm_cwd": format!("/srv/shop/{name}"),
            "pm_out_log_path": path("out"), "pm_err_log_path": path("error"),
        })
    };
    json!([app("api", 0, "cluster_mode"), app("payments", 2, "fork_mode")])
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn container(dir: &Path, id: &str, name: &str, image: &str) -> Value {
    json!({
        "ID": id,
        "Created": CREATED,
        "State": {"Running": true, "Pid": 4242, "StartedAt": CREATED},
        "Config": {"Hostname": &id[..12], "Image": image, "Tty": false,
            "Labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": name, "team": "backend"}},
        "LogPath": dir.join(format!("{id}-json.log")),
        "Name": format!("/shop-{name}-1"),
        "Driver": "overlay2",
    })
}
