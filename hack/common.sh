# What the scripts in this directory share; sourced, not run.

# Programs for administrators are not always on an ordinary user's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin

# say tells what happens next.
say() { printf '== %s\n' "$*"; }

# die ends the script with a message that says what to do.
die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# check runs a command and shows what it said only if it failed.
check() {
	say "$*"
	local said
	if ! said=$(env "$@" 2>&1); then
		printf '%s\n' "$said" >&2
		die "failed: $*"
	fi
}

# become_root SCRIPT ARGUMENTS… runs the script again as root, which network
# namespaces need.
become_root() {
	if [ "$(id -u)" = 0 ]; then
		return
	fi
	command -v sudo >/dev/null || die "network namespaces need root: run it as root"
	say "network namespaces need root: asking sudo"
	exec sudo env "PATH=$PATH" "GOPROXY=$(go env GOPROXY)" "GOSUMDB=$(go env GOSUMDB)" "GOTOOLCHAIN=$(go env GOTOOLCHAIN)" "$@"
}
