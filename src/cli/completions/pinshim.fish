# Completion of pinshim for fish. The command itself knows its options, its subcommands and the VMs.

function __pinshim_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    set -l answer (pinshim complete -- $before[2..] "$current" 2>/dev/null)
    switch "$answer[1]"
        case words
            printf '%s\n' $answer[2..]
        case files
            __fish_complete_path "$current"
        case 'command *'
            set -l words $before "$current"
            set -l from (math (string replace 'command ' '' -- $answer[1]) + 2)
            complete -C (string join ' ' -- (string escape -- $words[$from..]))
    end
end

complete -c pinshim -f -a '(__pinshim_complete)'
