// Reads a DICOM SEG as OHIF does, with the adapters of Cornerstone3D, and writes the labels of each
// source image: node read_with_ohif.mjs SEG SOURCE_FOLDER OUT. OUT.json names the images in order,
// OUT.u8 has their pixels, one byte each, as the viewer would show them.

import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [segPath, sourceFolder, out] = process.argv.slice(2);
const require = createRequire(pathToFileURL(path.join(process.env.PROSECT_PEERS_NPM, 'package.json')));
// The packages have no entry for require: the build beside it is found by the package's folder.
const load = async (name, entry) =>
  import(pathToFileURL(path.join(process.env.PROSECT_PEERS_NPM, 'node_modules', name, entry)));
const dcmjs = require('dcmjs');
const { metaData } = await load('@cornerstonejs/core', 'dist/esm/index.js');
const { adaptersSEG } = await load('@cornerstonejs/adapters', 'dist/esm/index.js');

const buffer = (file) => {
  const bytes = fs.readFileSync(file);
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
};
const instances = new Map();
for (const name of fs.readdirSync(sourceFolder).sort()) {
  const read = dcmjs.data.DicomMessage.readFile(buffer(path.join(sourceFolder, name)));
  const data = dcmjs.data.DicomMetaDictionary.naturalizeDataset(read.dict);
  const meta = dcmjs.data.DicomMetaDictionary.naturalizeDataset(read.meta);
  data.SOPInstanceUID ||= meta.MediaStorageSOPInstanceUID;
  delete data.PixelData;
  instances.set(`source:${data.SOPInstanceUID}`, data);
}
const modules = {
  instance: (data) => data,
  generalImageModule: (data) => ({ sopInstanceUID: data.SOPInstanceUID }),
  generalSeriesModule: (data) => ({ seriesInstanceUID: data.SeriesInstanceUID, modality: data.Modality }),
  imagePlaneModule: (data) => ({
    rows: data.Rows,
    columns: data.Columns,
    rowCosines: data.ImageOrientationPatient.slice(0, 3).map(Number),
    columnCosines: data.ImageOrientationPatient.slice(3).map(Number),
    imageOrientationPatient: data.ImageOrientationPatient.map(Number),
    imagePositionPatient: data.ImagePositionPatient.map(Number),
    rowPixelSpacing: Number(data.PixelSpacing[0]),
    columnPixelSpacing: Number(data.PixelSpacing[1]),
    pixelSpacing: data.PixelSpacing.map(Number),
    frameOfReferenceUID: data.FrameOfReferenceUID,
  }),
  imagePixelModule: () => ({ bitsAllocated: 8, bitsStored: 8, highBit: 7, samplesPerPixel: 1, photometricInterpretation: 'MONOCHROME2', pixelRepresentation: 0 }),
};
const extra = new Map();
const provider = {
  get: (type, id) => extra.get(`${type} ${id}`) ?? (instances.has(id) ? modules[type]?.(instances.get(id)) : undefined),
  addCustomMetadata: (id, type, value) => extra.set(`${type} ${id}`, value),
};
metaData.addProvider((type, id) => provider.get(type, id), 1);
const ids = [...instances.keys()];
const segmentation = adaptersSEG.Cornerstone3D.Segmentation;
const read = await segmentation.createFromDICOMSegBuffer(ids, buffer(segPath), { metadataProvider: provider });
const [images] = read.labelMapImages;
const pixels = images.map((image) => Buffer.from(Uint8Array.from(image.voxelManager?.getScalarData() ?? image.getPixelData())));
fs.writeFileSync(`${out}.u8`, Buffer.concat(pixels));
const labels = Object.values(read.segMetadata.data).filter(Boolean).map((segment) => segment.SegmentLabel);
fs.writeFileSync(`${out}.json`, JSON.stringify({ images: ids.map((id) => id.slice('source:'.length)), labels, overlapping: read.overlappingSegments }));
