#!/usr/bin/env bash
# Tests the set-up scripts offline in a few seconds: they run in copies of the checkout's layout, with
# wheels that hold one line of text per library, and with stand-ins for cargo and rustc.
set -euo pipefail

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")/../scripts" && pwd)
sandbox=$(mktemp -d)
trap 'rm -rf "$sandbox"' EXIT
unset LIBTORCH LIBTORCH_USE_PYTORCH THORNDIKE_DATA RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_TARGET_DIR CC CXX
python=$(python3 -c 'import sys; print(sys.executable)')
export PIP_NO_INDEX=1 PIP_FIND_LINKS=$sandbox/wheels PIP_DISABLE_PIP_VERSION_CHECK=1

# --- what the tests stand on ---------------------------------------------------------------------

# Makes wheels for pip to find, and a folder $sandbox/libtorch-<version> for each of two versions.
python3 - "$sandbox" <<'PYTHON'
import pathlib, sys, zipfile

sandbox = pathlib.Path(sys.argv[1])
header = "include/torch/csrc/api/include/torch/torch.h"
torch = ["libtorch_cpu.so", "libc10.so", "libtorch.so", "libgomp.so.1", "libtorch_cuda.so"]

def wheel(name, version, tag, files):
    (sandbox / "wheels").mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(sandbox / "wheels" / f"{name}-{version}-{tag}.whl", "w") as archive:
        for file in files:
            archive.writestr(file, "some content")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", "")

wheel("torch", "2.11.0", "cp312-cp312-linux_x86_64", ["torch/" + header] + ["torch/lib/" + f for f in torch])
wheel("nvidia_cuda_runtime", "13.0.96", "py3-none-any", ["nvidia/cu13/lib/libcudart.so.13"])
wheel("nvidia_cuda_cupti", "13.0.85", "py3-none-any", ["nvidia/cu13/lib/libcupti.so.13", "nvidia/cu13/lib/libpcsamplingutil.so"])
for version in "2.11.0", "2.4.1":
    for file in [header, "lib/libtorch_cpu.so", "lib/libc10.so"]:
        path = sandbox / f"libtorch-{version}" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("some content")
    (sandbox / f"libtorch-{version}" / "build-version").write_text(version + "+cpu\n")
PYTHON

# Makes a checkout with the scripts and an empty cache, and enters it.
new_checkout() {
    checkout=$sandbox/$1
    mkdir -p "$checkout/scripts"
    cp "$scripts"/{libtorch,prepare,run,bench,data} "$checkout/scripts"
    echo 'rust-version = "1.95"' >"$checkout/Cargo.toml"
    export XDG_CACHE_HOME=$checkout/cache
    cache=$XDG_CACHE_HOME/thorndike
    copy=$cache/libtorch-2.11.0-linux-x86_64
    cd "$checkout"
}
# Puts a program $1 with the body $2 before all others on the PATH of this test.
stand_in() {
    mkdir -p "$checkout/bin"
    printf '#!/bin/sh\n%s\n' "$2" >"$checkout/bin/$1"
    chmod +x "$checkout/bin/$1"
    PATH=$checkout/bin:$PATH
}
# Replaces pip by a copy from $sandbox/wheels, as pip takes a second to start; runs $1 before it,
# and copies only what matches $2.
pip_stand_in() {
    stand_in python3 "case \"\$*\" in
        '-m pip download'*)
            $1
            while [ \"\$1\" != --dest ]; do shift; done
            exec cp '$sandbox'/wheels/${2:-*} \"\$2\" ;;
        '-c import sys; print(sys.executable)') echo '$checkout/bin/python3'; exit ;;
        esac
        exec '$python' \"\$@\""
}
wrong() {
    printf 'FAILED %s: %s\n' "$test_name" "$1" >&2
    exit 1
}
# Runs a command that must fail with a message that has $1 in it.
refused() {
    local message
    ! message=$("${@:2}" 2>&1) || wrong "${*:2} succeeded; it should say: $1"
    [[ $message == *"$1"* ]] || wrong "expected the message \"$1\", found: $message"
}
says() {
    local message
    message=$("${@:2}" 2>&1) || wrong "${*:2} failed: $message"
    [[ $message == *"$1"* ]] || wrong "expected the output \"$1\", found: $message"
}
# Runs a command until the file `started` holds the process that it waits for, and sends it signal $1: both must end.
# Like a terminal, this sends SIGINT to the command and to all that it has started.
ends_at_once() {
    "$python" - "$@" <<'PYTHON' || wrong "$1: the script went on, or what it had started did"
import os, pathlib, signal, subprocess, sys, time

def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(1)
        time.sleep(0.02)

def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True

started = pathlib.Path("started")
# A test that runs in the background inherits an ignored SIGINT, which no shell script can take back.
def listen():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)

