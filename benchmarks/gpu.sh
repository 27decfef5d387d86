#!/usr/bin/env bash
# All figures that need a GPU, in under ten minutes; the JSON goes to benchmarks/results/, by GPU.
#
#   benchmarks/gpu.sh --fetch wheels                   where there is a network: what such machines lack
#   benchmarks/gpu.sh --wheels wheels --model minilm-l6 --squad squad --shapes shapes.csv
#   benchmarks/gpu.sh --dry ...                        only print the commands
#   benchmarks/gpu.sh --device cpu --quick ...         a trial of all this without a GPU; writes to --out
#
# --model: the folder of a small BERT-like encoder; --squad: of train-v1.1.json and dev-v1.1.json,
# packed or not; --shapes: published widths and heads (published_shapes.py). A part whose files are
# not given is left out, and said to be. A part that fails or takes too long does not stop the others.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3} device=cuda out=''
model='' squad='' shapes='' wheels='' quick='' dry=''

# What a machine with PyTorch and transformers may lack. ANTLR's runtime has no wheel: it is made.
LACKING=(hydra-core omegaconf optuna SQLAlchemy greenlet alembic Mako colorlog datasets dill multiprocess)

fetch() { # DIR [python version]
    local constraints=$root/constraints.txt platforms=()
    for version in 28 17; do platforms+=(--platform "manylinux_2_${version}_x86_64"); done
    "$python" -m pip download -q --no-deps --only-binary=:all: --python-version "${2:-3.12}" \
        --implementation cp "${platforms[@]}" --platform manylinux2014_x86_64 \
        -d "$1" "${LACKING[@]}" -c "$constraints" &&
        "$python" -m pip wheel -q --no-deps -w "$1" antlr4-python3-runtime==4.9.3
}

while [ $# -gt 0 ]; do
    case $1 in
    --fetch) fetch "${2:?a folder}" "${3:-}"; exit ;;
    --quick) quick=1 ;;
    --dry) dry=1 ;;
    --model | --squad | --shapes | --wheels | --device | --out) printf -v "${1#--}" %s "${2:?$1}"; shift ;;
    *) sed -n '2,/^set/{/^#/s/^# \?//p}' "$0"; [ "$1" = --help ]; exit ;;
    esac
    shift
done
for path in model squad shapes wheels out; do # this script goes to another folder
    [ -z "${!path}" ] || printf -v "$path" %s "$(realpath -m "${!path}")"
done

run() { # SECONDS COMMAND...: prints it, and how long it took
    local limit=$1 start=$SECONDS; shift
    { printf '+'; printf ' %q' "$@"; echo; } >&2  # stdout is the command's
    [ -n "$dry" ] && return
    timeout -k 10 "$limit" "$@" || { echo "FAILED, or more than $limit s: $*" >&2; failed=1; }
    echo "  $((SECONDS - start)) s" >&2
}
bench() { local limit=$1 script=$2; shift 2; run "$limit" "$python" "$root/benchmarks/$script.py" "$@" --device "$device" ${out:+--out "$out"}; }
cli() { local limit=$1; shift; run "$limit" "$python" -P -m prune "$@"; }

if [ -z "$dry" ] && ! why=$("$python" -c 'import torch, transformers' 2>&1); then
    echo "$python cannot run this: ${why##*$'\n'}; PYTHON=... names another one" >&2
    exit 1
fi
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -n "$wheels" ]; then
    run 120 "$python" -m pip install -q --no-index --no-deps --target "$work/site" "$wheels"/*.whl
fi
export PYTHONPATH=$root:$work/site${PYTHONPATH:+:$PYTHONPATH} PRUNE_RUNS=$work/runs HF_HUB_OFFLINE=1
cd "$work" || exit 1

size=(--batch 16 --length 384 --bf16 --layers 4) batches=8,32
[ -n "$quick" ] && size=(--batch 2 --length 64 --layers 1) batches=8

# P2: a fine-pruning step over a plain step.
bench 60 step_overhead sigmoid_threshold "${size[@]}" --geometry "hybrid 32x32 + neurons" "heads + neurons"
bench 60 step_overhead topk "${size[@]}" --geometry 1x1 "hybrid 32x32 + neurons"
# P3: a step with a teacher from the cache over one without a teacher.
bench 60 teacher_cost "${size[@]}"
# P6: the published networks.
if [ -n "$shapes" ]; then
    bench 90 published_shapes networks --shapes "$shapes" --runtime eager,bf16 --batch "$batches" --length 128 --inputs padded ${quick:+--quick --rounds 5}
    bench 60 published_shapes factors --runtime eager,bf16,compiled_bf16 --batch 8 --length 128 --inputs padded ${quick:+--quick --rounds 5}
else
    echo "left out: published networks, which want --shapes"
fi
# P8: block-sparse layers.
bench 120 block_sparse layer rivals ${quick:+--quick --threads 1}

# A real sweep: a search for the front of a small encoder on SQuAD, over slots of one GPU.
if [ -n "$model" ] && [ -n "$squad" ]; then
    samples=(task.max_train_samples=16000 task.max_eval_samples=1000 trials=12)
    [ -n "$quick" ] && samples=(task.max_train_samples=64 task.max_eval_samples=16 trials=2 slots=1 train.batch_size=4)
    settings=(model=minilm_l6 "model.name_or_path=$model" "task.data_dir=$squad" task.max_length=256
        train.epochs=2 train.lr=2e-4 "${samples[@]}")
    cli 240 sweep hybrid_pareto "${settings[@]}" teacher=dense "measure.grid=[[32,256],[1,256]]"
    cli 60 report --json >"$work/report.json"
    bench 60 sweep_front sweep_squad <"$work/report.json"
else
    echo "left out: the sweep, which wants --model and --squad"
fi
echo "$SECONDS s in all; results in ${out:-$root/benchmarks/results and recorded}"
exit "$failed"
