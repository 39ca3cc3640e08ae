//! Which server a command asks, and as whom: flags, the environment, and `config.yaml` of the person.
//!
//! ```yaml
//! profiles:
//!   prod: { url: https://logs.example.net:7171, token_file: ~/.config/logweir/prod.token }
//!   shop: { url: http://10.0.0.5:7171, ca_file: ca.pem }
//! ```
//!
//! `--url` wins, then `--profile`, `LOGWEIR_URL`, `LOGWEIR_PROFILE` and this machine. A profile is taken whole or not at
//! all, so that no token goes to an address that it is not for. Relative paths are from the folder of the file.

use std::path::{Path, PathBuf};

use logweir_proto::yaml::{self, Environment, Fields, Problems, Value};

use crate::args::{self, ServerArgs};
use crate::error::{CliError, Result};

/// The server of `logweir up`.
pub const URL_DEFAULT: &str = "http://127.0.0.1:7171";

/// One server, as it will be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    pub url: String,
    pub token_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    /// `LOGWEIR_TOKEN` may be for another server than that of a profile with a token of its own.
    pub token_of_environment: bool,
}

/// Decides it for the command that was typed.
pub fn target(args: &ServerArgs) -> Result<Target> {
    let env = args::environment;
    decide(args, &env, args::user_config_dir().map(|dir| dir.join("logweir/config.yaml")).as_deref())
}

fn decide(args: &ServerArgs, env: Environment<'_>, file: Option<&Path>) -> Result<Target> {
    let given = |name: &str| env(name).filter(|value| !value.is_empty());
    let url = match (&args.url, &args.profile) {
        (Some(url), _) => Some(url.clone()),
        (None, Some(_)) => None,
        (None, None) => given("LOGWEIR_URL"),
    };
    let name = args.profile.clone().or_else(|| given("LOGWEIR_PROFILE"));
    let profile = match (&url, name) {
        (None, Some(name)) => profile(&name, env, file)?,
        _ => Target { url: url.unwrap_or_else(|| URL_DEFAULT.to_owned()), ..Target::default() },
    };
    Ok(Target {
        token_of_environment: args.token_file.is_none() && profile.token_file.is_none(),
        token_file: args.token_file.clone().or(profile.token_file),
        ca_file: args.ca_file.clone().or(profile.ca_file),
        url: profile.url,
    })
}

fn profile(name: &str, env: Environment<'_>, file: Option<&Path>) -> Result<Target> {
    let usage = |text: String| CliError::Usage(text);
    let file = file.ok_or_else(|| usage(format!("--profile {name}: there is no home folder to read profiles from")))?;
    let text = logweir_runtime::text_file::read_file(file)
        .map_err(|source| CliError::Read { path: file.to_owned(), source })?;
    let shown = file.display().to_string();
    let mut problems = Problems::new(&shown, &text);
    let found = read(&text, name, env, file, &mut problems);
    let problems = problems.into_sorted();
    if !problems.is_empty() {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        return Err(usage(lines.join("\n")));
    }
    found.map_err(|known| usage(format!("--profile {name}: {shown} has only {}", known.join(", "))))
}