script = subprocess.Popen(sys.argv[2:], preexec_fn=listen, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
wait_for(lambda: started.exists() and started.read_text().endswith("\n"))
if sys.argv[1] == "INT":
    os.killpg(script.pid, signal.SIGINT)
else:
    script.send_signal(getattr(signal, "SIG" + sys.argv[1]))
if script.wait(20) == 0:
    sys.exit(1)
wait_for(lambda: is_gone(int(started.read_text())))
PYTHON
}

# --- libtorch ------------------------------------------------------------------------------------

copy_is_made_from_wheels_without_the_cuda_part() {
    says "2.11.0 in $copy (cached copy)" scripts/libtorch
    [[ $(cd "$copy/lib" && echo *) == 'libc10.so libcudart.so.13 libcupti.so.13 libgomp.so.1 libtorch.so libtorch_cpu.so' ]] ||
        wrong "lib/ holds $(ls "$copy/lib")"
    [[ $(<"$copy/build-version") == 2.11.0 && -e $copy/include/torch/csrc/api/include/torch/torch.h ]] ||
        wrong 'no build-version or no headers'
    [[ $(ls -A "$cache") == .lock$'\n'libtorch-2.11.0-linux-x86_64 ]] || wrong "left behind: $(ls -A "$cache")"
}

finished_copy_needs_neither_python_nor_a_writable_cache() {
    pip_stand_in :
    scripts/libtorch >/dev/null 2>&1
    stand_in python3 'exit 1'
    chmod -R a-w "$cache"
    says "2.11.0 in $copy (cached copy)" scripts/libtorch
    chmod -R u+w "$cache"
}

damaged_copy_is_made_anew() {
    pip_stand_in :
    scripts/libtorch >/dev/null 2>&1
    rm "$copy/lib/libc10.so"
    : >"$copy/lib/libcupti.so.13"
    scripts/libtorch >/dev/null 2>&1
    [[ -s $copy/lib/libc10.so && -s $copy/lib/libcupti.so.13 ]] || wrong 'still damaged'
}

two_calls_at_once_download_once() {
    pip_stand_in "echo x >>'$checkout/downloads'; sleep 0.5"
    local call calls=()
    for call in 1 2 3; do
        scripts/libtorch >/dev/null 2>&1 &
        calls+=($!)
    done
    for call in "${calls[@]}"; do wait "$call" || wrong 'one of the calls failed'; done
    [[ $(wc -l <downloads) == 1 ]] || wrong "$(wc -l <downloads) downloads"
    says "$copy" scripts/libtorch
}

stopped_download_leaves_nothing_and_can_be_repeated() {
    local signal
    pip_stand_in "echo \$\$ >'$checkout/started'; exec sleep 60"
    for signal in INT TERM HUP; do
        rm -f started
        ends_at_once $signal scripts/libtorch
        [[ $(ls -A "$cache") == .lock ]] || wrong "$signal left behind: $(ls -A "$cache")"
    done
    pip_stand_in :
    says "$copy" scripts/libtorch
}

remains_of_a_killed_call_are_cleaned_up() {
    pip_stand_in :
    mkdir -p "$cache/.making-abcdef/wheels"
    scripts/libtorch >/dev/null 2>&1
    [[ ! -e $cache/.making-abcdef ]] || wrong 'still there'
}

failed_download_says_so_and_leaves_nothing() {
    export PIP_FIND_LINKS=$checkout
    refused 'the download failed' scripts/libtorch
    [[ $(ls -A "$cache") == .lock && ! -e .cargo ]] || wrong "left behind: $(ls -A "$cache" .cargo)"
}

