#!/usr/bin/env bash
# A run on a TPU pod of Google Cloud, by gcloud alone.
#
#   export ZONE=us-central1-a TYPE=v5litepod-16 RUNTIME=v2-alpha-tpuv5-lite
#   launch/tpu_pod.sh create pod1     # ask for the pod: a queued resource, spot; more flags of gcloud may follow
#   launch/tpu_pod.sh status pod1     # ACTIVE when it is there, SUSPENDED when it was preempted
#   launch/tpu_pod.sh copy pod1       # this repository to every worker, and its packages
#   launch/tpu_pod.sh run pod1 --experiment=resnet_imagenet --workdir=/mnt/runs/r50
#   launch/tpu_pod.sh follow pod1     # the log of the run, until Ctrl-C; the run goes on without it
#   launch/tpu_pod.sh stop pod1       # the run saves and ends
#   launch/tpu_pod.sh ssh pod1 'sudo mount -t nfs 10.0.0.2:/runs /mnt/runs'   # any command, on every worker
#   launch/tpu_pod.sh delete pod1     # asks first; add --quiet to be sure
#
# Settings, from the environment:
#   ZONE, TYPE, RUNTIME  zone, accelerator type and TPU software version
#   SPOT=1               0 asks for a pod that is not preempted
#   DRY_RUN=1            print the gcloud commands, run none
#
# --workdir must be a folder that every worker sees and that outlives the pod: mount one with `ssh`. After a preemption:
# delete, create, copy, mount, and the same `run`, which goes on where it was.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() { sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p;}' "launch/tpu_pod.sh"; }

fail() {
  echo "launch/tpu_pod.sh: error: $1" >&2
  exit 2
}

cloud() {
  if [[ -n ${DRY_RUN:-} ]]; then
    printf '%q ' gcloud compute tpus "$@"
    echo
  else
    gcloud compute tpus "$@"
  fi
}

on_workers() { cloud tpu-vm ssh "$name" --zone="$ZONE" --worker="$1" --command="$2"; }

case ${1:-} in
  --help | -h | '') usage && exit 0 ;;
  create | status | copy | run | follow | stop | ssh | delete) ;;
  *) fail "unknown command: '$1'; choose from: create, status, copy, run, follow, stop, ssh, delete" ;;
esac
task=$1 name=${2:-}
[[ -n $name && $name != -* ]] || fail "$task: no name of a pod; try: launch/tpu_pod.sh $task pod1"
[[ -n ${ZONE:-} ]] || fail "$task: no zone; try: export ZONE=us-central1-a"
shift 2

case $task in
  create)
    [[ -n ${TYPE:-} && -n ${RUNTIME:-} ]] || fail 'create: TYPE and RUNTIME say which pod; see launch/tpu_pod.sh --help'
    if [[ ${SPOT:-1} != 0 ]]; then set -- --spot "$@"; fi
    cloud queued-resources create "$name" --node-id="$name" --zone="$ZONE" --accelerator-type="$TYPE" \
      --runtime-version="$RUNTIME" "$@"
    ;;
  status) cloud queued-resources describe "$name" --zone="$ZONE" --format='value(state.state)' ;;
  copy)
    on_workers all 'mkdir -p cnn_jax'
    cloud tpu-vm scp --recurse --compress --zone="$ZONE" --worker=all cnn_jax experiments requirements.txt "$name:cnn_jax/"
    # The image's own Python is older than 3.11; uv brings one.
    on_workers all "cd cnn_jax && python3 -m pip install --quiet --user uv && export PATH=\$HOME/.local/bin:\$PATH && \
{ test -x .venv/bin/python || uv venv --quiet --python=3.12 .venv; } && \
uv pip install --quiet --python=.venv/bin/python -r requirements.txt 'jax[tpu]'"
    ;;
  run)
    arguments=$(printf ' %q' "$@" --distributed)
    on_workers all "cd cnn_jax && { nohup .venv/bin/python -m cnn_jax.main$arguments >>run.log 2>&1 </dev/null & \
echo \$! >run.pid; }"
    ;;
  follow) on_workers 0 'tail -n 100 -F cnn_jax/run.log' ;;
  stop) on_workers all "kill -s TERM \$(cat cnn_jax/run.pid)" ;;
  ssh)
    (($# == 1)) || fail "ssh: one command in quotes; try: launch/tpu_pod.sh ssh $name 'df -h'"
    on_workers all "$1"
    ;;
  delete) cloud queued-resources delete "$name" --zone="$ZONE" --force "$@" ;;
esac