/// The profile of this name, or the names that there are.
fn read(
    text: &str,
    name: &str,
    env: Environment<'_>,
    file: &Path,
    problems: &mut Problems,
) -> std::result::Result<Target, Vec<String>> {
    let Some(root) = yaml::parse_config(text, env, &[], problems) else { return Err(Vec::new()) };
    let Some(mut fields) = Fields::new(&root, "the configuration", problems) else { return Err(Vec::new()) };
    let profiles = fields.given("profiles");
    fields.finish(problems);
    let entries = match profiles.map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.as_slice(),
        Some(other) => {
            problems.add_file(format!("profiles must be a mapping, not {}", other.kind()));
            return Err(Vec::new());
        }
        None => &[],
    };
    let below = |path: PathBuf| match (path.strip_prefix("~"), env("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => file.parent().unwrap_or(Path::new(".")).join(path),
    };
    let mut found = None;
    for entry in entries {
        let what = format!("the profile {}", entry.key);
        let Some(mut fields) = Fields::new(&entry.node, &what, problems) else { continue };
        let url = fields.text("url", problems);
        if url.is_none() && fields.given("url").is_none() {
            problems.add(entry.at, format!("{what} needs a url"));
        }
        let token_file = fields.path("token_file", problems).map(below);
        let ca_file = fields.path("ca_file", problems).map(below);
        fields.finish(problems);
        if let (true, Some(url)) = (entry.key == name, url) {
            found = Some(Target { url, token_file, ca_file, token_of_environment: false });
        }
    }
    found.ok_or_else(|| entries.iter().map(|entry| entry.key.clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "profiles:\n  prod: { url: https://p, token_file: ~/p.token }\n  shop: { url: http://s, ca_file: ca.pem }\n";

    fn check(url: Option<&str>, profile: Option<&str>, env: &[(&str, &str)]) -> std::result::Result<Target, String> {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("config.yaml");
        std::fs::write(&file, FILE).expect("written");
        let args = ServerArgs {
            url: url.map(str::to_owned),
            profile: profile.map(str::to_owned),
            token_file: None,
            ca_file: None,
        };
        let env = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let target = decide(&args, &env, Some(&file)).map_err(|error| error.to_string())?;
        let ca_file = target.ca_file.and_then(|path| path.strip_prefix(dir.path()).ok().map(Path::to_owned));
        Ok(Target { ca_file, ..target })
    }

    #[test]
    fn what_is_said_last_wins_and_no_token_goes_astray() {
        let of = |url: &str, token: Option<&str>, ca: Option<&str>| {
            let (token_file, ca_file) = (token.map(PathBuf::from), ca.map(PathBuf::from));
            Ok(Target { url: url.to_owned(), token_of_environment: token_file.is_none(), token_file, ca_file })
        };
        let home = ("HOME", "/home/ann");
        assert_eq!(check(None, None, &[]), of(URL_DEFAULT, None, None));
        assert_eq!(check(None, None, &[("LOGWEIR_URL", "http://e")]), of("http://e", None, None));
        assert_eq!(check(None, Some("prod"), &[home]), of("https://p", Some("/home/ann/p.token"), None));
        assert_eq!(check(None, Some("shop"), &[("LOGWEIR_URL", "http://e")]), of("http://s", None, Some("ca.pem")));
        assert_eq!(check(None, None, &[("LOGWEIR_PROFILE", "shop")]), of("http://s", None, Some("ca.pem")));
        let both = [("LOGWEIR_PROFILE", "prod"), ("LOGWEIR_URL", "http://e")];
        assert_eq!(check(None, None, &both), of("http://e", None, None));
        assert_eq!(check(Some("http://u"), None, &[("LOGWEIR_PROFILE", "prod")]), of("http://u", None, None));
        let unknown = check(None, Some("nobody"), &[]).expect_err("there is none");
        assert!(unknown.ends_with("has only prod, shop"), "{unknown}");
    }

    #[test]
    fn mistakes_are_told_with_their_places() {
        let text = "profile: {}\nprofiles:\n  a: { token: x }\n  b: 7\n";
        let mut problems = Problems::new("config.yaml", text);
        let _ = read(text, "a", &|_| None, Path::new("config.yaml"), &mut problems);
        let lines: Vec<String> = problems.into_sorted().iter().map(ToString::to_string).collect();
        expect_test::expect![[r#"
            config.yaml:1:1: unknown key 'profile' in the configuration (did you mean 'profiles'?)
            config.yaml:3:3: the profile a needs a url
            config.yaml:3:8: unknown key 'token' in the profile a (known here: url, token_file, ca_file)
            config.yaml:4:6: the profile b must be a mapping, not a number
        "#]]
        .assert_eq(&(lines.join("\n") + "\n"));
    }
}
