#!/bin/sh
# Installs skep-agent on one host and enrols it at one server, or takes it away again.
# skep-server made this for a host; run it there, as root. Doing it twice changes nothing the
# second time.
#
#   --dry-run    say what would be done, and do nothing
#   --from DIR   the program is in this folder; it is fetched from the server otherwise
#   --upgrade    another program and unit; configuration and credential stay
#   --remove     stop the agent and remove everything, what it has not sent included
#   --root DIR   install below this folder (an image, a container) and start nothing
set -eu

host=@HOST@
url=@URL@
token=@TOKEN@
ca=@CA@

program=/usr/local/bin/skep-agent
unit=/etc/systemd/system/skep-agent.service
config=/etc/skep/agent.toml
ca_file=/etc/skep/ca.pem
token_file=/etc/skep/enrolment-token
state=/var/lib/skep-agent
# How long the agent may take to enrol.
patience_s=30

say() { printf 'skep: %s\n' "$*"; }
fail() { printf 'skep: %s\n' "$*" >&2; exit 1; }

main() {
    verb=install dry= from= root=
    while [ $# -gt 0 ]; do
        case $1 in
            --dry-run) dry=yes ;;
            --upgrade) verb=upgrade ;;
            --remove) verb=remove ;;
            --from) from=${2:?--from needs a folder}; shift ;;
            --root) root=${2:?--root needs a folder}; shift ;;
            *) fail "there is no option $1; read the head of this script" ;;
        esac
        shift
    done
    check
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' HUP INT TERM
    "$verb"
}

check() {
    [ "$(uname -s)" = Linux ] || fail "the agent is for Linux; this is $(uname -s)"
    [ "$(id -u)" = 0 ] || fail "run this as root, with sudo for example; nothing was changed"
    if [ -z "$root" ] && [ ! -d /run/systemd/system ]; then
        fail "systemd does not run here, which the agent is started by; --root / installs without starting it. Nothing was changed"
    fi
    # A package of the distribution has its own program and unit.
    packaged=
    if [ -e "$root/usr/bin/skep-agent" ]; then packaged=yes; fi
}

install() {
    if [ -n "$packaged" ]; then
        say "the program is from a package, which keeps it up to date"
    else
        put_program
        unit_text | put 644 "$unit"
    fi
    if [ -n "$ca" ]; then printf '%s\n' "$ca" | put 644 "$ca_file"; fi
    printf '%s\n' "$token" | put 600 "$token_file"
    config_text >"$work/config"
    if [ -e "$root$config" ] && ! cmp -s "$work/config" "$root$config"; then
        say "the configuration of before is kept as $config.old"
        if [ -z "$dry" ]; then cp -p "$root$config" "$root$config.old"; fi
    fi
    put 644 "$config" <"$work/config"
    if start; then wait_enrolled; fi
}

upgrade() {
    if [ -n "$packaged" ]; then
        fail "the program is from a package; upgrade that, as with: apt-get install --only-upgrade skep-agent"
    fi
    [ -e "$root$program" ] || fail "no agent is installed here; leave --upgrade out to install one"
    put_program
    unit_text | put 644 "$unit"
    if start; then wait_active; fi
}

remove() {
    if [ -z "$root" ] && [ -e "$unit" ]; then
        run systemctl disable --now --quiet skep-agent.service
    fi
    if [ -n "$packaged" ]; then say "the package stays; remove it, as with: apt-get purge skep-agent"; fi
    # A unit with DynamicUser= has its state in private/ and a link to it.
    for path in "$unit" "$program" "$config" "$config.old" "$ca_file" "$token_file" "$state" \
        "/var/lib/private/skep-agent"; do
        if [ -e "$root$path" ] || [ -L "$root$path" ]; then
            say "removing $root$path"
            run rm -rf "$root$path"
        fi
    done
    if [ -z "$root" ]; then run systemctl daemon-reload; fi
    say "no agent is left on this host"
}

