#!/bin/sh
# Upstream tarballs out of the Debian archive, through a private apt configuration.
#
# The archive's address and its keyring are read from the system's own configuration, /etc/apt, which is left as it is:
# sources, package lists and caches of this script lie under build/apt. apt verifies the signature of the package lists,
# and the tarball against the SHA256 they state. Only the .orig tarball is fetched, never Debian's changes to it.
#
# This file is part of Self-Blind-VSR for FFmpeg. SPDX-License-Identifier: LGPL-2.1-or-later
set -eu

usage() {
    cat <<'EOT'
Usage: build-aux/apt-source.sh versions PACKAGE
       build-aux/apt-source.sh fetch PACKAGE SERIES
       build-aux/apt-source.sh entries DIRECTORY

versions  lists the upstream versions of the source package that the archive offers, oldest first.
fetch     brings the newest upstream version SERIES or SERIES.* into the cache and prints the path of the tarball.
          Exit status 3: the archive has no such version.
entries   prints what is made of an apt configuration, /etc/apt for example.

Environment:
  SBV_BUILD  build directory (default: build)
  SBV_CACHE  directory of the tarballs (default: $SBV_BUILD/cache); one already there is taken without asking the archive
EOT
}

die() {
    echo "apt-source: $*" >&2
    exit 1
}

# Releases whose sources are looked at besides the system's own. Unknown ones are passed over.
suites="bookworm trixie forky sid"

build=${SBV_BUILD:-build}
cache=${SBV_CACHE:-$build/cache}
apt=$build/apt

# The Debian entries of FILE as deb822 stanzas of type deb-src, one file each: OUT.main.sources, OUT.security.sources.
# Handles both formats of apt. The third argument says which: list or sources.
convert_entry_file() {
    awk -v format="$3" -v out="$2" -v suites="$suites" '
        function field(name,    i) {
            for (i = 1; i <= count; i++)
                if (tolower(key[i]) == tolower(name)) return value[i]
            return ""
        }
        function emit(kind, list) {
            file = out "." entries "." kind ".sources"
            printf "Types: deb-src\nURIs: %s\nSuites: %s\nComponents: main\n", uris, list > file
            if (signed_by != "") printf "Signed-By: %s\n", signed_by > file
            close(file)
        }
        function entry(types, own, components,    n, name, i, main, security) {
            if (types !~ /deb/ || (" " components " ") !~ /[ \t\n]main[ \t\n]/) return
            n = split(own, name, /[ \t\n]+/)
            for (i = 1; i <= n; i++) {
                if (name[i] ~ /-security$|\/updates$/) security = 1
                else if (name[i] ~ /^(old)*stable$|^testing$|^unstable$/ || (" " suites " ") ~ (" " name[i] " ")) main = suites
                else if (name[i] ~ /^[a-z]+$/) main = name[i] " " suites
            }
            entries++
            if (main != "") emit("main", main)
            if (security) emit("security", "bookworm-security trixie-security")
        }
        format == "list" && /^[ \t]*deb(-src)?[ \t]/ {
            signed_by = ""
            sub(/[ \t]*#.*/, "")
            type = $1
            sub(/^[ \t]*deb(-src)?[ \t]+/, "")
            if (match($0, /^\[[^]]*\]/)) {
                options = substr($0, 2, RLENGTH - 2)
                $0 = substr($0, RLENGTH + 1)
                if (match(options, /signed-by=[^ \t]+/)) signed_by = substr(options, RSTART + 10, RLENGTH - 10)
            }
            uris = $1
            own = $2
            components = $0
            entry(type, own, components)
        }
        function paragraph() {
            uris = field("URIs")
            signed_by = field("Signed-By")
            if (count && tolower(field("Enabled")) !~ /^no|^false/) entry(field("Types"), field("Suites"), field("Components"))
            count = 0
        }
        format == "sources" && /^#/ { next }
        format == "sources" && /^[ \t]*$/ { paragraph(); next }
        format == "sources" && /^[ \t]/ { value[count] = value[count] "\n" $0; next }
        format == "sources" {
            count++
            key[count] = value[count] = $0
            sub(/:.*/, "", key[count])
            sub(/^[^:]*:[ \t]*/, "", value[count])
        }
        END { if (format == "sources") paragraph() }
    ' "$1"
}

