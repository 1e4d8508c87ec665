# SPDX-License-Identifier: Apache-2.0
# Completion of cria's commands and options for fish. What there is the program says itself: cria help, cria help COMMAND.
function __cria_commands
    set -l program (commandline -opc)[1]
    $program help 2>/dev/null | sed -n '/^Commands/,/^$/s/^  \([a-z]*\)  *\(.*\)/\1\t\2/p'
end

function __cria_options
    set -l words (commandline -opc)
    set -l subcommand generate
    if set -q words[2]; and not string match -q -- '-*' $words[2]
        set subcommand $words[2]
    end
    $words[1] help $subcommand 2>/dev/null | sed -n 's/^  \(-., \)\{0,1\}\(--[a-z0-9-]*\).*/\2/p'
end

function __cria_wants_command
    set -l words (commandline -opc)
    test (count $words) -eq 1; or begin
        test (count $words) -eq 2; and test $words[2] = help
    end
end

complete -c cria -n __cria_wants_command -f -a '(__cria_commands)'
complete -c cria -n 'string match -q -- "-*" (commandline -ct)' -f -a '(__cria_options)'