# The program, tried before it takes the place of another.
put_program() {
    if [ -n "$dry" ]; then say "would install $root$program"; return; fi
    mkdir -p "$root${program%/*}"
    if [ -n "$from" ]; then
        cp "$from/skep-agent" "$root$program.new"
    else
        arch=$(uname -m)
        say "fetching the program for $arch from $url"
        fetch "$url/-/skep/v1/enrol/agent/$arch" "$root$program.new"
    fi
    chmod 755 "$root$program.new"
    if ! version=$("$root$program.new" --version 2>"$work/error"); then
        rm -f "$root$program.new"
        fail "the program does not run on this host: $(cat "$work/error")"
    fi
    mv -f "$root$program.new" "$root$program"
    say "installed $version as $root$program"
}

# Standard input becomes a file, in one step, unless it is the same already.
put() {
    cat >"$work/file"
    if [ -e "$root$2" ] && cmp -s "$work/file" "$root$2"; then return; fi
    if [ -n "$dry" ]; then say "would write $root$2"; return; fi
    mkdir -p "$root${2%/*}"
    rm -f "$root$2.new"
    (umask 077 && cat "$work/file" >"$root$2.new")
    chmod "$1" "$root$2.new"
    mv -f "$root$2.new" "$root$2"
    say "wrote $root$2"
}

# Whether there is something to wait for.
start() {
    if [ -n "$root" ]; then say "nothing is started, since this is below $root"; return 1; fi
    run systemctl daemon-reload &&
        run systemctl enable --quiet skep-agent.service &&
        run systemctl restart skep-agent.service ||
        fail "systemd could not start the agent; it tells why by: systemctl status skep-agent"
    [ -z "$dry" ]
}

wait_enrolled() {
    used=$(printf %s "$token" | sha256sum | cut -d' ' -f1)
    n=0
    until grep -qs "$used" "$state/credential"; do
        n=$((n + 1))
        [ $n -le $patience_s ] || fail "the agent has not enrolled in $patience_s s; it goes on trying. It says:
$(journalctl -q -n 8 -o cat -u skep-agent.service || true)"
        sleep 1
    done
    rm -f "$token_file"
    wait_active
    say "this host is enrolled as $host; its metrics and logs are on $url"
}

wait_active() {
    systemctl is-active --quiet skep-agent.service || fail "the agent does not run. It says:
$(journalctl -q -n 8 -o cat -u skep-agent.service || true)"
    say "the agent runs"
}

run() {
    if [ -n "$dry" ]; then say "would run: $*"; else "$@"; fi
}

# From the server to a file; its words where it refuses. The token is in no command line, where
# other users could read it.
fetch() {
    if [ -n "$ca" ]; then printf '%s\n' "$ca" >"$work/ca.pem"; fi
    if command -v curl >/dev/null; then
        set -- "$1" "$2" ${ca:+--cacert "$work/ca.pem"}
        from_url=$1 to=$2
        shift 2
        status=$(printf 'header = "Authorization: Bearer %s"\n' "$token" |
            curl -sS -K - -o "$to" -w '%{http_code}' "$@" "$from_url") ||
            { rm -f "$to"; fail "could not fetch $from_url"; }
        if [ "$status" != 200 ]; then
            words=$(head -c 2000 "$to")
            rm -f "$to"
            fail "$from_url: $status $words"
        fi
    elif command -v wget >/dev/null; then
        (umask 077 && printf 'header = Authorization: Bearer %s\n' "$token" >"$work/wgetrc")
        wget -q --config="$work/wgetrc" ${ca:+--ca-certificate="$work/ca.pem"} -O "$2" "$1" ||
            { rm -f "$2"; fail "could not fetch $1"; }
    else
        fail "this needs curl, or GNU wget; install one of them. Nothing was changed"
    fi
}

unit_text() {
    cat <<'END_OF_UNIT'
@UNIT@
END_OF_UNIT
}

config_text() {
    cat <<'END_OF_CONFIG'
@CONFIG@
END_OF_CONFIG
}

# Last, so that a script that was cut off does nothing.
main "$@"
