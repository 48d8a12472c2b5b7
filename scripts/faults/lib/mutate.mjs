// Ways to damage a file: as bytes, and as the JSON that it is or begins with.

const numbers = [0, 1, -1, 127, 255, 2 ** 15, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 40, 2 ** 53, 1e308, 0.5];
const values = [
  null,
  true,
  false,
  '',
  'x',
  '\u0000\u001b[31m',
  'a'.repeat(5000),
  '(a+)+$',
  { Regex: '(?:a|aa)*$' },
  [],
  {},
  [null],
  [[]],
  { a: null },
  ...numbers,
];

/** The file with one to four changes of bytes. */
export function changedBytes(bytes, draw) {
  let changed = Buffer.from(bytes);
  for (let count = 1 + draw.below(4); count > 0; count--) changed = oneChange(changed, draw);
  return changed;
}

function oneChange(bytes, draw) {
  // Heads matter most: half of the changes fall into the first 2 kB.
  const at = draw.below(draw.below(2) === 0 ? Math.min(bytes.length, 2048) : bytes.length);
  const insert = (piece) => Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)]);
  switch (draw.below(9)) {
    case 0: {
      const copy = Buffer.from(bytes);
      if (copy.length > 0) copy[at] ^= 1 << draw.below(8);
      return copy;
    }
    case 1: {
      const copy = Buffer.from(bytes);
      const value = BigInt(Math.trunc(draw.of(numbers) % 2 ** 62));
      const width = draw.of([1, 2, 4, 8]);
      for (let i = 0; i < width && at + i < copy.length; i++) copy[at + i] = Number((value >> BigInt(8 * i)) & 255n);
      return copy;
    }
    case 2:
      return insert(Buffer.from([draw.below(256)]));
    case 3:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + draw.below(64))]);
    case 4:
      return bytes.subarray(0, at);
    case 5: {
      const from = draw.below(bytes.length);
      return insert(bytes.subarray(from, from + draw.below(256)));
    }
    case 6:
      return Buffer.concat([bytes, Buffer.alloc(1 + draw.below(64), draw.below(256))]);
    case 7: {
      const copy = Buffer.from(bytes);
      copy.fill(0, at, Math.min(copy.length, at + draw.below(400)));
      return copy;
    }
    default:
      return insert(
        Buffer.from(draw.of(['{', '[', '"', '\\', '\n', '\u0000', '- ', ': ', ',', '&a *a', '0'.repeat(400)])),
      );
  }
}

/** A JSON text with one to three places changed: another value, another type, a key gone, added, moved. */
export function changedJson(text, draw) {
  const content = JSON.parse(text);
  for (let count = 1 + draw.below(3); count > 0; count--) {
    const [parent, key] = place(content, draw);
    if (parent === undefined) return JSON.stringify(draw.of(values));
    switch (draw.below(6)) {
      case 0:
        if (Array.isArray(parent)) parent.splice(Number(key), 1);
        else delete parent[key];
        break;
      case 1:
        if (Array.isArray(parent)) parent.push(draw.of(values));
        else parent[draw.of(['x', '__proto__', 'constructor', 'type', ''])] = draw.of(values);
        break;
      case 2:
        parent[key] = [parent[key]];
        break;
      case 3:
        parent[key] = nested(draw.of([3, 30, 3000]));
        break;
      default:
        parent[key] = draw.of(values);
    }
  }
  return JSON.stringify(content);
}

/** A place in a JSON value: its container and key. Goes down by chance. */
function place(content, draw) {
  let found = [undefined, undefined];
  let at = content;
  while (typeof at === 'object' && at !== null && Object.keys(at).length > 0) {
    const key = draw.of(Object.keys(at));
    found = [at, key];
    if (draw.below(4) === 0) break;
    at = at[key];
  }
  return found;
}

function nested(depth) {
  let value = 'x';
  for (let i = 0; i < depth; i++) value = draw2(i) ? [value] : { a: value };
  return value;
}
const draw2 = (i) => i % 2 === 0;

/** A safetensors file whose header is changed as JSON; its data stays. */
export function changedHeader(bytes, draw) {
  const length = Number(bytes.readBigUInt64LE());
  const json = Buffer.from(changedJson(bytes.toString('utf8', 8, 8 + length), draw));
  const start = Buffer.alloc(8);
  start.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([start, json, bytes.subarray(8 + length)]);
}

/** Damage that does not depend on chance: name and bytes. */
export function* systematicDamage(bytes) {
  const size = bytes.length;
  for (const length of [0, 1, 8, 30, Math.floor(size / 3), Math.floor(size / 2), size - 100, size - 1])
    if (length >= 0 && length < size) yield [`cut to ${length} bytes`, bytes.subarray(0, length)];
  for (const count of [1, 32, 4096]) yield [`${count} bytes more`, Buffer.concat([bytes, Buffer.alloc(count)])];
  for (let part = 0; part <= 8; part++) {
    const at = Math.floor((size * part) / 9);
    yield [`a byte inserted at ${at}`, Buffer.concat([bytes.subarray(0, at), Buffer.from([7]), bytes.subarray(at)])];
    yield [`a byte gone at ${at}`, Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)])];
    const flipped = Buffer.from(bytes);
    if (size > 0) flipped[Math.min(at, size - 1)] ^= 0x10;
    yield [`a bit flipped at ${at}`, flipped];
    const zeroed = Buffer.from(bytes);
    zeroed.fill(0, at, Math.min(size, at + 400));
    yield [`400 zeros at ${at}`, zeroed];
  }
  yield ['all zeros', Buffer.alloc(Math.min(size, 4096))];
  yield ['another kind of file', Buffer.from('%PDF-1.7\n')];
  yield ['a page of HTML', Buffer.from('<!doctype html><title>404</title>')];
}

/** Every key of a JSON object, at most two deep, replaced by values of other types. */
export function* systematicJson(text) {
  const content = JSON.parse(text);
  const others = [undefined, null, true, -1, 2 ** 40, 1e308, '', 'x', [], {}, [null]];
  const keys = (object) => (typeof object === 'object' && object !== null ? Object.keys(object).slice(0, 40) : []);
  for (const key of keys(content)) {
    for (const value of others)
      yield [`${key} = ${JSON.stringify(value)}`, JSON.stringify({ ...content, [key]: value })];
    // Beyond the stack of what would write it as JSON.
    const marked = JSON.stringify({ ...content, [key]: '@deep@' });
    yield [`${key} nested`, marked.replace('"@deep@"', `${'['.repeat(100_000)}${']'.repeat(100_000)}`)];
    const inner = content[key];
    if (Array.isArray(inner)) continue;
    for (const second of keys(inner).slice(0, 12))
      for (const value of others)
        yield [
          `${key}.${second} = ${JSON.stringify(value)}`,
          JSON.stringify({ ...content, [key]: { ...inner, [second]: value } }),
        ];
  }
}
