# Sourced by the scripts beside it. `finding PACKAGE==VERSION... <<'PY'` runs the program on its standard input with these
# versions: with FINDINGS_PYTHON where that is set, else in a venv of its own. It runs in an empty folder, isolated
# (python -I), on the CPU; folder and venv are removed on exit. The exit status is the program's: 0 the behaviour is as
# described, 1 it has changed; 2 says that the versions could not be had.
export CUDA_VISIBLE_DEVICES="" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

finding() {
    local python="${FINDINGS_PYTHON:-}" status=0
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    cat >"$work/program.py"
    if [[ -z $python ]]; then
        "${PYTHON:-python3}" -m venv "$work/venv" >&2 || exit 2
        python="$work/venv/bin/python"
        "$python" -m pip install --quiet --disable-pip-version-check "$@" >&2 || exit 2
    elif ! command -v "$python" >/dev/null; then
        echo "error: FINDINGS_PYTHON=$python is no program" >&2
        exit 2
    elif [[ $python == */* ]]; then
        python="$(cd "$(dirname "$python")" && pwd)/$(basename "$python")"
    fi
    mkdir "$work/empty"
    cd "$work/empty"
    "$python" -I - "$@" <<'PY' || exit 2
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

print("python", platform.python_version())
refused = []
for wanted in sys.argv[1:]:
    name, _, number = wanted.partition("==")
    try:
        found = version(name)
    except PackageNotFoundError:
        found = "missing"
    print(name, found)
    if found.partition("+")[0] != number:
        refused.append(f"{wanted} is wanted, found: {found}")
if refused:
    sys.exit("error: " + "; ".join(refused))
PY
    "$python" -I "$work/program.py" || status=$?
    if ((status == 0)); then echo "=> as described"; else echo "=> CHANGED: not as described"; status=1; fi
    exit "$status"
}
