//! Completion for bash and zsh. The words stand in the scripts: completing runs nothing.

use crate::{doctor, postfix};
use base_conf::params;

fn commands() -> Vec<&'static str> {
    postfix::COMMANDS.iter().map(|(name, _)| *name).collect()
}

fn checks() -> Vec<&'static str> {
    doctor::ALL.iter().map(|c| c.name).collect()
}

fn parameters() -> Vec<&'static str> {
    params::ALL.iter().map(|p| p.name).collect()
}

fn table_types() -> Vec<String> {
    let local = base_tables::types::TYPES.iter().map(|t| t.name);
    let mut all: Vec<_> = local.chain(base_nettables::types::TYPES.iter().map(|t| t.name)).collect();
    all.sort_unstable();
    all.into_iter().map(|name| format!("{name}:")).collect()
}

/// For bash: one function for all commands. Needs no package.
pub fn bash() -> String {
    let (commands, checks) = (commands().join(" "), checks().join(" "));
    let (parameters, types) = (parameters().join(" "), table_types().join(" "));
    format!(
        r#"# Completion for bash of Hikyaku's commands. Made from the registries by "hikyaku-tools manual".
_hikyaku() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} words="" i skip=0 command=""
    if [ "$before" = -c ]; then
        COMPREPLY=($(compgen -d -- "$word"))
        return
    fi
    case ${{COMP_WORDS[0]##*/}} in
        postfix)
            for ((i = 1; i < COMP_CWORD; i++)); do
                if [ $skip = 1 ]; then skip=0; continue; fi
                case ${{COMP_WORDS[i]}} in
                    -c) skip=1 ;;
                    -*) ;;
                    *) command=${{COMP_WORDS[i]}}; break ;;
                esac
            done
            case $command in
                "") words="{commands}" ;;
                doctor) words="{checks} -j -v --address" ;;
                check) words="-j -v --strict" ;;
                status) words="-v" ;;
            esac ;;
        postconf) words="{parameters}" ;;
        postmap | postalias) words="{types}" ;;
        postsuper) words="ALL" ;;
        *) ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    if [ ${{#COMPREPLY[@]}} = 0 ]; then
        COMPREPLY=($(compgen -f -- "$word"))
    fi
    case "${{COMPREPLY[0]-}}" in *:) compopt -o nospace 2>/dev/null || true ;; esac
}}
complete -F _hikyaku postfix postconf postmap postalias postsuper
"#
    )
}

/// For zsh: a file of `$fpath`.
pub fn zsh() -> String {
    let described = postfix::COMMANDS
        .iter()
        .map(|(name, about)| format!("    '{name}:{}'\n", about.replace('\'', "'\\''")));
    let described: String = described.collect();
    let (checks, parameters) = (checks().join(" "), parameters().join(" "));
    let types = table_types().join(" ").replace(':', "\\:");
    format!(
        r#"#compdef postfix postconf postmap postalias postsuper
# Completion for zsh of Hikyaku's commands. Made from the registries by "hikyaku-tools manual".
local -a commands
case $service in
  postfix)
    commands=(
{described}    )
    if (( ${{words[(I)doctor]}} )); then
      compadd -- {checks} -j -v --address
    else
      _describe command commands
    fi ;;
  postconf) compadd -- {parameters} ;;
  postmap|postalias) compadd -S '' -- {types}; _files ;;
  postsuper) compadd -- ALL ;;
esac
"#
    )
}
