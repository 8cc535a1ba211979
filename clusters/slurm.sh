#!/usr/bin/env bash
# One sweep on 1 to N nodes of a Slurm cluster; a job that reaches its time limit asks to be queued again and resumes.
#
#   sbatch clusters/slurm.sh SWEEP.yaml DIR          # DIR on a disk that all nodes see, or s3://bucket/sweep
#   lnl-sweep status DIR                             # from the login node
#   scancel --signal=TERM --batch JOBID              # stop it in order: it goes on where it stopped when queued again
#   scancel JOBID                                    # stop it for good; the rows are safe, sbatch again resumes
#
# For brain_mri: export LNL_SWEEP_DATA=/shared/data (or s3://...) before sbatch; each node copies it once (docs/brain_mri.md).
# Cost: nodes x hours of your allocation; begin with one node and --time=01:00:00.
#SBATCH --job-name=lnl-sweep
#SBATCH --nodes=1                      # <- 1. nodes, and with them processors and GPUs of each
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1              # leave this line out for processors only
#SBATCH --time=08:00:00                # <- 2. time limit (and your --partition, --account)
#SBATCH --signal=B:TERM@120            # two minutes before the limit the sweep ends in order
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

SWEEP=${1:?give a sweep file: sbatch clusters/slurm.sh SWEEP.yaml DIR}
OUT=${2:?give the directory of the sweep: sbatch clusters/slurm.sh SWEEP.yaml DIR}
export PATH="${LNL_SWEEP_ENV:-$HOME/lnl-sweep/.venv}/bin:$PATH"      # <- 3. where lnl-sweep is installed, seen by all nodes

RAY_VERSION=2.60.0
found=$(python -c "from importlib.metadata import version; print(version('ray'))")
[ "$found" = "$RAY_VERSION" ] || echo "note: made for Ray $RAY_VERSION, this is Ray $found" >&2

# Other people's Ray may run on the same nodes: a folder, ports and a password of our own.
# The path is short since those of Ray's sockets may have 107 characters.
PLACE=${LNL_SWEEP_TMP:-/tmp}/r$SLURM_JOB_ID
# On a busy node or a slow file system Ray's own half a minute is too short.
export RAY_raylet_start_wait_time_s=${RAY_raylet_start_wait_time_s:-180}
# Two for each job: jobs that follow one another often share a node.
PORT=$((20000 + 2 * (SLURM_JOB_ID % 10000)))
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(python -c "import secrets; print(secrets.token_hex(32))")
export RAY_USAGE_STATS_ENABLED=0
# What a method prints must not fill a node's disk.
export RAY_ROTATION_MAX_BYTES=${RAY_ROTATION_MAX_BYTES:-16777216} RAY_ROTATION_BACKUP_COUNT=${RAY_ROTATION_BACKUP_COUNT:-1}
# At its end the head would wait half a minute for work to drain from a Ray that is already ending.
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0
# From Slurm 22.05 on a step does not inherit --cpus-per-task: it would have one processor.
if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then export SRUN_CPUS_PER_TASK=${SRUN_CPUS_PER_TASK:-$SLURM_CPUS_PER_TASK}; fi

# nproc counts the processors of the job's cgroup; Ray by itself would take all of the node's.
COMMON="--num-cpus=\$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc) --object-store-memory=500000000 \
--min-worker-port=0 --max-worker-port=0 --dashboard-agent-listen-port=0 --disable-usage-stats --block"

steps=()
nodes=()
finish() {
    for step in "${steps[@]}"; do kill "$step" 2>/dev/null || true; done
    for step in "${steps[@]}"; do wait "$step" 2>/dev/null || true; done
    steps=()
    for node in "${nodes[@]:1}"; do
        srun --overlap --nodes=1 --ntasks=1 --nodelist="$node" rm -rf "$PLACE" &
        steps+=($!)
    done
    rm -rf "$PLACE"
    for step in "${steps[@]}"; do wait "$step" || true; done
}
trap finish EXIT

# The TERM before the time limit may come while Ray still starts: that too is queued again.
waiting="" requeue=no
trap 'requeue=yes heard=yes; [ -z "$waiting" ] || kill -TERM "$waiting" 2>/dev/null || true' TERM
# Wait for a process in the background, since a trap runs only after the command in front; leaves its exit code in $code.
await() {
    waiting=$1
    [ "$requeue" = no ] || kill -TERM "$waiting" 2>/dev/null || true
    heard=yes
    while [ "$heard" = yes ]; do
        # A trap interrupts wait: the process's own code, which bash keeps, comes with the next one.
        heard=no code=0
        wait "$waiting" || code=$?
    done
    waiting=""
}

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
ip=$(srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" hostname -I | awk '{print $1}')
srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" bash -c \
    "exec ray start --head --node-ip-address=$ip --port=$PORT --ray-client-server-port=$((PORT + 1)) --include-dashboard=false --temp-dir=$PLACE $COMMON" &
steps+=($!)
for node in "${nodes[@]:1}"; do
    srun --overlap --nodes=1 --ntasks=1 --nodelist="$node" bash -c \
        "for i in \$(seq 60); do (exec 3<>/dev/tcp/$ip/$PORT) 2>/dev/null && break; sleep 1; done; exec ray start --address=$ip:$PORT $COMMON" &
    steps+=($!)
done

# The driver counts its slots when it starts, so all nodes must be there.
python - "$ip:$PORT" "${#nodes[@]}" <<'PYTHON' &
import sys, time
import ray
address, wanted = sys.argv[1], int(sys.argv[2])
end, here = time.monotonic() + 300, 0
while here < wanted:
    try:
        if not ray.is_initialized():
            ray.init(address=address, logging_level="error", log_to_driver=False)
        here = sum(node["Alive"] for node in ray.nodes())
    except ConnectionError:
        pass
    if time.monotonic() > end:
        sys.exit(f"only {here} of {wanted} nodes joined {address} within 5 minutes: see the messages of ray start above")
    time.sleep(1)
print(f"{here} nodes, {ray.cluster_resources().get('CPU', 0):g} processors, {ray.cluster_resources().get('GPU', 0):g} GPUs", flush=True)
PYTHON
await $!

if [ "$requeue" = yes ]; then
    code=130
elif [ "$code" = 0 ]; then
    lnl-sweep run "$SWEEP" --out "$OUT" --address "$ip:$PORT" &
    await $!
fi
# 143: it was ended before it could listen to signals.
if [ "$requeue" = yes ] && { [ "$code" = 130 ] || [ "$code" = 143 ]; }; then
    echo "time is up: queued again, goes on from $OUT"
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
