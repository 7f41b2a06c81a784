#!/usr/bin/env bash
# Sets up what the Makefile's targets need, and says what it installs.
#   setup.sh python FILE   a virtual environment in .venv with the pinned and hashed requirements of FILE; for the tests' one also ssh-keygen
#   setup.sh servers       PostgreSQL, PgBouncer, pgBackRest and, for root, iproute2 from the distribution, for the integration tests
#   setup.sh lab           podman and what builds its hosts, for the lab
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { printf 'setup: %s\n' "$*"; }

# Runs apt-get as root, by sudo where needed. Fails with the command to run by hand where neither is possible.
apt_install() {
  if ! command -v apt-get >/dev/null; then
    say "please install by hand (this is not Debian or Ubuntu): $*" >&2
    return 1
  fi
  local root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      say "please run as root: apt-get install $*" >&2
      return 1
    fi
    root=(sudo)
  fi
  say "installing by apt-get: $*"
  "${root[@]}" apt-get update -qq
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# The first Python that ansible-core 2.19 runs on.
find_python() {
  local name
  for name in python3 python3.13 python3.12 python3.11; do
    if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))'; then
      printf '%s\n' "$name"
      return 0
    fi
  done
  return 1
}

setup_python() {
  local requirements=$1 python stamp sum
  if [ ! -x .venv/bin/python ]; then
    if ! python=$(find_python) || ! "$python" -c 'import ensurepip' 2>/dev/null; then
      apt_install python3 python3-venv
      python=$(find_python) || { say "Python 3.11 or newer is needed, and apt has none" >&2; exit 1; }
    fi
    say "making a virtual environment in .venv with $("$python" --version)"
    "$python" -m venv .venv
  fi
  # Receipts are signed and checked by ssh-keygen, in the tests too.
  if [ "$requirements" = requirements-dev.txt ] && ! command -v ssh-keygen >/dev/null; then
    apt_install openssh-client
  fi
  # A larger set of requirements includes the smaller ones, so the stamp of the larger one serves for them too.
  sum=$(cat requirements.txt requirements-demo.txt requirements-dev.txt | sha256sum | cut -c1-16)
  for stamp in "$requirements" requirements-dev.txt; do
    [ -f ".venv/.installed-$stamp-$sum" ] && return 0
  done
  say "installing the pinned packages of $requirements into .venv (once; a minute or so)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$requirements"
  touch ".venv/.installed-$requirements-$sum"
}

setup_servers() {
  local missing=()
  compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql)
  [ -x /usr/sbin/pgbouncer ] || missing+=(pgbouncer)
  command -v age >/dev/null || missing+=(age)
  command -v pgbackrest >/dev/null || missing+=(pgbackrest)
  # A network that can be cut is made by root only.
  [ "$(id -u)" -ne 0 ] || command -v ip >/dev/null || missing+=(iproute2)
  [ ${#missing[@]} -gt 0 ] || return 0
  # The tests make servers of their own in temporary directories; what they cannot find they skip, and say so.
  apt_install "${missing[@]}" || say "going on without: ${missing[*]}"
}

# Whether the lab can run here the lab says itself, in one line (python -m tests.lab check).
setup_lab() {
  local missing
  command -v apt-get >/dev/null || return 0
  missing=$(.venv/bin/python -m tests.lab missing)
  [ -n "$missing" ] || return 0
  # shellcheck disable=SC2086  # one word for each package
  apt_install $missing || say "going on without: $missing"
}

case ${1:-} in
  python) setup_python "$2" ;;
  servers) setup_servers ;;
  lab) setup_lab ;;
  *) say "usage: setup.sh python FILE | servers | lab" >&2; exit 2 ;;
esac
