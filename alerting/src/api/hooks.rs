//! What carries its own proof and needs no token: signed links, and what Slack and PagerDuty send.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http::Method;
use logweir_proto::text::escape_markup as escape;
use logweir_runtime::secrets::Secret;

use super::{Right, Route};
use crate::handle::{ActError, Acted, Handle};
use crate::notify::links::{Action, LinkError, Target};
use crate::notify::slack::interact;
use crate::notify::text::clip;
use crate::notify::{chart, pagerduty};
use crate::route::channel::{Kind, SecretSource, Slack, SlackAccess};
use crate::state::Silence;

pub(super) fn routes() -> Vec<Route> {
    let proof = Right::Proof;
    vec![
        Route::new(Method::GET, "/act/{token}", proof, show),
        Route::new(Method::POST, "/act/{token}", proof, act),
        Route::new(Method::POST, "/api/v1/hooks/slack", proof, slack),
        Route::new(Method::POST, "/api/v1/hooks/pagerduty", proof, pagerduty_hook),
    ]
}

/// Opening a link only asks: programs that look for viruses open links too.
async fn show(State(handle): State<Handle>, Path(token): Path<String>) -> Response {
    let bare = token.strip_suffix(".png").unwrap_or(&token);
    let (action, target) = match handle.live.signer.open(bare, handle.clock.now_ns()) {
        Ok(opened) => opened,
        Err(error) => return link_error(error),
    };
    match (action, target) {
        (Action::Chart, Target::Episode(id)) => picture(&handle, &id).await,
        (Action::Why, Target::Episode(id)) => match handle.why(&id).await {
            Ok(Some(why)) => {
                let text = serde_json::to_string_pretty(&why).unwrap_or_default();
                page(StatusCode::OK, "Why", &format!("<pre>{}</pre>", escape(&text)))
            }
            Ok(None) => page(StatusCode::NOT_FOUND, "Why", "<p>This alert is not kept any more.</p>"),
            Err(_) => busy(),
        },
        (Action::Ack, _) => confirm("Acknowledge", "Nobody is told again of what fires now, unless it gets worse."),
        (Action::SilenceHour, _) => confirm("Silence for one hour", "Nobody is told of such alerts for one hour."),
        _ => link_error(LinkError::Forged),
    }
}

async fn act(State(handle): State<Handle>, Path(token): Path<String>) -> Response {
    match handle.act_by_link(&token, "a link in a message").await {
        Ok(acted) => page(StatusCode::OK, "Done", &format!("<p>{}</p>", escape(&acted_text(&acted)))),
        Err(ActError::Link(error)) => link_error(error),
        Err(ActError::Used) => page(StatusCode::CONFLICT, "Used", "<p>This link was used already.</p>"),
        Err(ActError::Shows) => page(StatusCode::BAD_REQUEST, "No", "<p>This link only shows.</p>"),
        Err(ActError::Silence(error)) => {
            tracing::error!(error = %error, "a link could not be followed");
            busy()
        }
    }
}

fn acted_text(acted: &Acted) -> String {
    match acted {
        Acted::Acked(count) => format!("Acknowledged: {count} alert(s)."),
        Acted::Silenced(Silence { id, matchers, .. }) => {
            format!("Silenced for one hour: {} (silence {id}).", matchers.join(", "))
        }
        Acted::Nothing => "It is over already: nothing to do.".to_owned(),
    }
}

async fn picture(handle: &Handle, id: &str) -> Response {
    match handle.episode(id).await {
        Ok(Some(episode)) => match chart::png(&episode) {
            Some(png) => {
                ([(header::CONTENT_TYPE, "image/png"), (header::CACHE_CONTROL, "private")], png).into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        },
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(_) => busy(),
    }
}

fn confirm(title: &str, text: &str) -> Response {
    let form = format!("<p>{text}</p><form method=\"post\"><button>{title}</button></form>");
    page(StatusCode::OK, title, &form)
}

fn link_error(error: LinkError) -> Response {
    let status = match error {
        LinkError::Forged => StatusCode::NOT_FOUND,
        LinkError::Expired => StatusCode::GONE,
    };
    page(status, "No", &format!("<p>{error}</p>"))
}

fn busy() -> Response {
    page(StatusCode::SERVICE_UNAVAILABLE, "Later", "<p>This cannot be done now; try again in a moment.</p>")
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Logweir: {title}</title></head><body><h1>{title}</h1>{body}</body></html>\n"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; form-action 'self'; frame-ancestors 'none'"),
    ];
    (status, headers, html).into_response()
}

/// What somebody pressed in Slack.
async fn slack(State(handle): State<Handle>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (at, signature) = (text("x-slack-request-timestamp"), text("x-slack-signature"));
    let now_wall = handle.clock.now_ns();
    let secrets = secrets(&handle, |kind| match kind {
        Kind::Slack(Slack { access: SlackAccess::Bot(bot), .. }) => bot.signing_secret.as_ref(),
        _ => None,
    });
    if !secrets.iter().any(|secret| interact::verify(secret, at, signature, &body, now_wall)) {
        metrics::counter!("logweir_hooks_refused_total", "from" => "slack").increment(1);
        return StatusCode::UNAUTHORIZED.into_response();
    }
    // A button that opens a link is told here too, and needs nothing.
    let Some(press) = interact::parse(&body) else { return StatusCode::OK.into_response() };
    match handle.act(press.action, &press.target, &press.by).await {
        Ok(acted) => {
            tracing::info!(by = press.by, action = press.action.word(), acted = ?acted, "a button in Slack");
            StatusCode::OK.into_response()
        }
        Err(error) => {
            tracing::error!(error = %error, "what was pressed in Slack cannot be done");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

async fn pagerduty_hook(State(handle): State<Handle>, headers: HeaderMap, body: Bytes) -> Response {
    let signatures = headers.get("x-pagerduty-signature").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let secrets = secrets(&handle, |kind| match kind {
        Kind::PagerDuty(pagerduty) => pagerduty.webhook_secret.as_ref(),
        _ => None,
    });
    if !secrets.iter().any(|secret| pagerduty::verify(secret, signatures, &body)) {
        metrics::counter!("logweir_hooks_refused_total", "from" => "pagerduty").increment(1);
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Some(event) = pagerduty::acknowledged(&body) else { return StatusCode::OK.into_response() };
    match handle.ack_thread(&event.thread, &event.by).await {
        Ok(acked) => {
            tracing::info!(by = clip(&event.by, 100), acked, "acknowledged in PagerDuty");
            StatusCode::OK.into_response()
        }
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// The secrets of all channels of a kind: any of them may have sent it.
fn secrets(handle: &Handle, of: impl Fn(&Kind) -> Option<&SecretSource>) -> Vec<Secret> {
    let routing = handle.live.routing();
    let channels = routing.iter().flat_map(|routing| routing.channels());
    channels.filter_map(|(_, channel)| of(&channel.kind)?.read().ok()).collect()
}
