// Sets two looks of `promot reproduce real` side by side, each difference with its 95 % interval by the paired
// bootstrap over examples: node scripts/compare-looks.mjs OUT/TARGET promot-0.000003@120 fine-tune-0.000003@240 (or
// before@0).
import { alignedTable } from '../packages/core/dist/base/index.js';
import { countedTasks, differenceOf, meanKept, recordsOf } from '../packages/promot/dist/inner.js';

const [out, ...names] = process.argv.slice(2);
if (out === undefined || names.length !== 2) {
  console.error('usage: node scripts/compare-looks.mjs OUT/TARGET ARM@STEP ARM@STEP');
  process.exit(2);
}

/** The look of an arm at a step. */
function lookAt(name) {
  const [arm, step] = name.split('@');
  // Its name tells where its looks are, and whether it trains something: the model before training has a file of its
  // own.
  const trains = arm === 'before' ? {} : { train: arm };
  const found = recordsOf(out, { name: arm, ...trains, group: 'first', method: arm, seed: 0, shots: 0 });
  const one = found.findLast((record) => record.step === Number(step));
  if (one) return one.look;
  console.error(`${out}: ${arm} has no look at step ${step}, only at ${found.map((record) => record.step).join(', ')}`);
  return process.exit(2);
}

const [first, second] = names.map(lookAt);
const side = (look) => [{ from: look, to: look, part: 1 }];
const number = (value) => (Math.abs(value) < 10 ? value.toFixed(3) : value.toFixed(1));
const row = (title, measures, valueIn) => {
  const apart = differenceOf(side(first), side(second), measures);
  const found = apart
    ? `${number(apart.value)} [${number(apart.low)}, ${number(apart.high)}]`
    : number(valueIn(first) - valueIn(second));
  return [title, number(valueIn(first)), number(valueIn(second)), found];
};
const tasks = countedTasks(lookAt('before@0'));
const rows = [
  row('target', ['target'], (look) => look.target),
  row(`mean of ${tasks.join(', ')}`, tasks, (look) => meanKept(look, tasks)),
  ...Object.keys(first.kept)
    .filter((measure) => measure in second.kept)
    .map((measure) => row(measure, [measure], (look) => look.kept[measure])),
];
console.log(alignedTable([['', ...names, 'difference [95 %]'], ...rows]));
