#!/usr/bin/env bash
# Barlow Twins on two nodes under Slurm, in as many jobs as the training needs.
#
# Submit:  sbatch --export=ALL,SHARED=/path/on/the/shared/file/system docs/cluster/slurm.sh
# Before:  barlowtf[gpu] installed in the environment that you submit from, the images under $SHARED (TFDS_DATA_DIR).
#
# Near its time limit the job gets SIGUSR1. barlowtf finishes the step, saves, and asks Slurm to put the job back into
# the queue (scontrol requeue); the next start finds the run folder and goes on. A node that fails has the same effect,
# from the last checkpoint. The nodes find one another through Slurm's variables; nothing about them is written here.

#SBATCH --job-name=barlowtf
# One worker a node, with all GPUs of the node.
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
# To the workers, not to this script alone (that would be B:USR1). 120 s is for the step and the save; Slurm may send
# it up to 60 s earlier.
#SBATCH --signal=USR1@120
# One log over all starts of the job.
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=barlowtf-%j.log

set -euo pipefail

shared=${SHARED:-/shared}
export TFDS_DATA_DIR=${TFDS_DATA_DIR:-$shared/tensorflow_datasets}

# --cpus-per-task: since Slurm 22.05 srun does not take it over. --kill-on-bad-exit=0, --wait: a worker that ends leaves
# the chief 10 minutes, which may still have to ask for the requeue.
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" --kill-on-bad-exit=0 --wait=600 \
  barlowtf pretrain --config imagenet-1000ep --strategy multiworker --run-dir "$shared/runs/imagenet-1000ep"
