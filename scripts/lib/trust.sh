# shellcheck shell=bash disable=SC2034 # Variables for whoever sources this.
# Whom an installer may trust: root, and the user who runs it. To be sourced; whoever sources it has a function `fail`.
#
# Where nobody else can change a folder, nor any folder above it, nobody can put a link or another file there between
# a look at it and what is done next. So each path's folders are checked once, and then used as usual.

# The folder above one; / is above itself.
above() {
    local folder=${1%/*}
    printf %s "${folder:-/}"
}

# Owner, group, permissions and size of what is at a path (of a link itself), in $owner, $group, $mode and $size.
look_at() {
    read -r owner group mode size < <(stat -c '%u %g %a %s' -- "$1")
}

# Whether $owner is root or whoever runs this.
is_trusted_owner() {
    [ "$owner" -eq 0 ] || [ "$owner" -eq "$EUID" ] || is_from_outside
}

# Whether $owner stands for the users outside of a user namespace (a package may be built in one): root's files show
# as that one user there, unless the namespace has such a user itself.
is_from_outside() {
    local stand_in first count
    read -r stand_in 2>/dev/null </proc/sys/kernel/overflowuid || return 1
    [ "$owner" = "$stand_in" ] || return 1
    while read -r first _ count; do
        ((stand_in < first || stand_in >= first + count)) || return 1
    done 2>/dev/null </proc/self/uid_map
}

# Whether others than its owner may write to a path that look_at saw; who, in $writers.
is_writable_by_others() {
    if ((0$mode & 0002)); then
        writers="everybody"
    elif ((0$mode & 0020)) && ! is_private_group "$1"; then
        writers="group $(getent group "$group" | cut -d: -f1)"
        [ "$writers" != "group " ] || writers="group $group"
    else
        return 1
    fi
}

# Whether $group is an ordinary user's own, of which nobody else is a member: where each user has such a group, the
# umask is often 002. The `+` of ls says that an access control list lets others in all the same.
is_private_group() {
    local user members
    user=$(id -un 2>/dev/null) || return 1
    [ "$EUID" -ne 0 ] && [ "$group" = "$(id -g)" ] && [ "$(id -gn)" = "$user" ] || return 1
    members=$(getent group "$group" | cut -d: -f4)
    [ -z "$members" ] || [ "$members" = "$user" ] || return 1
    [[ $(ls -ld -- "$1") != ??????????+* ]]
}

# Fails unless nobody but root and the caller can change what is in a folder. One that is only `on-the-way` may be
# like /tmp, where everybody may write but each can take away only what is his own.
check_folder() {
    local folder=$1 use=$2
    look_at "$folder"
    is_trusted_owner ||
        fail "$folder belongs to $(user_name "$owner"), who could exchange what is installed below it; nothing was done"
    is_writable_by_others "$folder" || return 0
    [ "$use" != on-the-way ] || ! ((0$mode & 01000)) || return 0
    fail "$folder can be written to by $writers, who could exchange what is installed below it; nothing was done (chmod go-w $folder, once you know that all in it is as it should be)"
}

user_name() {
    id -un -- "$1" 2>/dev/null || printf 'user %s' "$1"
}

declare -A checked_folders=()

# check_folder for a folder and all above it, links on the way followed by hand. Of a path whose end is not there yet
# the part that is there is checked. With `on-the-way` as $2 the folder itself may be like /tmp as well.
check_way() {
    local rest=$1 use=${2:-end} at=/ name next target links=0
    while [ -n "$rest" ]; do
        name=${rest%%/*}
        if [ "$name" = "$rest" ]; then rest=; else rest=${rest#*/}; fi
        if [ -z "$name" ] || [ "$name" = . ]; then continue; fi
        check_once "$at" on-the-way
        if [ "$name" = .. ]; then
            at=$(dirname "$at")
            continue
        fi
        next=${at%/}/$name
        if [ -L "$next" ]; then
            check_link "$next"
            ((++links <= 40)) || fail "$1: too many links"
            target=$(readlink -- "$next")
            [[ $target != /* ]] || at=/
            rest=$target/$rest
            continue
        fi
        [ -e "$next" ] || return 0
        [ -d "$next" ] || fail "$next is in the way: it is no folder"
        at=$next
    done
    check_once "$at" "$use"
}

check_once() {
    [ -z "${checked_folders[$2 $1]-}" ] || return 0
    check_folder "$1" "$2"
    checked_folders[$2 $1]=yes
}

# A link in a folder like /tmp may be anybody's.
check_link() {
    look_at "$1"
    is_trusted_owner || fail "$1 is a link that belongs to $(user_name "$owner"), who could let it lead elsewhere"
    [ -e "$1" ] || fail "$1 is a link to what is not there"
}
