// Stage files of a run (docs/formats.md), read as far as figures need them.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What the user can put right: one line. */
export class Mistake extends Error {}

const parse = (text, where) => {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Mistake(`${where}: not JSON: ${error.message}`);
  }
};

/** Names of the artefacts of a stage that hold `file`, in order. */
export function artefacts(run, stage, file) {
  const folder = join(run, stage);
  if (!existsSync(folder)) return [];
  return readdirSync(folder).filter((name) => !name.startsWith('.') && existsSync(join(folder, name, file))).sort();
}

export const readJson = (path) => parse(readFileSync(path, 'utf8'), path);

export const readJsonLines = (path) => readFileSync(path, 'utf8').split('\n').filter(Boolean)
  .map((line, i) => parse(line, `${path}:${i + 1}`));

const kTypes = { F32: Float32Array, F64: Float64Array, I32: Int32Array, I64: BigInt64Array };

/** {name → typed array} of the tensors of a safetensors file that are of a type known here. */
export function readSafetensors(path) {
  const bytes = readFileSync(path);
  const size = bytes.length >= 8 ? Number(bytes.readBigUInt64LE(0)) : Infinity;
  if (size > bytes.length - 8) throw new Mistake(`${path}: cut short, or not safetensors`);
  const header = parse(bytes.toString('utf8', 8, 8 + size), path);
  const data = new Uint8Array(bytes.subarray(8 + size));  // a copy, so that offsets are aligned
  const tensors = {};
  for (const [name, { dtype, data_offsets: offsets }] of Object.entries(header)) {
    const Type = kTypes[dtype];
    if (name === '__metadata__' || !Type) continue;
    if (offsets[0] > offsets[1] || offsets[1] > data.length) throw new Mistake(`${path}: ${name} lies beyond the end`);
    tensors[name] = new Type(data.slice(offsets[0], offsets[1]).buffer);
  }
  return tensors;
}
