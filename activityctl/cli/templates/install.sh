#!/bin/sh
# Installs activityctl into the folder $1. The workflow calls this in a step without secrets.
#
# - ACTIVITYCTL_VERSION: the version that must be the result.
# - ACTIVITYCTL_WHEEL and ACTIVITYCTL_WHEEL_SHA256: the wheel and its hash. Or
# - ACTIVITYCTL_SOURCE: the git address with the full hash of a commit.
#
# activityctl is never looked up by its name in a package index. Its libraries come from the
# index that pip is configured for, in the versions and with the hashes of requirements.txt.
set -eu

fail() {
  printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
  exit 1
}

for name in ACTIVITYCTL_DATABASE_URL ACTIVITYCTL_PLAN_DATABASE_URL ACTIVITYCTL_APPLY_DATABASE_URL; do
  eval "value=\${$name:-}"
  [ -z "$value" ] || fail "$name is set while packages are installed" \
    "give the variable only to the step or the environment that needs it"
done
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "activityctl needs Python 3.11 or later" "choose another image for this job"

target=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pip() {
  python3 -m pip "$@" --quiet --disable-pip-version-check --no-input
}
wheel=${ACTIVITYCTL_WHEEL:-}
sha256=${ACTIVITYCTL_WHEEL_SHA256:-}

if [ -z "$wheel" ] && [ -n "${ACTIVITYCTL_SOURCE:-}" ]; then
  commit=${ACTIVITYCTL_SOURCE##*@}
  case "$commit" in
    *[!0-9a-f]*) commit= ;;
  esac
  [ ${#commit} -eq 40 ] || fail "ACTIVITYCTL_SOURCE does not end in @ and a full commit hash" \
    "write git+https://HOST/REPOSITORY@COMMIT with the 40 digits of the commit"
  pip install --target "$work/build" --require-hashes --only-binary :all: \
    -r "$here/build-requirements.txt"
  PYTHONPATH=$work/build pip wheel --no-index --no-deps --no-build-isolation \
    --wheel-dir "$work" "$ACTIVITYCTL_SOURCE"
  wheel=$(echo "$work"/activityctl-*.whl)
  sha256=$(python3 -c 'import hashlib, sys
print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$wheel")
fi

[ -n "$wheel" ] || fail "the workflow does not say where activityctl comes from" \
  "set ACTIVITYCTL_WHEEL and ACTIVITYCTL_WHEEL_SHA256, or ACTIVITYCTL_SOURCE, in the workflow file"
[ -n "$sha256" ] || fail "ACTIVITYCTL_WHEEL_SHA256 is not set" \
  "set it to the SHA-256 of the wheel; sha256sum prints it"
case "$wheel" in
  *.whl) ;;
  *) fail "ACTIVITYCTL_WHEEL does not end in .whl" "give the address or the path of a wheel" ;;
esac

printf '%s --hash=sha256:%s\n' "$wheel" "$sha256" > "$work/activityctl.txt"
pip install --target "$target" --no-compile --require-hashes --only-binary :all: \
  -r "$work/activityctl.txt" -r "$here/requirements.txt"

# This command finds its libraries beside itself, so the folder can be moved.
cat > "$target/bin/activityctl" <<'END'
#!/bin/sh
here=$(cd "$(dirname "$0")/.." && pwd)
PYTHONPATH=$here exec python3 -P -s -m activityctl "$@"
END
chmod +x "$target/bin/activityctl"

found=$("$target/bin/activityctl" version)
case "$found" in
  "activityctl $ACTIVITYCTL_VERSION "*) echo "$found" ;;
  *) fail "installed is $found, the workflow wants version $ACTIVITYCTL_VERSION" \
    "give the wheel or the commit of that version, or run activityctl init --force again" ;;
esac
