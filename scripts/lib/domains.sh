# shellcheck shell=bash disable=SC2154 # Variables of whoever sources this.
# What an installation is used for: libvirt's domains that name its wrapper, and what its hook has left for them. To be
# sourced after trust.sh, with $destdir, $prefix, $sysconfdir, $runstatedir, $system and $anyway set.

# Whether the XML on stdin names a wrapper of this installation as its emulator: qemu-pinned, or a link NAME-pinned.
names_wrapper() {
    local emulator
    emulator=$(sed -n 's|.*<emulator>\(.*\)</emulator>.*|\1|p' | head -n 1)
    [[ $emulator == "$prefix/bin/"*-pinned ]]
}

# The names of the domains that name a wrapper of this installation, a line each: from the files that libvirt keeps them
# in, and of those that only run from libvirt itself.
list_domains() {
    local folder file name folders=()
    [ -z "$system" ] || folders+=("$destdir$sysconfdir/libvirt/qemu")
    [ "$destdir" ] || [ "$EUID" -eq 0 ] || folders+=("${XDG_CONFIG_HOME:-${HOME-}/.config}/libvirt/qemu")
    for folder in "${folders[@]}"; do
        for file in "$folder"/*.xml; do
            if [ -f "$file" ] && names_wrapper <"$file"; then
                name=${file##*/}
                printf '%s\n' "${name%.xml}"
            fi
        done
    done
    [ "$system" ] && [ "$EUID" -eq 0 ] && [ -z "$destdir" ] && command -v virsh >/dev/null || return 0
    timeout 10 virsh --quiet --connect qemu:///system list --name 2>/dev/null </dev/null | while IFS= read -r name; do
        [ "$name" ] || continue
        if timeout 10 virsh --quiet --connect qemu:///system dumpxml -- "$name" 2>/dev/null </dev/null | names_wrapper; then
            printf '%s\n' "$name"
        fi
    done
}

# Lists the domains that could not start without the wrapper, and fails, unless they are to be left so.
expect_no_domains() {
    local names name
    mapfile -t names < <(list_domains | sort -u)
    [ ${#names[@]} -gt 0 ] || return 0
    for name in "${names[@]}"; do
        printf 'install: the domain %q names %s as its emulator, and cannot start without it\n' \
            "$name" "$prefix/bin/qemu-pinned" >&2
    done
    [ "$anyway" ] || fail "nothing was removed; take each back with: pinshim libvirt disable NAME; or give --anyway"
}

# Removes what the hook has left for the wrapper: a later installation would take it for its own.
clear_run() {
    local folder=$destdir$runstatedir/pinshim file
    [ -d "$folder/domains" ] || return 0
    check_way "$folder/domains"
    for file in "$folder/domains/"*.env "$folder/domains/".[0-9]*; do
        [ ! -f "$file" ] || rm -f -- "$file"
    done
    # A folder that holds something else stays.
    rmdir -- "$folder/domains" "$folder" 2>/dev/null || true
}
