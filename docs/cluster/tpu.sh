#!/usr/bin/env bash
# Barlow Twins on a Cloud TPU VM with eight v5e chips.
#
# NOT RUN: written from the documentation, tried on no TPU. And not possible with released packages when this was
# written: TensorFlow's ordinary build cannot load libtpu, the TPU's library; the package tensorflow-tpu can and brings
# it, but its newest release was 2.20.0, and barlowtf needs 2.21.
#
# Use:     docs/cluster/tpu.sh create, then install, pretrain and, in the end, delete
# Before:  gcloud with a project; a wheel in dist/ (python -m build --wheel); a disk with the images (see DISK).
# Memory:  2048 images are 256 a chip of 16 GB; train.precision=mixed_bfloat16 or a smaller train.batch_size, should
#          that not fit.
#
# One host only. On a slice of several hosts TPU_NAME=local would train once on each host by itself; TensorFlow wants
# one program there, on worker 0, with the name of the TPU in TPU_NAME and a server on every host.

set -euo pipefail

name=${NAME:-barlowtf}
zone=${ZONE:-us-central1-a}
disk=${DISK:-} # projects/PROJECT/zones/ZONE/disks/DISK, mounted by hand at /mnt/disk: images and run folder

# On every host of the TPU VM; v5litepod-8 has one.
on_hosts() {
  gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all --command="$1"
}

case ${1:-} in
  create)
    gcloud compute tpus tpu-vm create "$name" --zone="$zone" \
      --accelerator-type=v5litepod-8 --version=v2-alpha-tpuv5-lite ${disk:+--data-disk=source="$disk",mode=read-write}
    ;;
  install)
    gcloud compute tpus tpu-vm scp dist/barlowtf-*.whl "$name": --zone="$zone" --worker=all
    # The image is Ubuntu 22.04 with Python 3.10; barlowtf needs 3.11.
    on_hosts "sudo apt-get update && sudo apt-get install -y python3.11-venv && python3.11 -m venv barlowtf-env"
    # The TPU build takes the place of the ordinary one: both are the folder tensorflow/.
    on_hosts "barlowtf-env/bin/pip install barlowtf-*.whl && barlowtf-env/bin/pip uninstall -y tensorflow \
      && barlowtf-env/bin/pip install 'tensorflow-tpu==2.21.*'"
    ;;
  pretrain)
    # v5e wants TensorFlow's PJRT runtime: the two variables after TPU_NAME. Start it inside tmux, for the connection
    # has to last as long as the run; the same command resumes.
    on_hosts "export PATH=\$HOME/barlowtf-env/bin:\$PATH TFDS_DATA_DIR=/mnt/disk/tensorflow_datasets TPU_NAME=local \
        NEXT_PLUGGABLE_DEVICE_USE_C_API=true \
      && TF_PLUGGABLE_DEVICE_LIBRARY_PATH=\$(python -c 'import libtpu; print(libtpu.get_library_path())') \
      && export TF_PLUGGABLE_DEVICE_LIBRARY_PATH \
      && exec barlowtf pretrain --config imagenet-1000ep --strategy tpu --run-dir /mnt/disk/runs/imagenet-1000ep"
    ;;
  delete)
    gcloud compute tpus tpu-vm delete "$name" --zone="$zone"
    ;;
  *)
    echo "Usage: $0 create | install | pretrain | delete" >&2
    exit 2
    ;;
esac
