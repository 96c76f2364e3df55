#!/bin/sh
# The three trainings of the recipe, one after the other: train.sh WORK_FOLDER
# One thread, and one more for augmentation; niced, for they share a machine with people.
set -eu
work=$1
export nnUNet_raw="$work/raw" nnUNet_preprocessed="$work/preprocessed" nnUNet_results="$work/results"
export nnUNet_n_proc_DA=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 nnUNet_compile=f
nice -n 15 nnUNetv2_train 4 3d_fullres 0 -tr nnUNetTrainer_5epochs -p nnUNetPlansSmall -device cpu
nice -n 15 nnUNetv2_train 904 3d_fullres 0 -tr nnUNetTrainer_1epoch -p nnUNetPlansSmall -device cpu
nice -n 15 nnUNetv2_train 4 3d_fullres 0 -tr nnUNetTrainer_1epoch -p nnUNetResEncPlansSmall -device cpu