wheel_without_a_library_is_refused() {
    pip_stand_in : '[!n]*'
    refused 'the downloaded wheels lack libcudart.so.13, libcupti.so.13' scripts/libtorch
    [[ $(ls -A "$cache") == .lock ]] || wrong "left behind: $(ls -A "$cache")"
}

missing_python_or_pip_is_named() {
    stand_in python3 'exit 127'
    refused 'python3 is needed to download libtorch' scripts/libtorch
    stand_in python3 "case \$1 in -c) echo '$checkout/bin/python3' ;; esac; case \$2 in *pip) exit 1 ;; esac"
    refused 'python3 has no pip' scripts/libtorch
}

unwritable_cache_is_named() {
    mkdir -p "$XDG_CACHE_HOME"
    echo 'in the way' >"$cache"
    refused "cannot write to $cache" scripts/libtorch
}

full_disk_is_named() {
    stand_in df 'echo header; echo disk 2000000 1795200 204800 90% /'
    refused 'has 200 MB free, 1200 MB are needed' scripts/libtorch
}

libtorch_variable_comes_first_and_its_version_is_checked() {
    export LIBTORCH=$sandbox/libtorch-2.11.0
    says "2.11.0 in $LIBTORCH (set by LIBTORCH)" scripts/libtorch
    grep -qF "LIBTORCH = '$LIBTORCH'" .cargo/config.toml || wrong 'not in the config'
    [[ ! -e $cache ]] || wrong 'a copy was made as well'
    LIBTORCH=$sandbox/libtorch-2.4.1 refused 'holds libtorch 2.4.1' scripts/libtorch
    LIBTORCH=$checkout refused 'has no include/torch' scripts/libtorch
    LIBTORCH=$checkout/none refused 'which is not a folder' scripts/libtorch
}

installed_pytorch_is_taken_when_asked_for() {
    export LIBTORCH_USE_PYTORCH=1 PYTHONPATH=$checkout/site
    unset VIRTUAL_ENV
    refused 'python3 has no PyTorch' scripts/libtorch
    cp -r "$sandbox/libtorch-2.11.0" "$checkout/torch"
    mkdir site && mv torch site/torch
    rm site/torch/build-version
    touch site/torch/__init__.py
    echo "__version__ = '2.10.0+cu130'" >site/torch/version.py
    refused 'holds libtorch 2.10.0' scripts/libtorch
    echo "__version__ = '2.11.0+cu130'" >site/torch/version.py
    says "2.11.0 in $checkout/site/torch (the installed PyTorch)" scripts/libtorch
}

unchanged_config_is_not_written_again() {
    export LIBTORCH=$sandbox/libtorch-2.11.0
    scripts/libtorch >/dev/null
    local before
    before=$(stat -c '%i %Y' .cargo/config.toml)
    scripts/libtorch >/dev/null
    [[ $(stat -c '%i %Y' .cargo/config.toml) == "$before" ]] || wrong 'written again'
}

own_config_is_left_alone() {
    export LIBTORCH=$sandbox/libtorch-2.11.0
    scripts/libtorch >/dev/null
    local settings
    settings=$(tail -n +2 .cargo/config.toml)
    printf '[alias]\nt = "test"\n' >.cargo/config.toml
    refused "-rpath,$LIBTORCH/lib" scripts/libtorch
    [[ $(<.cargo/config.toml) == $'[alias]\nt = "test"' ]] || wrong 'changed'
    printf '[alias]\nt = "test"\n%s\n' "$settings" >.cargo/config.toml
    says "2.11.0 in $LIBTORCH" scripts/libtorch
}

another_crate_can_be_pointed_at_libtorch() {
    export LIBTORCH=$sandbox/libtorch-2.11.0
    mkdir "$sandbox/own-crate"
    says "2.11.0 in $LIBTORCH" scripts/libtorch "$sandbox/own-crate"
    grep -qF "LIBTORCH = '$LIBTORCH'" "$sandbox/own-crate/.cargo/config.toml" || wrong 'not in its config'
    [[ ! -e .cargo/config.toml ]] || wrong 'the checkout was written to'
}

