# shellcheck shell=bash disable=SC2154 # Variables of whoever sources this.
# The rules that libvirt needs where AppArmor is on. To be sourced after trust.sh, with $root, $prefix, $libdir,
# $sysconfdir, $runstatedir, $destdir and $system set.
#
# The profile of libvirt's daemon includes local/NAME, and each domain's includes local/abstractions/libvirt-qemu. Both
# files are the administrator's: what is ours in them stands between two lines.

apparmor=/etc/apparmor.d
block_begin='# Begin of pinshim (what stands here goes when it is uninstalled)'
block_end='# End of pinshim'

# Whether AppArmor confines this host's libvirt. What goes below another folder is for somewhere else.
has_apparmor() {
    local enabled=
    [ "$system" ] && [ -z "$destdir" ] && [ "$sysconfdir" = /etc ] && [ "$EUID" -eq 0 ] || return 1
    read -r enabled 2>/dev/null </sys/module/apparmor/parameters/enabled || return 1
    [ "$enabled" = Y ] && [ -d $apparmor ] && command -v apparmor_parser >/dev/null
}

# The rules of scripts/libvirt/apparmor/NAME, for the folders of this installation.
apparmor_rules() {
    local run='/{var/,}run'
    [ "$runstatedir" = /run ] || run=$runstatedir
    sed -n -e "s|/usr/local/bin/|$prefix/bin/|; s|/usr/local/lib/|$libdir/|; s|/{var/,}run/|$run/|" -e '/^  /p' \
        "$root/scripts/libvirt/apparmor/$1"
}

# Writes a file anew with these lines in place of what was ours in it: none, where they are empty. True if that is a
# change. A file that is empty then stays: Debian has such ones.
write_block() { # FILE LINES
    local file=$1 lines=$2 new
    [ -e "$file" ] || [ "$lines" ] || return 1
    if [ -e "$file" ] || [ -L "$file" ]; then
        if [ -L "$file" ] || [ ! -f "$file" ]; then fail "$file is in the way: it is no plain file"; fi
    fi
    new=$(mktemp "$(above "$file")/.${file##*/}.pinshim.XXXXXX")
    {
        [ ! -e "$file" ] || sed "/^$block_begin\$/,/^$block_end\$/d" "$file"
        [ -z "$lines" ] || printf '%s\n%s\n%s\n' "$block_begin" "$lines" "$block_end"
    } >"$new"
    if [ -e "$file" ] && cmp -s "$new" "$file"; then
        rm -f -- "$new"
        return 1
    fi
    chmod 644 "$new"
    mv -fT -- "$new" "$file"
}

# Adds the rules, or with `remove` takes them away, and has the daemon's profiles loaded again.
set_apparmor() {
    local daemon qemu profile found=
    has_apparmor || return 0
    daemon=$(apparmor_rules libvirtd)
    qemu=$(apparmor_rules qemu)
    if [ "${1-}" = remove ]; then
        daemon=
        qemu=
    fi
    check_way "$apparmor/local/abstractions"
    for profile in usr.sbin.libvirtd usr.sbin.virtqemud; do
        [ -f "$apparmor/$profile" ] || continue
        found=yes
        write_block "$apparmor/local/$profile" "$daemon" || continue
        apparmor_parser -r "$apparmor/$profile" ||
            printf 'install: AppArmor does not take %s with the rules for pinshim\n' "$apparmor/local/$profile" >&2
    done
    [ "$found" ] || return 0
    [ -d "$apparmor/local/abstractions" ] || [ -z "$qemu" ] || mkdir -m 755 -- "$apparmor/local/abstractions"
    # The next start of a domain takes them up.
    write_block "$apparmor/local/abstractions/libvirt-qemu" "$qemu" || true
    [ -z "$qemu" ] || grep -q 'local/abstractions/libvirt-qemu' "$apparmor/abstractions/libvirt-qemu" 2>/dev/null ||
        printf 'install: %s does not include local/abstractions/libvirt-qemu; add the rules of scripts/libvirt/apparmor/qemu to it\n' \
            "$apparmor/abstractions/libvirt-qemu" >&2
}
