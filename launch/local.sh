#!/usr/bin/env bash
# N processes of one run on this machine, each with devices of its own.
#
#   launch/local.sh 2 --experiment=lenet_digits --workdir=runs/two
#
# Settings, from the environment:
#   DEVICES=1         devices of each process: GPUs; where it is given, also the number of virtual CPU devices
#   GRACE_SECONDS=60  how long the others may take to end when one process has failed; then they are killed
#   PYTHON            default: .venv/bin/python of this repository, else python3
#   DRY_RUN=1         print the commands, run none
#
# SIGTERM, SIGHUP and Ctrl-C are passed on to each process. The exit code is that of the first one that failed.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [[ ${1:-} == --help || ${1:-} == -h ]]; then
  sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p;}' "${BASH_SOURCE[0]}"
  exit 0
fi
count=${1:-} devices=${DEVICES:-1} grace=${GRACE_SECONDS:-60}
for number in "$count" "$devices" "$grace"; do
  if ! [[ $number =~ ^[1-9][0-9]*$ ]]; then
    echo "launch/local.sh: error: not a number of 1 or more: '$number'; see launch/local.sh --help" >&2
    exit 2
  fi
done
shift

python=${PYTHON:-$root/.venv/bin/python}
if [[ -z ${PYTHON:-} && ! -x $python ]]; then python=python3; fi
free_port='import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
address=${JAX_COORDINATOR_ADDRESS:-127.0.0.1:$("$python" -c "$free_port")}

# Puts what process $1 runs, with the other arguments, into the array `command`.
make_command() {
  local index=$1 ids='' device
  shift
  for ((device = index * devices; device < (index + 1) * devices; device++)); do ids+=${ids:+,}$device; done
  command=(env "PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}"
    "JAX_COORDINATOR_ADDRESS=$address" "JAX_COORDINATOR_BIND_ADDRESS=$address" # not on every interface
    "JAX_NUM_PROCESSES=$count" "JAX_PROCESS_ID=$index" "JAX_LOCAL_DEVICE_IDS=$ids")
  if [[ -n ${DEVICES:-} ]]; then command+=("JAX_NUM_CPU_DEVICES=$devices"); fi
  command+=("$python" -m cnn_jax.main "$@" --distributed)
}

if [[ -n ${DRY_RUN:-} ]]; then
  for ((index = 0; index < count; index++)); do
    make_command "$index" "$@"
    printf '%q ' "${command[@]}"
    echo
  done
  exit 0
fi

# A process group each (`set -m`): a Ctrl-C of the terminal then reaches only this script, which passes it on, so that
# no process gets it twice; and what a process leaves behind can be killed with its group.
early='' stopping=0 pids=()
trap 'early=TERM' TERM HUP
trap 'early=INT' INT
set -m
for ((index = 0; index < count; index++)); do
  make_command "$index" "$@"
  "${command[@]}" </dev/null &
  pids+=("$!")
done
set +m

pass_on() {
  local pid
  stopping=1
  for pid in "${pids[@]}"; do
    if [[ $pid != ended ]]; then kill -s "$1" "$pid" 2>/dev/null || true; fi
  done
}
trap 'pass_on TERM' TERM HUP
trap 'pass_on INT' INT
if [[ -n $early ]]; then pass_on "$early"; fi

code=0 left=$count deadline=0
while true; do
  for ((index = 0; index < count; index++)); do
    pid=${pids[index]}
    if [[ $pid == ended ]] || kill -0 "$pid" 2>/dev/null; then continue; fi
    status=0
    wait "$pid" || status=$?
    pids[index]=ended
    left=$((left - 1))
    kill -KILL -- "-$pid" 2>/dev/null || true # what it left behind
    if ((status && !code)); then
      code=$status deadline=$((SECONDS + grace))
      if ((left && !stopping)); then
        echo "launch/local.sh: process $index of $count ended with exit code $status; the others have $grace s" >&2
      fi
    fi
  done
  if ((!left)); then exit "$code"; fi
  if ((code && SECONDS >= deadline)); then
    for pid in "${pids[@]}"; do
      if [[ $pid != ended ]]; then kill -KILL -- "-$pid" 2>/dev/null || true; fi
    done
  fi
  { sleep 0.1 || true; } 2>/dev/null # a signal to the group ends it early
done
