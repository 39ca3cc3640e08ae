//! What each route of alerting does, for the description of the API.

use http::Method;

/// Empty for a path that is not here.
pub(super) fn about(method: &Method, path: &str) -> &'static str {
    let is_post = method == Method::POST;
    match path {
        "/api/v1/rules" => "The rules, their state and what is wrong with their files.",
        "/api/v1/rules/backtest" => "What a rule would have done over a time that has passed.",
        "/api/v1/rules/hygiene" => "Rules that are of no use, or a burden.",
        "/api/v1/rules/{name}/explain" => "Why a rule fires, or does not.",
        "/api/v1/alerts" => "What fires and what is pending, the worst first.",
        "/api/v1/alerts/{id}" => "One alert with its messages.",
        "/api/v1/alerts/{id}/why" => "Why an alert fired, and what became of it.",
        "/api/v1/alerts/{id}/ack" => "Acknowledges an alert.",
        "/api/v1/notifications" => "Messages that wait, that were sent, and the receivers that fail.",
        "/api/v1/notifications/dead" => "Messages that were given up.",
        "/api/v1/notifications/{id}/retry" => "Sends a message that was given up once more.",
        "/api/v1/receivers/{name}/test" => "Sends a message to a receiver, to see that it arrives.",
        "/api/v1/route-test" => "Where an alert with these labels would go.",
        "/api/v1/heartbeat/{name}" => "Tells that somebody else is alive.",
        "/api/v1/silences" if is_post => "Silences what matches, for a time.",
        "/api/v1/silences" => "The silences, those that ended among them.",
        "/api/v1/silences/{id}" => "Ends a silence.",
        "/act/{token}" if is_post => "Does what a signed link of a message offers.",
        "/act/{token}" => "The page of a signed link, which asks before it acts.",
        "/api/v1/hooks/slack" => "Buttons that were pressed in Slack.",
        "/api/v1/hooks/pagerduty" => "What happened to an incident in PagerDuty.",
        "/alertmanager/-/healthy" => "Whether it works, as Alertmanager tells it.",
        "/alertmanager/-/ready" => "Whether it is ready, as Alertmanager tells it.",
        "/alertmanager/api/v2/status" => "The status, in the shape of Alertmanager.",
        "/alertmanager/api/v2/receivers" => "The receivers, in the shape of Alertmanager.",
        "/alertmanager/api/v2/alerts" if is_post => "Refuses alerts: rules make them here.",
        "/alertmanager/api/v2/alerts" => "The alerts, in the shape of Alertmanager.",
        "/alertmanager/api/v2/alerts/groups" => "The alerts by group, in the shape of Alertmanager.",
        "/alertmanager/api/v2/silences" if is_post => "Adds or changes a silence, in the shape of Alertmanager.",
        "/alertmanager/api/v2/silences" => "The silences, in the shape of Alertmanager.",
        "/alertmanager/api/v2/silence/{id}" if method == Method::DELETE => "Ends a silence.",
        "/alertmanager/api/v2/silence/{id}" => "One silence, in the shape of Alertmanager.",
        "/api/v1/patterns/marks" if is_post => "Marks a pattern, so that rules know it.",
        "/api/v1/patterns/marks" => "The marks on patterns.",
        "/api/v1/patterns/marks/{id}" => "Takes the mark off a pattern.",
        "/prometheus/api/v1/rules" => "The rules, in the shape of Prometheus.",
        "/prometheus/api/v1/alerts" => "The alerts, in the shape of Prometheus.",
        "/prometheus/api/v1/status/buildinfo" => "The version, in the shape of Prometheus.",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_route_says_what_it_does() {
        for route in crate::api::routes() {
            assert!(route.about().ends_with('.'), "{} {}", route.method, route.path);
        }
    }
}
