//! `logweir completions`: a completion script, made from the definitions of the arguments. Queries are completed with
//! the names of the fields that the server knows.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::{Cli, CompletionsArgs};
use crate::error::Result;
use crate::exit::Exit;
use crate::output::Console;

/// Behind the script of clap, which knows the options: a word that is none of them is a part of a query.
const BASH: &str = r#"
_logweir_query() {
    _logweir "$@"
    local cur="${COMP_WORDS[COMP_CWORD]}"
    case "${COMP_WORDS[1]}" in search|tail|patterns|explain|export|fields) ;; *) return ;; esac
    if [ "${#COMPREPLY[@]}" -eq 0 ] && [ "${cur#-}" = "$cur" ]; then
        COMPREPLY=($(compgen -W "$(logweir fields -o raw 2>/dev/null)" -- "$cur"))
    fi
}
complete -F _logweir_query -o nosort -o bashdefault -o default logweir
"#;

const ZSH: &str = r#"
_logweir_query() {
    _logweir "$@" && return
    case "$words[2]" in (search|tail|patterns|explain|export|fields) ;; (*) return 1 ;; esac
    local -a fields
    fields=(${(f)"$(logweir fields -o raw 2>/dev/null)"})
    compadd -S ':' -a fields
}
compdef _logweir_query logweir
"#;

const FISH: &str = r#"
complete -c logweir -n "__fish_seen_subcommand_from search tail patterns explain export fields" -f -a "(logweir fields -o raw 2>/dev/null)"
"#;

pub(super) fn run(args: &CompletionsArgs, console: &mut Console) -> Result<Exit> {
    // Into memory first: the generator panics when its writer fails, and a closed pipe is no bug.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "logweir", &mut script);
    console.out.write_all(&script)?;
    let live = match args.shell {
        Shell::Bash => BASH,
        Shell::Zsh => ZSH,
        Shell::Fish => FISH,
        _ => "",
    };
    console.out.write_all(live.as_bytes())?;
    Ok(Exit::Ok)
}
