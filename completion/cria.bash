# SPDX-License-Identifier: Apache-2.0
# Completion of cria's commands and options for bash. What there is the program says itself: cria help, cria help COMMAND.
_cria() {
    local program=$1 word=$2 command=${COMP_WORDS[1]-} words
    COMPREPLY=()
    if [[ $word == -* ]]; then
        [[ $command == -* ]] && command=generate
        words=$("$program" help "$command" 2>/dev/null | sed -n 's/^  \(-., \)\{0,1\}\(--[a-z0-9-]*\).*/\2/p')
    elif [[ $COMP_CWORD == 1 || ($COMP_CWORD == 2 && $command == help) ]]; then
        words=$("$program" help 2>/dev/null | sed -n '/^Commands/,/^$/s/^  \([a-z]*\) .*/\1/p')
    else
        compopt -o default # files
        return
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _cria cria