# --- run and bench -------------------------------------------------------------------------------

missing_tools_are_named() {
    stand_in rustc 'echo "rustc 1.80.1 (abc 2024-08-06)"'
    refused 'Rust 1.95 or newer is needed, this is 1.80.1' scripts/run
    stand_in rustc 'exit 127'
    refused 'Rust (rustc and cargo) was not found' scripts/run
    stand_in rustc 'echo "rustc 1.95.0 (abc 2026-04-14)"'
    CXX=no-such-compiler refused 'no C++ compiler was found (no-such-compiler)' scripts/run
}

run_keeps_the_folder_and_the_arguments_of_its_caller() {
    export LIBTORCH=$sandbox/libtorch-2.11.0
    stand_in rustc 'echo "rustc 1.95.0 (abc 2026-04-14)"'
    stand_in cargo "mkdir -p '$checkout/target/release'
        printf '#!/bin/sh\necho \"\$PWD\" \"\$#\" \"\$@\"' >'$checkout/target/release/thorndike'
        chmod +x '$checkout/target/release/thorndike'"
    mkdir elsewhere && cd elsewhere
    [[ $(../scripts/run play 'a b' 2>/dev/null) == "$PWD 2 play a b" ]] || wrong "$(../scripts/run play 'a b')"
    [[ $(../scripts/run 2>/dev/null) == "$checkout 2 train experiments/configs/cart-pole-dqn.toml" ]] || wrong "$(../scripts/run)"
}

bench_table_compares_with_the_floor() {
    export LIBTORCH=$sandbox/libtorch-2.11.0
    stand_in rustc 'echo "rustc 1.95.0 (abc 2026-04-14)"'
    stand_in cargo 'echo "other output"; echo "bench step 50 M/s floor 200 M/s reset included"; echo "bench update 150 us floor 40 us"'
    local table
    table=$(scripts/bench 2>/dev/null)
    [[ $table == *'step      50 M/s  200 M/s         4.00  reset included'* ]] || wrong "$table"
    [[ $table == *'update    150 us    40 us         3.75'* ]] || wrong "$table"
    stand_in cargo 'echo "bench step fast"'
    refused 'not understood: bench step fast' scripts/bench
    stand_in cargo 'exit 1'
    refused 'a bench failed' scripts/bench
}

# --- data ----------------------------------------------------------------------------------------

data_sets_are_listed_without_a_name() {
    mkdir -p data/digits shared/own
    says 'in IDX files (there already)' scripts/data
    THORNDIKE_DATA=$checkout/shared says "own                folder  in $checkout/shared" scripts/data
    [[ $(ls data) == digits ]] || wrong 'something was done'
}

data_is_copied_and_zip_files_are_unpacked() {
    export THORNDIKE_DATA=shared
    mkdir -p shared/own/deep
    echo some >shared/own/deep/file
    "$python" -c 'import zipfile; zipfile.ZipFile("shared/own/train.zip", "w").writestr("train/cat/1.jpg", "a cat")'
    chmod -R a-w shared/own
    says 'own: data/own is there now, copied from' scripts/data own
    chmod -R u+w shared/own
    [[ $(<data/own/deep/file) == some && $(<data/own/train/cat/1.jpg) == 'a cat' ]] || wrong 'not whole'
    [[ $(ls -A data data/own) != *zip* && $(ls -A data) == .lock$'\n'own ]] || wrong "left behind: $(ls -A data data/own)"
}

data_that_is_there_is_left_alone() {
    export THORNDIKE_DATA=shared
    mkdir -p shared/mnist data/mnist
    echo mine >data/mnist/file
    says 'mnist: data/mnist is there already' scripts/data mnist
    [[ $(<data/mnist/file) == mine ]] || wrong 'changed'
}

