#!/bin/sh
# Makes a virtual environment from one lock file: `environment.sh FOLDER LOCK`.
# Names what the machine lacks, and the package that brings it. Does nothing when the lock is installed already.
set -eu

folder=$1
lock=$2

fail() {
    echo "wanneng: $1" >&2
    exit 1
}

# Says "ok", or what the Python lacks. tritonserver's Python stub is linked against libpython.
check='
import ctypes, sys, sysconfig
version = "%d.%d" % sys.version_info[:2]
if version not in ("3.11", "3.12"):
    sys.exit("is Python " + version)
try:
    import venv, ensurepip
except ImportError:
    sys.exit("lacks venv: install python%s-venv" % version)
name = "libpython%s.so.1.0" % version
for place in (name, "%s/%s" % (sysconfig.get_config_var("LIBDIR"), name)):
    try:
        ctypes.CDLL(place)
        break
    except OSError:
        pass
else:
    sys.exit("lacks %s: install libpython%s" % (name, version))
print("ok")
'

find_python() {
    lacking=
    for python in ${PYTHON:-/usr/bin/python3.12 /usr/bin/python3.11 python3.12 python3.11 python3}; do
        command -v "$python" >/dev/null 2>&1 || continue
        if said=$("$python" -c "$check" 2>&1); then
            echo "$python"
            return
        fi
        lacking="$lacking
  $python $said"
    done
    fail "Python 3.11 or 3.12 with venv and libpython is needed${lacking:-, and none was found}
On Debian 12: apt install python3.11-venv libpython3.11; on Ubuntu 24.04: apt install python3.12-venv libpython3.12"
}

libc=$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2) || libc=
[ -n "$libc" ] || fail "glibc 2.35 or newer is needed: Debian 12, Ubuntu 22.04 or newer"
[ "$(printf '2.35\n%s\n' "$libc" | sort -V | head -n 1)" = 2.35 ] ||
    fail "glibc $libc is too old for Triton; 2.35 or newer comes with Debian 12 and Ubuntu 22.04"

# What is installed here must be allowed to run; neither pip nor Python says why it is not.
probe=.runs-programs
if printf '#!/bin/sh\n' 2>/dev/null >"$probe" && chmod +x "$probe"; then
    runs=yes
    [ -x "$probe" ] || runs=
    rm -f "$probe"
    [ "$runs" ] || fail "$PWD is mounted noexec, so no program can run there: move the checkout, or remount it with
  mount -o remount,exec $(findmnt --noheadings --output TARGET --target .)"
fi

stamp="$folder/.lock-$(cksum <"$lock" | cut -d' ' -f1)"
[ -e "$stamp" ] && exit 0
# The lock of the developers holds all that serving needs.
if [ "$lock" = requirements/serve.txt ]; then
    [ -e "$folder/.lock-$(cksum <requirements/dev.txt | cut -d' ' -f1)" ] && exit 0
fi

case $PWD in
*:*) fail "$PWD has a colon, which separates folders in PATH: move the checkout to a path without one" ;;
esac
[ -w . ] || fail "$PWD cannot be written to, and $folder is not installed there: install it while it can, or copy the checkout"
python=$(find_python)
[ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
echo "wanneng: installing $lock into $folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$lock"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
# Where it is, as a relative path: Python reads this file in the locale's encoding, and Triton's Python as ASCII.
for link in "$folder"/lib/python*/site-packages/_wanneng.pth; do
    echo ../../../.. >"$link"
done
touch "$stamp"
