#!/bin/sh
# What a GPU makes of vimix, in some 15 minutes: experiments/bench_gpu.sh OUT [DEVICE] [tiny]
# OUT is a new folder for the results, one file a question:
#   machine.txt    versions, devices, and what vimix doctor finds
#   throughput.md  steps at batches 4 to 64 against plain eager float32, TF32 and bfloat16; time by kind of kernel,
#                  launches, TFLOP/s, GB/s, memory
#   bench.md       blending, the updates of the parameters, and ST-GCN's step
#   loader-*.json  clips a second from a raw and a JPEG store by number of workers, and the steps they feed
#   tvl1.txt       TV-L1 in PyTorch: frame pairs a second by size of the batch
# DEVICE is cuda by default. "tiny" tries the script out at sizes that say nothing about speed: OUT cpu tiny.
set -eu
out=${1:?usage: experiments/bench_gpu.sh OUT [DEVICE] [tiny]} device=${2:-cuda} size=${3:-full}
here=$(dirname "$0")
mkdir "$out"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-16}"
if [ "$size" = tiny ]; then
    tiny=--tiny batches="--batch 4" videos=8 workers=0 seconds=0.2 pairs=2 sizes=40x32
    clips="--set optim.batch=4 --set data.frames=16 --set data.size=32 --set modalities.rgb.width=0.0625 --set modalities.flow.width=0.0625"
else
    tiny="" batches="--batch 4 --batch 16 --batch 32 --batch 64" videos=100 workers=0,4,8,15 seconds=8
    clips="--set optim.batch=32"
    pairs="16 64 256" sizes="320x240 340x256"
fi

vimix doctor > "$out/machine.txt" || true
vimix bench --device "$device" $tiny --only throughput $batches --out "$out/throughput.md"
vimix bench --device "$device" $tiny --only steps --only skeletons --only blend --out "$out/bench.md"

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
vimix synth "$work/synth" --classes 2 --videos-per-class "$videos" --width 170 --height 128
for codec in raw jpeg; do
    vimix prepare folder "$work/synth/videos" --split "$work/synth/splits.csv" --out "$work/$codec.h5" --flow dis --short-side 128 --codec "$codec"
    vimix bench-data "$work/$codec.h5" --recipe "$here/table2.toml" --set data.train_split=train $clips --workers "$workers" --seconds "$seconds" --device "$device" --json > "$out/loader-$codec.json"
done
for count in $pairs; do
    python "$here/bench_store.py" --sizes --flow-sizes $sizes --pairs "$count" --device "$device" >> "$out/tvl1.txt"
done
echo "results in $out"