# All Debian entries of the configuration $1, as files in $2.
convert_entries() {
    number=0
    for file in "$1"/sources.list "$1"/sources.list.d/*.list "$1"/sources.list.d/*.sources; do
        [ -r "$file" ] || continue
        number=$((number + 1))
        case $file in
            *.sources) convert_entry_file "$file" "$2/$number" sources ;;
            *) convert_entry_file "$file" "$2/$number" list ;;
        esac
    done
}

configure_apt() {
    command -v apt-get >/dev/null || die "no apt-get here: the FFmpeg sources cannot be fetched; use --ffmpeg-src=DIR"
    rm -rf "$apt/sources.list.d"
    mkdir -p "$apt/sources.list.d" "$apt/lists/partial" "$apt/cache"
    convert_entries /etc/apt "$apt/sources.list.d"
    # Signatures are always checked. That the lists are recent is not: a snapshot of the archive will do.
    cat >"$apt/apt.conf" <<EOT
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$apt/sources.list.d";
Dir::State::lists "$apt/lists";
Dir::Cache "$apt/cache";
Acquire::Check-Valid-Until "false";
APT::Sandbox::User "$(id -un)";
EOT
}

# Brings the package lists up to date, at most once a day, and forgets the entries that are not Debian's.
update_lists() {
    [ -z "$(find "$apt/updated" -mmin -1440 2>/dev/null)" ] || return 0
    configure_apt
    echo "Fetching the list of source packages" >&2
    apt-get -c "$apt/apt.conf" -qq update >"$apt/update.log" 2>&1 || :
    # shellcheck disable=SC2016
    debian=$(apt-get -c "$apt/apt.conf" indextargets --format '$(ORIGIN) $(SOURCESENTRY)' | sed -n 's/^Debian \(.*\):[0-9]*$/\1/p')
    for file in "$apt"/sources.list.d/*.sources; do
        [ -e "$file" ] || break
        echo "$debian" | grep -qxF "$file" || rm -f "$file"
    done
    if [ -z "$debian" ]; then
        tail -n 3 "$apt/update.log" >&2
        die "no Debian archive can be reached through /etc/apt"
    fi
    # A suite that does not exist is no trouble; one that cannot be read, or is out of date, is.
    sed -n '/does not have a Release file/d; /^E: /p; /^W: Failed to fetch/p' "$apt/update.log" >"$apt/unreadable"
    [ -s "$apt/unreadable" ] || touch "$apt/updated"
}

# "UPSTREAM-VERSION PACKAGE-VERSION" of everything on offer, oldest first.
list_versions() {
    apt-cache -c "$apt/apt.conf" madison "$1" | awk -F '[ |]+' -v package="$1" '
        /Sources$/ {
            sub(/^ +/, "")
            upstream = $2
            sub(/^[0-9]+:/, "", upstream)
            sub(/-[^-]*$/, "", upstream)
            print upstream, $2
        }' | sort -Vu
}

fetch() {
    package=$1
    series=$2
    mkdir -p "$cache"
    for tarball in "$cache/${package}_$series".*orig.tar.?z; do
        if [ -e "$tarball" ] && [ -e "$tarball.sha256" ] && (cd "$cache" && sha256sum --status -c "${tarball##*/}.sha256"); then
            echo "$tarball"
            return
        fi
    done
    update_lists
    version=$(list_versions "$package" | awk -v series="$series" '$1 == series || index($1, series ".") == 1 { v = $2 } END { print v }')
    if [ -z "$version" ]; then
        offered=$(list_versions "$package" | awk '{ split($1, n, "."); print n[1] "." n[2] }' | uniq | paste -sd ' ')
        if [ -s "$apt/unreadable" ]; then
            cat "$apt/unreadable" >&2
            die "the Debian archive could not be read in full, and no $package $series was found; there is: ${offered:-none}"
        fi
        echo "apt-source: the Debian archive offers no $package $series; it offers: ${offered:-none}" >&2
        exit 3
    fi
    # 'URI' name size SHA256:sum
    uris=$(apt-get -c "$apt/apt.conf" -qq source --print-uris "$package=$version" 2>/dev/null)
    entry=$(echo "$uris" | tr -d "'" | awk '$2 ~ /\.orig\.tar\.[a-z0-9]+$/ && $4 ~ /^SHA256:/')
    [ -n "$entry" ] || die "the package list names no verifiable tarball for $package $version"
    # shellcheck disable=SC2086
    set -- $entry
    echo "Fetching $2" >&2
    tarball=$cache/$2
    if ! /usr/lib/apt/apt-helper -c "$apt/apt.conf" download-file "$1" "$tarball.part" "$4" >"$apt/download.log" 2>&1; then
        sed -n 's/^E: //p' "$apt/download.log" >&2
        rm -f "$tarball".part*
        die "$2 cannot be fetched"
    fi
    mv "$tarball.part" "$tarball"
    echo "${4#SHA256:}  $2" >"$tarball.sha256"
    echo "$tarball"
}

case ${1:-} in
    -h | --help)
        usage
        exit
        ;;
    versions) [ $# -eq 2 ] || die "versions takes one argument, got $(($# - 1)); see --help" ;;
    fetch) [ $# -eq 3 ] || die "fetch takes two arguments, got $(($# - 1)); see --help" ;;
    entries)
        [ $# -eq 2 ] || die "entries takes one argument, got $(($# - 1)); see --help"
        directory=$(mktemp -d)
        trap 'rm -rf "$directory"' EXIT
        convert_entries "$2" "$directory"
        find "$directory" -name '*.sources' | sort | while read -r file; do cat "$file" && echo; done
        exit
        ;;
    *) die "unknown command '${1:-}'; see --help" ;;
esac

mkdir -p "$apt"
apt=$(cd "$apt" && pwd)
exec 9>"$apt/lock"
flock 9
case $1 in
    versions)
        update_lists
        list_versions "$2" | cut -d ' ' -f 1
        ;;
    fetch) fetch "$2" "$3" ;;
esac
