# Completion of pinshim for bash. The command itself knows its options, its subcommands and the VMs.

_pinshim() {
    local words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]} kind line
    # bash cuts words at = : @ too; with bash-completion they can be had whole.
    if declare -F _get_comp_words_by_ref >/dev/null; then
        _get_comp_words_by_ref -n '=:@' words cword cur
    fi
    COMPREPLY=()
    {
        read -r kind
        while IFS=$'\t' read -r line _; do COMPREPLY+=("$line"); done
    } < <(pinshim complete -- "${words[@]:1:cword}" 2>/dev/null)
    case $kind in
    files)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        ;;
    command*)
        if declare -F _command_offset >/dev/null; then
            _command_offset $((${kind#command } + 1))
        else
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -c -f -- "$cur")
        fi
        ;;
    esac
}

complete -F _pinshim pinshim
