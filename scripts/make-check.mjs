// Stores what `promot doctor --check` compares with: node scripts/make-check.mjs, on a machine whose golden tests pass.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { libtorch } from '@promot/torch';
import { familyValues } from '../packages/promot/dist/inner.js';

const folder = new URL('../packages/core/golden/models/', import.meta.url);
const short = (value) => {
  if (Array.isArray(value)) return value.map(short);
  return Number.isInteger(value) ? value : Number(value.toPrecision(7));
};
const families = [];
for (const name of readdirSync(folder).sort()) {
  const config = JSON.parse(readFileSync(new URL(`${name}/config.json`, folder), 'utf8'));
  const of = async (dtype) =>
    Object.fromEntries(
      Object.entries(await familyValues(config, name, dtype, 'cpu')).map(([key, value]) => [key, short(value)]),
    );
  families.push({ name, config, fp32: await of('float32'), bf16: await of('bfloat16') });
}
const file = { libtorch: libtorch().version, families };
const lines = families.map((family) => JSON.stringify(family));
const text = `{"libtorch":${JSON.stringify(file.libtorch)},"families":[\n${lines.join(',\n')}\n]}\n`;
writeFileSync(new URL('../packages/promot/check/values.json', import.meta.url), text);
