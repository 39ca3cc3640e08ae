//! The `server` section: addresses, who we are, whom we trust, and the way there; and where we answer ourselves.

use std::net::SocketAddr;

use logweir_proto::yaml::{Fields, Problems};
use logweir_runtime::secrets::Secret;

use super::{ClientCert, Config, Proxies};

/// Servers of one fail-over list.
pub(super) const SERVERS_MAX: usize = 16;

pub(super) fn read(mut server: Fields<'_>, config: &mut Config, problems: &mut Problems) {
    let mut urls = Vec::new();
    if let Some(text) = server.text("url", problems) {
        urls.push((server.place("url"), server.name("url"), text));
    }
    if let Some(items) = server.items("urls", problems) {
        if !urls.is_empty() {
            server.mistake("urls", "and server.url cannot both be given: remove one", problems);
        }
        for (i, item) in items.iter().enumerate() {
            let name = format!("server.urls[{i}]");
            urls.extend(problems.text(item, &name).map(|text| (item.at, name, text)));
        }
        if items.is_empty() || items.len() > SERVERS_MAX {
            server.mistake("urls", &format!("must name 1 to {SERVERS_MAX} servers"), problems);
        }
    }
    let mut checked = urls.into_iter().filter_map(|(at, name, text)| {
        check_url(&text).map_err(|message| problems.add(at, format!("{name}: {message}"))).ok()
    });
    config.server_url = checked.next();
    config.server_fallbacks = checked.collect();
    config.token = server.text("token", problems).map(Secret::new);
    config.token_file = server.path("token_file", problems);
    config.ca_file = server.path("ca_file", problems);
    if config.token.is_some() && config.token_file.is_some() {
        server.mistake("token", "and server.token_file cannot both be given: remove one", problems);
    }
    config.client_cert = match (server.path("cert_file", problems), server.path("key_file", problems)) {
        (Some(cert_file), Some(key_file)) => Some(ClientCert { cert_file, key_file }),
        (None, None) => None,
        (Some(_), None) => {
            server.mistake("cert_file", "needs server.key_file beside it", problems);
            None
        }
        (None, Some(_)) => {
            server.mistake("key_file", "needs server.cert_file beside it", problems);
            None
        }
    };
    config.proxies = proxies(&mut server, problems);
    server.finish(problems);
}

fn proxies(server: &mut Fields<'_>, problems: &mut Problems) -> Option<Proxies> {
    let except = server.text("no_proxy", problems);
    let proxy = server.text("proxy", problems);
    match proxy.as_deref() {
        None if except.is_some() => {
            server.mistake("no_proxy", "needs server.proxy: without it the environment says both", problems);
            None
        }
        None => None,
        Some("none") => Some(Proxies::default()),
        Some(url) => match check_url(url) {
            Ok(url) => Some(Proxies { http: Some(url.clone()), https: Some(url), except }),
            Err(message) => {
                problems.add(server.place("proxy"), format!("server.proxy: {message}, or be none"));
                None
            }
        },
    }
}

/// `None` when the file does not say.
pub(super) fn listen(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Option<SocketAddr>> {
    let text = fields.text("listen", problems)?;
    if text == "none" {
        return Some(None);
    }
    let address = text.parse();
    if address.is_err() {
        let message = format!("must be an address with a port, as 127.0.0.1:7172, or none, not '{text}'");
        fields.mistake("listen", &message, problems);
    }
    address.ok().map(Some)
}

/// A server's address without a final slash, or what is wrong with it.
pub(crate) fn check_url(text: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(text).map_err(|error| format!("{text:?} is not a url: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("{text:?} must begin with http:// or https:// and name a host"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}