drawn_data_is_made_by_the_program() {
    printf '%s\n' '#!/bin/sh' "echo \"\$1 \$2\" >\"\$3/file\"; echo \"path = \$3\"" >scripts/run
    [[ -z $(scripts/data digits recall 2>/dev/null) ]] || wrong 'it names a folder that is gone'
    [[ $(<data/digits/file) == 'data digits' && $(<data/recall/file) == 'data recall' ]] || wrong 'not drawn'
    printf '#!/bin/sh\nexit 1' >scripts/run
    refused 'shapes: the program did not draw it' scripts/data shapes
    [[ $(ls data) == digits$'\n'recall ]] || wrong "left behind: $(ls -A data)"
}

loaded_data_is_compared_with_its_checksum() {
    local sum
    stand_in curl "while [ \"\$1\" != -o ]; do shift; done; echo plays >\"\$2\""
    sum=$(echo plays | sha256sum)
    refused "has the checksum ${sum%% *}, expected sha256:86c4e6" scripts/data tiny_shakespeare
    [[ $(ls -A data) == .lock ]] || wrong "left behind: $(ls -A data)"
    sed -i "s/sha256:86c4e6[0-9a-f]*/sha256:${sum%% *}/" scripts/data
    says 'tiny_shakespeare: data/tiny_shakespeare is there now, loaded' scripts/data tiny_shakespeare
    [[ $(<data/tiny_shakespeare/input.txt) == plays ]] || wrong 'not there'
}

loaded_archive_is_unpacked() {
    local sum
    mkdir cifar-10-batches-bin
    echo pixels >cifar-10-batches-bin/test_batch.bin
    tar -czf archive cifar-10-batches-bin
    sum=$(md5sum <archive)
    sed -i "s/md5:c32a1d[0-9a-f]*/md5:${sum%% *}/" scripts/data
    stand_in curl "while [ \"\$1\" != -o ]; do shift; done; cp '$checkout/archive' \"\$2\""
    says 'cifar10: data/cifar10 is there now' scripts/data cifar10
    [[ $(ls -A data/cifar10) == test_batch.bin ]] || wrong "it holds $(ls -A data/cifar10)"
}

data_that_cannot_be_had_is_named_and_leaves_nothing() {
    stand_in curl 'echo "curl: (6) Could not resolve host: nowhere" >&2; exit 6'
    refused 'mnist/train-images-idx3-ubyte.gz: curl: (6) Could not resolve host' scripts/data mnist
    refused 'nuclei: ' scripts/data nuclei
    mkdir -p shared/own
    echo 'no zip' >shared/own/train.zip
    THORNDIKE_DATA=shared refused 'own: train.zip cannot be unpacked: ' scripts/data own
    THORNDIKE_DATA=none refused 'THORNDIKE_DATA is none, which is not a folder' scripts/data mnist
    [[ $(ls -A data) == .lock ]] || wrong "left behind: $(ls -A data)"
}

unknown_data_is_wrong_use() {
    local name code
    mkdir -p data
    for name in digitz ../data .. ''; do
        code=0
        scripts/data recall "$name" >/dev/null 2>output || code=$?
        [[ $code == 2 && $(<output) == *"no data set named \"$name\""* ]] || wrong "$name: exit code $code, $(<output)"
    done
    [[ -z $(ls -A data) ]] || wrong "left behind: $(ls -A data)"
}

stopped_copy_leaves_nothing() {
    local signal
    export THORNDIKE_DATA=shared
    mkdir -p shared/own
    stand_in cp "echo half >\"\$3/file\"; echo \$\$ >'$checkout/started'; exec sleep 60"
    for signal in INT TERM HUP; do
        rm -f started
        ends_at_once $signal scripts/data own
        [[ $(ls -A data) == .lock ]] || wrong "$signal left behind: $(ls -A data)"
    done
    mkdir data/.making-killed
    stand_in cp 'exec /bin/cp "$@"'
    says 'own: data/own is there now' scripts/data own
    [[ ! -e data/.making-killed ]] || wrong 'the remains of a killed call are still there'
}

tests=0
for test_name in $(declare -F | sed -n 's/^declare -f \([a-z_]*_[a-z_]*\)$/\1/p'); do
    case $test_name in new_checkout | stand_in | pip_stand_in | ends_at_once) continue ;; esac
    (new_checkout "$test_name"; "$test_name")
    tests=$((tests + 1))
done
echo "set-up scripts: $tests tests passed"
