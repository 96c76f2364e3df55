"""A DICOM series from disk to a volume: Prosect beside SimpleITK, in turns, in processes of their own.

Usage: python load.py [--slices 500] [--turns 5] [--folder KEPT] PROSECT_LOAD
where PROSECT_LOAD is the program of `cargo build --release -p prosect-dicom --example load`.
Prints seconds of the clock and of all processors, and the largest memory, for each turn.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

import numpy
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SIDE = 512

# Lists the series, reads it and turns it into floating-point HU, as a network needs them.
SIMPLEITK = """
import sys
import SimpleITK as sitk
reader = sitk.ImageSeriesReader()
names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(sys.argv[1])
reader.SetFileNames(names)
{pixel_type}
image = reader.Execute()
print(image.GetSize(), image.GetPixelIDTypeAsString())
"""
AS_FLOAT = "reader.SetOutputPixelType(sitk.sitkFloat32)"


def write_series(folder, n_slices):
    """Writes an uncompressed CT of 16 bits."""
    noise = numpy.random.default_rng(1).integers(-1000, 1500, (SIDE, SIDE)).astype("<i2")
    study, series, frame = (generate_uid(entropy_srcs=[role]) for role in "abc")
    for k in range(n_slices):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
        uid = generate_uid(entropy_srcs=[str(k)])
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = uid
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
        data.Modality, data.PatientName, data.PatientID = "CT", "BENCH", "1"
        data.ImageType, data.InstanceNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], k + 1
        data.ImagePositionPatient = [-180, -180, k]
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.PixelSpacing, data.SliceThickness = [0.7, 0.7], 1
        data.RescaleSlope, data.RescaleIntercept = 1, -1024
        data.Rows = data.Columns = SIDE
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation, data.SamplesPerPixel = 15, 1, 1
        data.PhotometricInterpretation = "MONOCHROME2"
        data.PixelData = numpy.roll(noise, k, 0).tobytes()
        data["PixelData"].VR = "OW"
        data.save_as(os.path.join(folder, f"{k:05}.dcm"), enforce_file_format=True)


def run(name, command):
    """Runs a command; clock, processor seconds and memory of that process alone."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said = process.stdout.read().strip()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status:
        sys.exit(f"{name} failed: {said}")
    seconds, busy = time.monotonic() - start, usage.ru_utime + usage.ru_stime
    print(f"{name:22} {seconds:6.2f} s  {busy:6.2f} s of processors  {usage.ru_maxrss / 1024:7.0f} MiB  {said}")
    return seconds, busy


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--slices", type=int, default=500)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or scratch
        if not os.listdir(folder):
            write_series(folder, options.slices)
        peers = {
            "Prosect": [options.program, folder],
            "SimpleITK": [sys.executable, "-c", SIMPLEITK.format(pixel_type=""), folder],
            "SimpleITK, as float": [sys.executable, "-c", SIMPLEITK.format(pixel_type=AS_FLOAT), folder],
        }
        times = {name: [] for name in peers}
        for _ in range(options.turns):
            for name, command in peers.items():
                times[name].append(run(name, command))
        for name, measured in times.items():
            middle = [sorted(column)[len(measured) // 2] for column in zip(*measured)]
            print(f"median {name:22} {middle[0]:6.2f} s  {middle[1]:6.2f} s of processors")


if __name__ == "__main__":
    main()
